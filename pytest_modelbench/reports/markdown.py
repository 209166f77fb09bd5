"""The report in GitHub's Markdown, for a pull request: what failed first, then every gate in a part that unfolds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.causes import QUIET, WORDS, advice_lines
from pytest_modelbench.reports.corrupted_cells import worst_of
from pytest_modelbench.reports.diagnosis import diagnosis_lines
from pytest_modelbench.reports.limit_texts import (
    counts_text,
    failures_first,
    interval_text,
    judged_value,
    kpi_at,
    needs_attention,
    passed,
    reading_text,
    rerun_command,
)
from pytest_modelbench.reports.load_facts import load_lines
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.results import Verdict
from pytest_modelbench.store.recognising import MARKDOWN_HEAD, is_markdown
from pytest_modelbench.store.replacing import replacing

MOST_CHARACTERS = 60_000
"""A comment on GitHub has at most 65,536 characters."""
MOST_FAILURES = 20
MOST_CELLS = 5
"""Corruptions and severities of a student."""
_MARKUP = re.compile(r"[\\`*\[\]<|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINKED = re.compile(r"([@#])(?=\w)")
"""What GitHub makes a mention of a person or a link to an issue, whatever the markup around it."""


def markdown(report: Mapping[str, Any], most: int = MOST_CHARACTERS) -> str:
    """Return a report as Markdown.

    Args:
        report: the JSON report.
        most: characters; parts that do not fit are left out, the failures last, and a line says so.
    """
    head = [MARKDOWN_HEAD, _headline(report), *_bad_gates(report), *_wrong_with_the_run(report)]
    blocks = [
        _details("All gates", _tables(report["gates"])),
        _details("Worst under corruptions", _corrupted(report["gates"])),
        _details("Why a student is slow", _diagnosis(report)),
        _details("Where it ran", _surroundings(report)),
    ]
    text, left = "\n".join(head) + "\n", 0
    for block in filter(None, blocks):
        if len(text) + len(block) > most - 200:
            left += 1
            continue
        text += block
    if len(text) > most - 200:
        text, left = text[: most - 200].rpartition("\n")[0] + "\n", left + 1
    return text + ("\nThis is not all: the JSON report has the rest.\n" if left else "")


def plain(text: object) -> str:
    r"""Return a text that Markdown shows as it is, in one line.

    >>> print(plain("a|b_c <d> *e*"))
    a\|b_c \<d> \*e\*
    """
    shown = _MARKUP.sub(r"\\\g<0>", visible(" ".join(str(text).split())))
    return _LINKED.sub(r"\1&#8203;", shown)


def code(text: str) -> str:
    """Return a code span of a text, also of one with backticks.

    >>> code("a `b`")
    '`` a `b` ``'
    """
    shown = visible(" ".join(text.split()))
    fence = "`"
    while fence in shown:
        fence += "`"
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _headline(report: Mapping[str, Any]) -> str:
    return f"### pytest-modelbench: {'PASS' if passed(report) else 'FAIL'}\n\n{counts_text(report, WORDS)}\n"


def _bad_gates(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each limit that did not hold: limit, value and interval; then the command that reruns them."""
    gates = failures_first([gate for gate in report["gates"] if needs_attention(gate["verdict"])])
    for gate in gates[:MOST_FAILURES]:
        limits = [limit for limit in gate["limits"] if needs_attention(limit["verdict"])] or [None]
        for limit in limits:
            yield f"- {_in_short(gate, limit)}"
        yield from (f"  - {plain(line)}" for line in load_lines(gate))
        yield f"  {code(rerun_command(report, gate))}"
    if len(gates) > MOST_FAILURES:
        yield f"- and {len(gates) - MOST_FAILURES:,} more: see All gates"


