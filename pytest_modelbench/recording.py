"""Measures the teacher alone, gate by gate, for a contract that later sessions judge students by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import DataError, MeasurementError, NotApplicable
from pytest_modelbench.gates import Gate
from pytest_modelbench.judged import judged, unjudged
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.store.contract import twice
from pytest_modelbench.store.recorded import Recorded, RecordedData, RecordedReading, write_contract
from pytest_modelbench.verdicts import Judgement

if TYPE_CHECKING:
    from pytest_modelbench.measuring import GateMeasurements
    from pytest_modelbench.session import BenchSession, ItemPlan, Sources

ALONE: Mapping[str, str] = {"student": "teacher"}
"""The teacher stands in the student's place, and there is nothing that it is compared with."""


class Recorder:
    """Gathers what is measured of the teacher."""

    def __init__(self) -> None:
        self.recorded = Recorded()
        self._data: dict[str, int] = {}

    def judge(
        self, session: BenchSession, plan: ItemPlan, gate: Gate, sources: Sources
    ) -> tuple[GateResult, Judgement | None]:
        """Measure the teacher for a gate, and its outputs over the gate's data once.

        Raises:
            ModelbenchError: it cannot be measured.
        """
        from pytest_modelbench.measuring import GateMeasurements

        if gate.kpi.probe == "benchmark":
            raise NotApplicable("pytest-benchmark times what the test calls, which is no part of a contract")
        if not sources.has("teacher") and gate.kpi.probe != "record":
            raise MeasurementError("there is no teacher to record. Define the fixture teacher_model")
        taken = GateMeasurements(session, plan, gate, sources).acting(ALONE)
        data = self._outputs(taken) if gate.kpi.needs_data else None
        if gate.kpi.paired:
            if not gate.from_predictions:
                raise NotApplicable("it compares student and teacher layer by layer, which no contract can hold")
            return unjudged(plan.student, gate, Verdict.PASS, "the teacher's outputs are recorded"), None
        found = taken.judged(gate.question(with_teacher=False, seed=plan.settings.seed), [])
        evidence = found.evidence
        known = {(one.kpi, repr(one.options), one.data) for one in self.recorded.readings}
        if (gate.kpi.name, repr(gate.told_options), data) not in known:
            self.recorded.readings.append(
                RecordedReading(
                    kpi=gate.kpi.name,
                    pillar=gate.kpi.pillar,
                    options=gate.told_options,
                    data=data,
                    reading=evidence.student,
                    reference=evidence.reference,
                )
            )
        return judged(plan.student, gate, found), found

    def _outputs(self, taken: GateMeasurements) -> int:
        key = taken.data().key
        if key not in self._data:
            outputs = taken.outputs("student")
            if not isinstance(outputs.ids, range) and len(set(map(str, outputs.ids))) < len(outputs):
                again = twice([str(one) for one in outputs.ids])
                raise DataError(f"the id {again!r} names more than one sample: nothing could be paired by it")
            self._data[key] = len(self.recorded.data)
            self.recorded.data.append(RecordedData(outputs=outputs, inputs=taken.session.inputs_hash(taken.data())))
        return self._data[key]

    def write(
        self, path: Path, teacher: Mapping[str, Any], environment: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> str:
        """Write the contract and return what the summary says of it; nothing is written where nothing was measured.

        Raises:
            OSError: it cannot be written.
        """
        if not self.recorded.readings and not self.recorded.data:
            return "contract: nothing was measured of the teacher, so none was written"
        self.recorded.teacher = dict(teacher)
        write_contract(self.recorded, path, environment, settings)
        samples = sum(len(one.outputs) for one in self.recorded.data)
        return f"contract: {path.name} ({len(self.recorded.readings)} readings, {samples:,} samples)"
