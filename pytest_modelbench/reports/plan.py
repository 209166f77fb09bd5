"""What a run would measure, and which gates share each measurement; nothing is run for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pytest_modelbench.gates import Gate
from pytest_modelbench.settings import Settings

PASSES = frozenset({"outputs", "predictions"})


class Planned(Protocol):
    """What the plan knows of an item (see `session.ItemPlan`)."""

    @property
    def student(self) -> str:
        """The student's label."""

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The item's gates."""

    @property
    def settings(self) -> Settings:
        """The settings that hold for it."""

    @property
    def home(self) -> tuple[str, ...]:
        """Where its models and data come from."""


def plan_lines(items: Sequence[Planned]) -> list[str]:
    """Return the plan as lines: timed measurements, forward passes, and what is counted or recorded.

    The time that is stated for a timed measurement is its budget: it ends earlier when every limit that shares it is
    decided.
    """
    gates = [(item, gate) for item in items for gate in item.gates]
    if not gates:
        return ["no gate is selected, so nothing would be measured"]
    timed = list(_timed(items))
    passes = list(_passes(items))
    counted = sorted({f"{item.student}: {gate.kpi.name}" for item, gate in gates if gate.kpi.probe in _COUNTED})
    most = sum(seconds for _, seconds in timed)
    needs = f"{len(timed)} timed measurements, {len(passes)} forward passes, at most {most:,.0f} s of timing"
    return [
        f"{len(gates)} gates of {len(items)} items: {needs}",
        *(f"timed    {told} (at most {seconds:g} s)" for told, seconds in timed),
        *(f"pass     {told}" for told in passes),
        *(f"counted  {told}" for told in counted),
    ]


_COUNTED = frozenset({"parameters", "artefact", "record"})


def _all_gates(item: Planned) -> list[Gate]:
    return [one for gate in item.gates for one in (gate, *gate.conditions)]


def _timed(items: Sequence[Planned]) -> Iterator[tuple[str, float]]:
    """Yield what would be timed together, as `BenchSession.sharing` has it."""
    groups: dict[tuple[object, ...], list[Gate]] = {}
    for item in items:
        for gate in _all_gates(item):
            if gate.kpi.timed:
                key = (item.student, item.home, item.settings, gate.setup)
                groups.setdefault(key, []).append(gate)
    for (student, _, settings, setup), shared in groups.items():
        models = f"{student} and teacher" if any(gate.needs_teacher for gate in shared) else student
        names = ", ".join(dict.fromkeys(gate.kpi.name for gate in shared))
        assert isinstance(settings, Settings)  # noqa: S101 - it is the third of the key above
        yield f"{models}, {setup}: {names}", settings.budget_s


def _passes(items: Sequence[Planned]) -> Iterator[str]:
    """Yield the forward passes over the evaluation data: one for each student, one for a teacher."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for item in items:
        for gate in _all_gates(item):
            if gate.kpi.probe not in PASSES:
                continue
            groups.setdefault((item.student, item.home), []).append(gate.kpi.name)
            if gate.needs_teacher:
                groups.setdefault(("teacher", (item.home[0], item.home[2])), []).append(gate.kpi.name)
    for (model, _), names in groups.items():
        yield f"{model} over the evaluation data: {', '.join(dict.fromkeys(names))}"
