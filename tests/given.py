"""Models and data as an item of pytest has them, and the evidence of one gate on them outside of pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Evidence
from pytest_modelbench.settings import Settings


class GivenSources:
    """The models of an item, in the place of its fixtures."""

    def __init__(self, student: Any, teacher: Any, data: EvalData) -> None:
        self._models = {"student": student, "teacher": teacher}
        self._data = data

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return self._models.get(role) is not None

    def data(self) -> Any:
        return self._data

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def judged_by(sources: GivenSources, kpi: str, *limits: str, **options: Any) -> Evidence:
    """Return the evidence of one gate, as a notebook would get it.

    Raises:
        MeasurementError: it could not be measured; the message is the gate's reason.
    """
    gate = assigned(read_gate((kpi, *limits), options))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    answer, judgement = session.judge(plan, gate, sources)
    if judgement is None:
        raise MeasurementError(answer.reason)
    return judgement.evidence
