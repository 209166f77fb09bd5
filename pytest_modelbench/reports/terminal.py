"""The terminal summary: the KPI table, one block for each student, and what failed and why."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_modelbench.results import Verdict
from pytest_modelbench.verdicts import format_interval, format_judged

BEFORE = "Before"
PILLARS = ("quality", "efficiency", "footprint", "reliability")
LEAST_WAIT_TOLD = 0.01
LEAST_NAME, LEAST_VALUE, LEAST_TEXT, BETWEEN = 16, 7, 13, 2
_LINES = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_STYLES = {
    Verdict.PASS: ("PASS", "green"),
    Verdict.FAIL: ("FAIL", "red"),
    Verdict.ERROR: ("ERROR", "red"),
    Verdict.INCONCLUSIVE: ("UNDECIDED", "yellow"),
    Verdict.NO_BASELINE: ("NO BASELINE", "yellow"),
    Verdict.NOT_APPLICABLE: ("N/A", "yellow"),
    Verdict.NOT_RUN: ("NOT RUN", "yellow"),
}
Gate = dict[str, Any]


def _console(stream: io.StringIO, width: int, colour: bool) -> Console:
    return Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
        soft_wrap=False,
        legacy_windows=False,
    )


def render_summary(report: dict[str, Any], *, width: int, colour: bool) -> str:
    """Render the summary as text.

    Args:
        report: the JSON report.
        width: columns of the terminal.
        colour: whether the terminal shows colours.
    """
    stream = io.StringIO()
    console = _console(stream, width, colour)
    gates: list[Gate] = report["gates"]
    cases = [test for test in report["tests"] if "edge_case" in test]
    for student in dict.fromkeys(entry["student"] for entry in [*gates, *cases]):
        console.print(Text(_title(student, report), style="bold"))
        own = [gate for gate in gates if gate["student"] == student]
        own_cases = [case for case in cases if case["student"] == student]
        room, least = _room_for_names(own, len(own_cases), width)
        table = _table(own, room)
        reliability = any(gate["pillar"] == "reliability" for gate in own)
        _add_edge_cases(table, own_cases, heading=not reliability)
        _console(stream, max(width, least), colour).print(table)  # wider than the terminal if it must be, but whole
    if report["tradeoff"] is not None:
        console.print(Text("students against each other (* no other one is better in every column)", style="bold"))
        console.print(_tradeoff_table(report["tradeoff"]))
    if report["distillation"] is not None:
        console.print(Text("what distilling gained", style="bold"))
        console.print(_distillation_table(report["distillation"]))
    for line in (*_timing_lines(report["timings"]), *_diagnosis_lines(report)):
        console.print(Text(line, style="dim"), soft_wrap=True)
    for gate in gates:
        if gate["verdict"] not in {Verdict.PASS, Verdict.NOT_RUN}:
            word, style = _STYLES[Verdict(gate["verdict"])]
            where = f"{gate['kpi']} of {gate['student']}: {gate['reason']}"
            console.print(Text.assemble((f"{word} ", style), where), soft_wrap=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def render_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]], *, width: int, colour: bool
) -> str:
    """Render rows of texts, some with a style of their own, in the same look as the summary."""
    table = Table(box=_LINES, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else Text(cell[0], style=cell[1]) for cell in row))
    stream = io.StringIO()
    _console(stream, width, colour).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _title(student: str, report: dict[str, Any]) -> str:
    notes = report["models"]["students"].get(student, {})
    parameters = None if notes.get("others") else notes.get("parameters")
    if student == "teacher":
        return "teacher, for a contract"
    return student + (f" ({parameters:,} parameters)" if parameters else "") + " against its teacher"


def _table(gates: Sequence[Gate], room: int) -> Table:
    table = Table(box=_LINES, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("KPI", no_wrap=True)
    table.add_column("Teacher", justify="right", no_wrap=True)
    table.add_column("Student", justify="right", no_wrap=True)
    before = _has_before(gates)
    if before:
        table.add_column(BEFORE, justify="right", no_wrap=True)
    table.add_column("Target", overflow="fold", min_width=LEAST_TEXT)
    table.add_column("Result", no_wrap=True)
    table.add_column("Evidence", ratio=1, overflow="fold", min_width=LEAST_TEXT)
    for pillar in PILLARS:
        rows = [gate for gate in gates if gate["pillar"] == pillar]
        if rows:
            table.add_row(Text(pillar, style="bold"))
        shown: set[tuple[str, ...]] = set()
        for gate in rows:
            cells = list(_rows(gate, before=before))
            words = tuple(str(cell) for row in cells for cell in row)
            if words not in shown:  # two items may judge the same by the same measurement
                shown.add(words)
                for name, *row in cells:
                    table.add_row(Text(_folded(name.plain, room)), *row)
    return table


def _has_before(gates: Sequence[Gate]) -> bool:
    return any(gate["readings"]["baseline"] is not None for gate in gates)


def _room_for_names(gates: Sequence[Gate], cases: int, width: int) -> tuple[int, int]:
    """Return how wide the names may be beside the other columns, and how wide the whole table is at least."""
    rows = [row for gate in gates for row in _rows(gate, before=_has_before(gates))]
    fixed = [row[1:-3] + row[-2:-1] for row in rows]  # targets and evidence fold, and so will the names
    least = max(LEAST_VALUE, len(f"{cases} of {cases}"))
    taken = [max(least, *map(len, cells)) for cells in zip(*fixed, strict=True)] or [least] * 3
    others = sum(taken) + 2 * LEAST_TEXT + BETWEEN * (len(taken) + 2) + 1
    room = max(LEAST_NAME, width - others)
    return room, room + others


def _folded(name: str, room: int) -> str:
    """Return a KPI's name in lines of at most this many characters, cut where its words end."""
    lines = [""]
    for word in re.findall(rf"[^_ ]{{1,{room - 3}}}[_ ]?|[_ ]", name):
        if lines[-1].strip() and len(lines[-1]) + len(word) > room:
            lines.append("  ")
        lines[-1] += word
    return "\n".join(lines)


