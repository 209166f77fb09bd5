"""The gates of an accepted run, read again from its report: the same limits for other measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.gates.sla import read_sla


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A gate with the test that states it."""

    nodeid: str
    gate: Gate


def gates_of_report(gates: Sequence[Mapping[str, Any]], confidence: float | None) -> tuple[list[Accepted], list[str]]:
    """Return the gates of one student, each once, and the names of custom KPIs, which a report cannot restore.

    Args:
        gates: as the report has them.
        confidence: of each side; by default that of a gate's value.
    """
    accepted: dict[tuple[str, str, str], Accepted] = {}
    custom: list[str] = []
    for recorded in gates:
        kpi, options, targets = recorded["kpi"], recorded["options"], recorded.get("targets", [])
        try:
            gate = read_gate((kpi, *targets), options, _confidence(recorded, confidence), source="baseline")
        except UsageMistake:
            custom.append(kpi)
            continue
        key = (kpi, repr(gate.told_options), repr(gate.targets))
        accepted.setdefault(key, Accepted(nodeid=recorded["nodeid"], gate=gate))
    return list(accepted.values()), list(dict.fromkeys(custom))


def _confidence(gate: Mapping[str, Any], stated: float | None) -> float | None:
    reading = gate["readings"]["student"] or {}
    return stated if stated is not None else reading.get("confidence")


def gates_of_file(text: str, place: str, folder: str, confidence: float | None) -> list[Accepted]:
    """Return the gates of a `modelbench.toml`.

    Args:
        text: its content.
        place: its name in messages and in the names of tests.
        folder: where its relative paths start.
        confidence: of each side, for gates that state none.

    Raises:
        UsageMistake: every mistake in it, one a line.
    """
    sla, mistakes, _ = read_sla(text, place, folder)
    accepted = []
    for entry in sla.kpis:
        try:
            gate = read_gate((entry.kpi, *entry.limits), entry.options, confidence, source=place)
        except UsageMistake as mistake:
            mistakes.append(f"{place}:{entry.line}: {mistake}")
            continue
        accepted.append(Accepted(nodeid=f"{place}::{entry.name}", gate=gate))
    if mistakes:
        raise UsageMistake("\n".join(mistakes))
    return accepted


def reported(kpi: str) -> Accepted:
    """Return a gate that only reports a KPI of the catalogue."""
    return Accepted(nodeid=f"monitor::{kpi}", gate=read_gate((kpi,), {}))
