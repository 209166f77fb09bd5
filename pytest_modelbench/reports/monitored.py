"""The report of predictions that were recorded in production: the same form as that of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modelbench.reports.gate_record import record_of
from pytest_modelbench.reports.record import Record
from pytest_modelbench.results import GateResult, Verdict, json_object

SUITE = "production"
_OUTCOMES = {
    Verdict.PASS: "passed",
    Verdict.REPORTED: "passed",
    Verdict.NO_BASELINE: "passed",
    Verdict.NOT_APPLICABLE: "skipped",
}
PASSED, FAILED, OPEN = 0, 1, 3
"""Exit codes: every limit that applies holds; one does not, or is an error; none fails, and one is not decided."""


def exit_code(gates: Iterable[GateResult]) -> int:
    """Return the exit code of gates: 3 also if no limit was judged, for then nothing is known."""
    verdicts: set[Verdict] = set()
    for gate in gates:
        verdicts |= {gate.verdict, *(limit.verdict for limit in gate.limits)}
    if {Verdict.FAIL, Verdict.ERROR} & verdicts:
        return FAILED
    return PASSED if Verdict.PASS in verdicts and Verdict.INCONCLUSIVE not in verdicts else OPEN


def production_report(
    gates: Sequence[tuple[str, GateResult]],
    facts: Mapping[str, Any],
    student: Mapping[str, Any],
    command: str,
) -> tuple[dict[str, Any], int]:
    """Return the JSON report, and the exit code of the command.

    Args:
        gates: their results, each with the test that states it.
        facts: of the rows (see `bench.produced.facts_of_rows`).
        student: what is known of the model, by its name.
        command: that was typed.
    """
    record = Record()
    record.command = command
    for nodeid, gate in gates:
        record.hear(nodeid, [record_of(gate, nodeid, SUITE, {})], None)
        record.finish_phase(nodeid, _OUTCOMES.get(gate.verdict, "failed"), 0.0)
    record.add_session({"models": student, "data": {SUITE: {"samples": facts["rows"]}}})
    status = exit_code(gate for _, gate in gates)
    report = record.to_json(PASSED if status == PASSED else FAILED, {})
    return {**report, "production": json_object(facts)}, status


def facts_line(facts: Mapping[str, Any]) -> str:
    """Return the line above the table: what was read, and what it is compared with."""
    labels = f"{facts['labelled']:,} with labels" if facts["labelled"] else "no labels"
    times = f", from {facts['first']} to {facts['last']}" if facts["first"] else ""
    against = f"; compared with {facts['baseline']}" if facts["baseline"] else "; no baseline"
    return f"{facts['path']}: {facts['rows']:,} rows, {labels}{times}, read as {facts['task']}{against}"