def _tradeoff_table(found: dict[str, Any]) -> Table:
    table = Table(box=_LINES, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("Student", no_wrap=True)
    for axis in found["axes"]:
        table.add_column(axis["kpi"], justify="right")
    table.add_column("Pareto")
    for row in found["students"]:
        cells = [_against_teacher(value, axis) for value, axis in zip(row["values"], found["axes"], strict=True)]
        table.add_row(Text(row["student"]), *cells, Text("*" if row["pareto"] else ""))
    return table


def _distillation_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=_LINES, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("Teacher", justify="right")
    for student in rows[0]["students"]:
        table.add_column(student, justify="right")
        table.add_column("")
    table.add_column("Target", ratio=1, overflow="fold")
    for row in rows:
        cells: list[Text] = []
        targets: list[str] = []
        for judged in row["students"].values():
            cells += (
                [Text("not measured"), Text("")]
                if judged is None
                else [Text(_value(judged)), _verdict(judged["verdict"])]
            )
            targets += [] if judged is None else judged["targets"]
        table.add_row(
            Text(row["name"]), Text(_value(row["teacher"])), *cells, Text(", ".join(dict.fromkeys(targets)))
        )
    return table


def _against_teacher(value: dict[str, Any], axis: dict[str, Any]) -> Text:
    """Show a value, and how it stands to the teacher's: in points for shares, as a ratio for anything else."""
    student, teacher, unit = value["student"], value["teacher"], axis["unit"]
    shown = format_judged(student, unit)
    if teacher is None:
        return Text(shown)
    if unit == "%":
        return Text(f"{shown} ({student - teacher:+.3g} pp)")
    return Text(f"{shown} ({format_judged(student / teacher, 'x')})" if teacher else shown)


def _add_edge_cases(table: Table, cases: Sequence[dict[str, Any]], *, heading: bool) -> None:
    """Add one row that counts the edge cases of a student; those that do not fit its inputs are left out."""
    run = [case for case in cases if case["outcome"] != "skipped"]
    if run:
        bad = list(dict.fromkeys(case["edge_case"] for case in run if case["outcome"] in {"failed", "error"}))
        verdict = Verdict.FAIL if bad else Verdict.PASS
        if heading:
            table.add_row(Text("reliability", style="bold"))
        passed = f"{sum(case['outcome'] not in {'failed', 'error'} for case in run)} of {len(run)}"
        before = [Text("-")] if any(column.header == BEFORE for column in table.columns) else []
        cells = [Text("-"), Text(passed), *before, Text("all"), _verdict(verdict), Text(", ".join(bad))]
        table.add_row(Text(" edge cases"), *cells)


def _rows(gate: Gate, *, before: bool) -> Iterable[tuple[Text, ...]]:
    roles = ("teacher", "student", "baseline") if before else ("teacher", "student")
    head = [Text(_label(gate)), *(Text(_value(gate["readings"][role])) for role in roles)]
    nothing = [Text("") for _ in head]
    if gate["limits"]:
        for i, limit in enumerate(gate["limits"]):
            cells = (Text(limit["text"]), _verdict(limit["verdict"]), Text(_evidence(limit, gate)))
            yield (*(nothing if i else head), *cells)
        return
    evidence = "" if gate["verdict"] in {Verdict.PASS, Verdict.NOT_RUN} else _first_words(gate["reason"])
    for i, target in enumerate(gate["targets"] or ["(reported)"]):
        cells = (Text(target), _verdict(gate["verdict"]), Text("" if i else evidence))
        yield (*(nothing if i else head), *cells)


def _label(gate: Gate) -> str:
    batch, processes = gate["options"].get("batch_size"), gate["options"].get("processes", 1)
    told = f" {gate['kpi']}" + (f" b{batch}" if batch not in {None, 1} else "")
    told += f" x{processes}" if processes > 1 else ""
    return told + (" compiled" if gate["options"].get("compile") else "")


def _value(reading: dict[str, Any] | None) -> str:
    if reading is None:
        return "-"
    return "nan" if reading["value"] is None else format_judged(reading["value"], reading["unit"])


def _verdict(verdict: str) -> Text:
    word, style = _STYLES[Verdict(verdict)]
    return Text(word, style=style)


def _evidence(limit: dict[str, Any], gate: Gate) -> str:
    if limit["value"] is None:
        return _first_words(limit["reason"])
    student = gate["readings"]["student"]
    if limit["unit"] == "tier":
        return str(student["method"]).partition(":")[0]
    exact = limit["ci_low"] == limit["ci_high"] == limit["value"]
    parts = [] if _is_own_value(limit) else [format_judged(limit["value"], limit["unit"])]
    if not exact and limit["ci_low"] is limit["ci_high"] is None:
        parts.append("no interval" if student["confidence"] is not None else student["provenance"])
    elif not exact:
        low = -math.inf if limit["ci_low"] is None else limit["ci_low"]
        high = math.inf if limit["ci_high"] is None else limit["ci_high"]
        parts.append(format_interval(low, high, limit["unit"]))
    if limit["n"] and not exact:
        parts.append(f"n={limit['n']:,}")
    if limit["weak"]:
        parts.append(f"weak, n={limit['needed_n']:,} would settle it" if limit["needed_n"] else "weak")
    return " ".join(parts) or student["provenance"]


def _is_own_value(limit: dict[str, Any]) -> bool:
    """Whether a limit judges the student's own value, which stands in its column already."""
    return str(limit["text"])[0] in "<>="


def _first_words(reason: str, most: int = 60) -> str:
    line = reason.splitlines()[0] if reason else ""
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _timing_lines(timings: Sequence[dict[str, Any]]) -> Iterable[str]:
    for timing in timings:
        faults = timing["minor_faults_per_call"]
        per_call = ", ".join(f"{role} {count:.1f}" for role, count in faults.items())
        copied = "re-copied" if timing["placements_copied"] else "that could not be copied"
        units = f"{timing['processes']} processes" if "processes" in timing else f"{timing['placements']} placements"
        repeated = f", {timing['repeated_rounds']} repeated" if timing["repeated_rounds"] else ""
        share = timing["waited_share"]
        waited = f"waits for a processor: {_percent(share)}, subtracted, " if share >= LEAST_WAIT_TOLD else ""
        yield (
            f"timed {timing['student']} at {_sizes(timing['batch_sizes'])}: {timing['elapsed_s']:.1f} s, "
            f"{units} {copied}, allocator {timing['allocator']}, page faults per call: {per_call}, "
            f"rounds with an involuntary switch: {timing['disturbed_rounds']} of {timing['rounds']}{repeated}, "
            f"{waited}smallest effect on the median resolved: {_percent(timing['resolution'])}"
            + ("; the budget ended" if timing["budget_exhausted"] and "processes" not in timing else "")
        )


def _diagnosis_lines(report: dict[str, Any]) -> Iterable[str]:
    for found in report["diagnosis"]:
        yield f"{found['finding']}: {found['text']}; {found['remedy']}"


def _percent(fraction: float | None) -> str:
    return "none yet" if fraction is None else f"{100 * fraction:.2g}%"


def _sizes(sizes: dict[str, int]) -> str:
    if len(set(sizes.values())) == 1:
        return f"batch size {sizes['student']}"
    return "batch sizes " + ", ".join(f"{role} {size}" for role, size in sizes.items())


def totals(report: dict[str, Any]) -> str:
    """Return one line that counts the verdicts."""
    counts = {verdict: count for verdict, count in report["summary"].items() if count}
    gates = sum(counts.values())
    listed = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts.items())
    return f"{gates} gate{'s' if gates != 1 else ''}: {listed}" if gates else _nothing_judged(report)


def _nothing_judged(report: dict[str, Any]) -> str:
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