def _in_short(gate: Mapping[str, Any], limit: Mapping[str, Any] | None) -> str:
    verdict = gate["verdict"] if limit is None else limit["verdict"]
    head = f"**{WORDS[Verdict(verdict)][0]}** {plain(kpi_at(gate))} of {plain(gate['student'])}"
    if limit is None or limit["value"] is None:
        return f"{head}: {plain(gate['reason'] if limit is None else limit['reason'])}"
    return f"{head}: limit {plain(limit['text'])}, found {plain(_judged(limit, gate))}"


def _judged(limit: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
    return f"{judged_value(limit, gate)} {interval_text(limit)}".strip()


def _wrong_with_the_run(report: Mapping[str, Any]) -> Iterator[str]:
    for mistake in report["mistakes"]:
        yield f"- **ERROR** {plain(mistake)}"
    if not report["complete"]:
        yield "- **The run did not come to its end**: this is what was known by then"
    for line in advice_lines(report):
        yield f"- {plain(line)}"


def _tables(gates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one table for each student."""
    students: dict[str, list[Mapping[str, Any]]] = {}
    for gate in gates:
        students.setdefault(gate["student"], []).append(gate)
    for student, own in students.items():
        yield f"**{plain(student)}**"
        yield ""
        yield "| KPI | teacher | student | limit | result | interval |"
        yield "|---|--:|--:|---|---|---|"
        yield from (f"| {' | '.join(row)} |" for gate in own for row in _rows(gate))
        yield ""


def _corrupted(gates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of the corruptions and severities under which each student is worst."""
    for number, (student, cell) in enumerate(worst_of(gates, MOST_CELLS)):
        if number == 0:
            yield "| student | corruption | severity | teacher | student | drop |"
            yield "|---|---|--:|--:|--:|--:|"
        shares = ("" if share is None else f"{share:.1f}%" for share in (cell.teacher, cell.student))
        drop = "" if cell.drop is None else f"{cell.drop:.1f} pp"
        yield f"| {plain(student)} | {plain(cell.corruption)} | {cell.severity} | {' | '.join(shares)} | {drop} |"


def _rows(gate: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    readings = (gate["readings"]["teacher"], gate["readings"]["student"])
    head = (plain(kpi_at(gate)), *(plain(reading_text(reading)) for reading in readings))
    for limit in gate["limits"]:
        yield (*head, plain(limit["text"]), WORDS[Verdict(limit["verdict"])][0], plain(_judged(limit, gate)))
    if not gate["limits"]:
        targets = plain(", ".join(gate["targets"]))
        yield (*head, targets, WORDS[Verdict(gate["verdict"])][0], _quietly(gate))


def _quietly(gate: Mapping[str, Any]) -> str:
    return "" if gate["verdict"] in QUIET else plain(gate["reason"])


def _diagnosis(report: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- {plain(line)}" for line in diagnosis_lines(report))


def _surroundings(report: Mapping[str, Any]) -> Iterator[str]:
    environment = report["environment"]
    for name in ("processor", "logical_cpus", "gpu", "platform", "python"):
        if environment.get(name) is not None:
            yield f"- {plain(name.replace('_', ' '))}: {plain(environment[name])}"
    packages = environment.get("packages", {})
    yield f"- packages: {plain(', '.join(f'{name} {version}' for name, version in packages.items()))}"
    for model, notes in {"teacher": report["models"]["teacher"], **report["models"]["students"]}.items():
        if notes and notes.get("hash"):
            yield f"- {plain(model)}: {code(notes['hash'])}"


def _details(title: str, lines: Iterable[str]) -> str:
    """Return a part that unfolds; "" if it is empty."""
    body = "\n".join(lines)
    return f"\n<details><summary>{title}</summary>\n\n{body}\n\n</details>\n" if body else ""


def _write(ending: Ending, path: Path) -> None:
    with replacing(path, MARKDOWN.name, is_markdown) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(markdown(ending.told))
        file.flush()
        os.fsync(file.fileno())


MARKDOWN = Report(
    name="Markdown report",
    flag="--modelbench-markdown",
    asked=lambda settings: settings.markdown,
    ours=is_markdown,
    write=_write,
)
