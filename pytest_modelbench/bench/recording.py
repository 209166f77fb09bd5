"""Measures the teacher alone, gate by gate, for a contract that later sessions judge students by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_modelbench.bench.asking import Asking, settings_that_count
from pytest_modelbench.bench.gate_results import judged, unjudged
from pytest_modelbench.bench.kinds import recorded_of
from pytest_modelbench.bench.measurements import GateMeasurements
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.data.tasks.names import OF_ANSWERS
from pytest_modelbench.errors import DataError, MeasurementError, NotApplicable
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.probes.kinds import CORRUPTED, EXPORT, PARITY, TASK_ANSWERS, ProbeKind
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.store.contract import twice
from pytest_modelbench.store.recorded import Recorded, RecordedData, RecordedReading, write_contract
from pytest_modelbench.store.recorded_kinds import refuse_large

ALONE: Mapping[str, str] = {"student": "teacher"}
"""The teacher stands in the student's place, and there is nothing that it is compared with."""


class Recorder:
    """Gathers what is measured of the teacher."""

    def __init__(self) -> None:
        self.recorded = Recorded()
        self._data: dict[str, int] = {}
        self._teacher = ""

    def judge(self, asking: Asking) -> tuple[GateResult, Judgement | None]:
        """Measure the teacher for a gate and for the conditions of its limits.

        Raises:
            ModelbenchError: it cannot be measured.
        """
        for condition in asking.gate.recorded:
            self._measured(asking.about(condition))
        return self._measured(asking)

    def _measured(self, asking: Asking) -> tuple[GateResult, Judgement | None]:
        plan, gate = asking.plan, asking.gate
        if gate.kpi.probe.own_rounds:
            raise NotApplicable("pytest-benchmark times what the test calls, which a contract does not include")
        if gate.kpi.probe.recorded and "teacher" not in asking.sources.recorded(gate.kpi.name):
            raise NotApplicable("the test records no value of the teacher")
        if gate.kpi.probe in {EXPORT, PARITY}:
            raise NotApplicable("it is about how the student is deployed; no limit compares it with the teacher's")
        taken = GateMeasurements(asking.acting(ALONE))
        if not gate.kpi.probe.recorded:
            self._refuse_another(asking.hash_of(taken.model("student")))
        data = self._data_of(taken, gate) if gate.kpi.needs_data else None
        if (kind := _kind_kept(taken, gate)) is not None:
            self._keep(asking, kind, data)
        if gate.kpi.paired:
            if not (gate.from_recording or gate.from_predictions):
                raise NotApplicable(f"it compares student and teacher {_how(gate)}, which no contract can hold")
            return unjudged(plan.student, gate, Verdict.REPORTED, "the teacher's outputs are recorded"), None
        judgement = taken.judged(gate.question(with_teacher=False, seed=plan.settings.seed), [])
        reading = RecordedReading(
            kpi=gate.kpi.name,
            pillar=gate.kpi.pillar,
            options=gate.told_options,
            data=data,
            reading=judgement.evidence.student,
            reference=judgement.evidence.reference,
            settings=settings_that_count(plan.settings),
            test=plan.test if gate.kpi.probe.recorded else "",
        )
        positions = {earlier.known_by: at for at, earlier in enumerate(self.recorded.readings)}
        at = positions.get(reading.known_by)
        if at is None:
            self.recorded.readings.append(reading)
        elif reading.reference is not None:  # a condition was measured without the workload
            self.recorded.readings[at] = reading
        result = judged(plan.student, gate, judgement)
        return replace(result, teacher_reading=result.student_reading, student_reading=None), judgement

    def _refuse_another(self, teacher: str) -> None:
        self._teacher = self._teacher or teacher
        if teacher != self._teacher:
            raise MeasurementError(
                f"this suite has several teachers ({self._teacher} and {teacher}), and a contract is that of one. "
                "Record each in a separate session"
            )

    def _keep(self, asking: Asking, kind: ProbeKind[Any], data: int | None) -> None:
        """Keep the teacher's measurement as it is: evidence is derived from it beside a student's."""
        recorded = recorded_of(asking, kind, data)
        refuse_large(recorded)
        self.recorded.kinds[recorded.known_by] = recorded

    def _data_of(self, taken: GateMeasurements, gate: Assignment) -> int:
        """Return the number of a gate's evaluation set, with the teacher's outputs where the gate is about them."""
        data, outputs = taken.data(), None
        if data.in_parts:
            raise NotApplicable(
                "a contract has the teacher's outputs for all samples, and those of data in shards are not kept. "
                "Judge the student beside the teacher"
            )
        if gate.from_predictions and data.task not in OF_ANSWERS:
            outputs = taken.outputs("student")
            if not isinstance(outputs.ids, range) and len(set(map(str, outputs.ids))) < len(outputs):
                again = twice([str(sample) for sample in outputs.ids])
                raise DataError(f"the id {again!r} names more than one sample: nothing could be paired by it")
        number = self._data.setdefault(data.key, len(self.recorded.data))
        if number == len(self.recorded.data):
            spot = {} if data.ids is None else data.row_hashes()
            recorded = RecordedData(
                key=data.fingerprint(), reading=data.reading, spot=spot, ids=data.ids_hash(), outputs=outputs
            )
            self.recorded.data.append(recorded)
        elif outputs is not None:
            self.recorded.data[number] = replace(self.recorded.data[number], outputs=outputs)
        return number

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
        samples = sum(len(data.outputs) for data in self.recorded.data if data.outputs is not None)
        sizes = "".join(
            f", {recorded.kind} of {format_judged(recorded.size_bytes, 'B')}"
            for recorded in self.recorded.kinds.values()
        )
        return f"contract: {path.name} ({len(self.recorded.readings)} readings, {samples:,} samples{sizes})"


def _kind_kept(taken: GateMeasurements, gate: Assignment) -> ProbeKind[Any] | None:
    """Return the kind of measurement that a contract keeps for a gate; None for outputs or a value only."""
    if gate.from_recording:
        return gate.kpi.probe.records or gate.kpi.probe
    read = gate.from_predictions and taken.data().task in OF_ANSWERS
    return TASK_ANSWERS if read else None


def _how(gate: Assignment) -> str:
    """Return in words how a KPI compares two models that must both be there."""
    if gate.kpi.probe is CORRUPTED or "under" in gate.options:
        return "under corruptions"
    return "measured together" if gate.kpi.probe.beside else "layer by layer"
