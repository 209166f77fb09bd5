"""The terminal summary: the KPI table, one block for each student, and what failed and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import ESTIMATED, format_interval, format_judged, marked
from pytest_modelbench.reports.causes import WORDS, advice_lines, cause_lines
from pytest_modelbench.reports.diagnosis import diagnosis_lines
from pytest_modelbench.reports.layout import Cell, Column, Layout, Row, line, table
from pytest_modelbench.reports.limit_texts import kpi_at, reading_text
from pytest_modelbench.reports.load_facts import load_table
from pytest_modelbench.reports.side_by_side import distillation_tables, tradeoff_table
from pytest_modelbench.results import Verdict

PILLARS = ("quality", "efficiency", "footprint", "reliability")
LEAST_WAIT_TOLD = 0.01
NO_LIMIT = "no limit"
Gate = dict[str, Any]


def render_summary(report: Mapping[str, Any], *, width: int, colour: bool) -> str:
    """Render the summary as text.

    Args:
        report: the JSON report.
        width: columns of the terminal.
        colour: whether the terminal shows colours.
    """
    lines = [*_blocks(report, width, colour)]
    if report["tradeoff"] is not None:
        lines.append(
            line("students against each other (* no other one is better in every column)", "bold", colour=colour)
        )
        lines.append(tradeoff_table(report["tradeoff"], width=width, colour=colour))
    if report["distillation"] is not None:
        lines.append(line("distillation summary", "bold", colour=colour))
        lines += distillation_tables(report["distillation"], width=width, colour=colour)
    details = (*_data_lines(report), *_timing_lines(report["timings"]), *_diagnosis_lines(report))
    lines += [line(detail, "dim", colour=colour) for detail in details]
    lines += [line(text) for text in diagnosis_lines(report)]
    lines += cause_lines(report["gates"], width=width, colour=colour)
    lines += load_table(report["gates"], width=width, colour=colour)
    return "\n".join(text.rstrip() for text in lines)


def _blocks(report: Mapping[str, Any], width: int, colour: bool) -> Iterator[str]:
    """Yield the lines of every student's block; the columns of all of them are equally wide.

    The evidence has the room that they leave, or goes under its row.
    """
    students: dict[str, list[Gate]] = {}
    cases: dict[str, list[dict[str, Any]]] = {}
    for gate in report["gates"]:
        students.setdefault(gate["student"], []).append(gate)
    for test in report["tests"]:
        if "edge_case" in test:
            students.setdefault(test["student"], [])
            cases.setdefault(test["student"], []).append(test)
    before = any(gate["readings"]["baseline"] is not None for gate in report["gates"])
    blocks = {name: list(_rows(own, cases.get(name, ()), before=before)) for name, own in students.items()}
    columns = [Column(title="KPI", folds=True), *(Column(title=name, right=True) for name in ("Teacher", "Student"))]
    columns += [Column(title="Before", right=True)] if before else []
    columns += [Column(title="Target", folds=True), Column(title="Result")]
    every = [row for rows in blocks.values() for row in rows]
    layout = Layout(columns, every, width=width, tail="Evidence", under=len(columns) - 2)
    for name, rows in blocks.items():
        yield line(_title(name, report), "bold", colour=colour)
        yield from layout.lines(rows, colour=colour)


def render_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]], *, width: int, colour: bool
) -> str:
    """Render rows of texts, some with a style of their own, in the same look as the summary."""
    cells = [tuple(Cell(cell) if isinstance(cell, str) else Cell(*cell) for cell in row) for row in rows]
    heads = [Column(title=column, folds=True) for column in columns]
    return table(heads, [Row(cells=row) for row in cells], width=width, colour=colour)


def _title(student: str, report: Mapping[str, Any]) -> str:
    notes = report["models"]["students"].get(student, {})
    if "production" in report:
        return f"{student} in production"
    parameters = None if notes.get("others") else notes.get("parameters")
    if student == "teacher":
        return "teacher, for a contract"
    return student + (f" ({parameters:,} parameters)" if parameters else "") + " against its teacher"


def _rows(gates: Sequence[Gate], cases: Sequence[Mapping[str, Any]], *, before: bool) -> Iterator[Row]:
    """Yield the rows of one student, by pillar; two items that judge the same by the same measurement have one."""
    for pillar in PILLARS:
        own = [gate for gate in gates if gate["pillar"] == pillar]
        edges = list(_edge_cases(cases, before=before)) if pillar == "reliability" else []
        if own or edges:
            yield Row(cells=(Cell(pillar, "bold"),))
        shown: set[tuple[Row, ...]] = set()
        for gate in own:
            rows = tuple(_rows_of(gate, before=before))
            if rows not in shown:
                shown.add(rows)
                yield from rows
        yield from edges


def _edge_cases(cases: Sequence[Mapping[str, Any]], *, before: bool) -> Iterator[Row]:
    """Yield one row that counts the edge cases of a student; those that do not fit its inputs are left out."""
    run = [case for case in cases if case["outcome"] != "skipped"]
    if run:
        bad = list(dict.fromkeys(case["edge_case"] for case in run if case["outcome"] in {"failed", "error"}))
        passed = f"{sum(case['outcome'] not in {'failed', 'error'} for case in run)} of {len(run)}"
        values = (Cell("-"), Cell(passed), *([Cell("-")] if before else []))
        verdict = _verdict(Verdict.FAIL if bad else Verdict.PASS)
        yield Row(cells=(Cell(" edge cases"), *values, Cell("all"), verdict), tail=", ".join(bad))


def _rows_of(gate: Gate, *, before: bool) -> Iterator[Row]:
    roles = ("teacher", "student", "baseline") if before else ("teacher", "student")
    head = (Cell(_label(gate)), *(Cell(reading_text(gate["readings"][role])) for role in roles))
    nothing = (Cell(""),) * len(head)
    for i, limit in enumerate(gate["limits"]):
        cells = (Cell(limit["text"]), _verdict(limit["verdict"]))
        yield Row(cells=(*(nothing if i else head), *cells), tail=_evidence(limit, gate))
    if not gate["limits"]:
        for i, target in enumerate(gate["targets"] or [NO_LIMIT]):
            tail = "" if i else _of_reading(gate["readings"]["student"])
            yield Row(cells=(*(nothing if i else head), Cell(target), _verdict(gate["verdict"])), tail=tail)


def _label(gate: Gate) -> str:
    batch, processes = gate["options"].get("batch_size"), gate["options"].get("processes", 1)
    label = f" {kpi_at(gate)}" + (f" b{batch}" if batch not in {None, 1} else "")
    label += f" x{processes}" if processes > 1 else ""
    return label + (" compiled" if gate["options"].get("compile") else "")


def _verdict(verdict: str) -> Cell:
    return Cell(*WORDS[Verdict(verdict)])


def _of_reading(reading: Mapping[str, Any] | None) -> str:
    """Return the evidence of a value that no limit judges; empty if there is none: the cause is printed below."""
    if reading is None or reading["value"] is None:
        return ""
    estimate = {"ci_low": reading["ci_low"], "ci_high": reading["ci_high"], "value": reading["value"]}
    return _sampled({**estimate, "unit": reading["unit"], "n": reading["n"], "weak": False}, reading, [])


def _evidence(limit: Mapping[str, Any], gate: Gate) -> str:
    """Return the evidence that a limit was judged by; empty if there was none: the cause is printed below."""
    student = gate["readings"]["student"]
    if limit["value"] is None or student is None:
        return ""
    if limit["unit"] == "tier":
        return str(student["method"]).partition(":")[0]
    own = str(limit["text"]).startswith(("<", ">", "=", "includes"))  # the student's value, in its column already
    judged = marked(format_judged(limit["value"], limit["unit"]), student["provenance"])
    return _sampled(limit, student, [] if own else [judged])


def _sampled(estimate: Mapping[str, Any], student: Mapping[str, Any], parts: list[str]) -> str:
    exact = estimate["ci_low"] == estimate["ci_high"] == estimate["value"]
    estimated = student["provenance"] in ESTIMATED
    if not exact and estimate["ci_low"] is estimate["ci_high"] is None:
        parts += ["no interval"] if student["confidence"] is not None else []
    elif not exact:
        low = -math.inf if estimate["ci_low"] is None else estimate["ci_low"]
        high = math.inf if estimate["ci_high"] is None else estimate["ci_high"]
        parts.append(format_interval(low, high, estimate["unit"]))
    if estimate["n"] and not exact:
        parts.append(f"n={estimate['n']:,}")
    if estimated:
        parts.append(student["provenance"])
    if estimate["weak"]:
        parts.append(f"weak, n={estimate['needed_n']:,} would settle it" if estimate["needed_n"] else "weak")
    provenance = str(student["provenance"])
    return " ".join(parts) or ("" if provenance == "measured" else provenance)


def _data_lines(report: Mapping[str, Any]) -> Iterable[str]:
    """Say of data that workers answered how many there were, and where the pass over them ran."""
    for data in report.get("data", {}).values():
        if "engine" in data:
            count = [f"{data['samples']:,} samples"] if "samples" in data else []
            yield "; ".join([*data.get("notes", count), f"engine: {data['engine']}"])


def _timing_lines(timings: Sequence[dict[str, Any]]) -> Iterable[str]:
    for timing in timings:
        faults = timing["minor_faults_per_call"]
        per_call = ", ".join(f"{role} {count:.1f}" for role, count in faults.items())
        copied = "re-copied" if timing["placements_copied"] else "that could not be copied"
        units = f"{timing['processes']} processes" if "processes" in timing else f"{timing['placements']} placements"
        repeated = f", {timing['repeated_rounds']} repeated" if timing["repeated_rounds"] else ""
        share = timing["waited_share"]
        waited = f"run-queue wait: {_percent(share)}, subtracted, " if share >= LEAST_WAIT_TOLD else ""
        yield (
            f"timed {timing['student']} at {_sizes(timing['batch_sizes'])}: {timing['elapsed_s']:.1f} s, "
            f"{units} {copied}, allocator {timing['allocator']}, page faults per call: {per_call}, "
            f"rounds with an involuntary switch: {timing['disturbed_rounds']} of {timing['rounds']}{repeated}, "
            f"{waited}smallest effect on the median resolved: {_percent(timing['resolution'])}"
            + ("; the budget ended" if timing["budget_exhausted"] and "processes" not in timing else "")
        )


def _diagnosis_lines(report: Mapping[str, Any]) -> Iterable[str]:
    for diagnosis in report["diagnosis"]:
        if "finding" in diagnosis:
            yield f"{diagnosis['finding']}: {diagnosis['text']}; {diagnosis['remedy']}"


def _percent(fraction: float | None) -> str:
    return "none yet" if fraction is None else f"{100 * fraction:.2g}%"


def _sizes(sizes: dict[str, int]) -> str:
    if len(set(sizes.values())) == 1:
        return f"batch size {sizes['student']}"
    return "batch sizes " + ", ".join(f"{role} {size}" for role, size in sizes.items())


def totals(report: Mapping[str, Any]) -> list[str]:
    """Return the last lines: one that counts the verdicts, and one that says what to raise for those left open."""
    counts = {verdict: count for verdict, count in report["summary"].items() if count}
    gates = sum(counts.values())
    listed = ", ".join(f"{count:,} {verdict.replace('_', ' ')}" for verdict, count in counts.items())
    first = f"{gates:,} gate{'s' if gates != 1 else ''}: {listed}" if gates else _nothing_judged(report)
    return [first, *advice_lines(report)]


def _nothing_judged(report: Mapping[str, Any]) -> str:
    cases = sum("edge_case" in test for test in report["tests"])
    return f"{cases} edge cases, no gate" if cases else "no gate was collected"


def render_catalogue(rows: Sequence[tuple[str, str, str, str, str, str]], width: int) -> str:
    """Render the catalogue of KPIs as text.

    Args:
        rows: name, pillar, unit, direction, definition and source of each KPI.
        width: columns of the terminal.
    """
    lines: list[str] = []
    for pillar in PILLARS:
        lines.append(f"{pillar}")
        for name, home, unit, better, definition, source in rows:
            if home == pillar:
                lines.append(f"  {name} ({unit or 'no unit'}, {better} is better)")
                lines += _wrapped(definition, width)
                lines += _wrapped(f"source: {source}", width)
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(width - 6, 30), initial_indent="      ", subsequent_indent="      ")
