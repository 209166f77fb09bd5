"""Which students of a session are diagnosed, and their diagnoses, made when all gates are judged."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.measurements import GateMeasurements
from pytest_modelbench.bench.shelf import Job, Shelf, Tell
from pytest_modelbench.data.arrays import duplicate
from pytest_modelbench.errors import ModelbenchError, cause_of
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.kinds import TIMING
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.probes.timing.watchdog import beat, watchdog_for
from pytest_modelbench.results import Estimate, GateResult, Verdict
from pytest_modelbench.stats.clustered import compare_medians

if TYPE_CHECKING:
    from pytest_modelbench.diagnosis.finding import Diagnosis

MOST = 3
"""Students of a session that are diagnosed: each of them is kept in memory until the session ends."""
ONE_SIDE = 0.025
NOT_JUDGED = frozenset({Verdict.ERROR, Verdict.NOT_APPLICABLE, Verdict.NOT_RUN})
OPEN = frozenset({Verdict.FAIL, Verdict.INCONCLUSIVE})
_Student = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A student that is to be diagnosed, with all that it needs.

    Attributes:
        asking: a timed gate of its.
        student: the model.
        teacher: the same; None if none was timed.
        inputs: one batch of the size that was timed.
        time_ratio: the student's median over the teacher's at this size.
        reason: why it is diagnosed.
    """

    asking: Asking
    student: Model
    teacher: Model | None
    inputs: Any
    time_ratio: Estimate | None
    reason: str


class Diagnoses:
    """Takes note of students that are not as fast as asked or promised, and diagnoses them at the end.

    Args:
        shelf: takes each diagnosis as a measurement of its own, alone on the machine.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._suspects: dict[_Student, Suspect] = {}
        self._fast: set[_Student] = set()
        self._told: dict[_Student, Diagnosis] = {}

    def consider(self, asking: Asking, result: GateResult) -> None:
        """Take note of the student of a timed gate, if it is to be diagnosed; nothing that fails here is raised."""
        who, gate = (asking.plan.student, asking.plan.home), asking.gate
        if gate.kpi.probe is not TIMING or result.verdict in NOT_JUDGED or asking.settings.diagnose == "never":
            return
        if who in self._suspects or who in self._told or (who in self._fast and result.verdict not in OPEN):
            return
        try:
            suspect = _suspected(asking, result)
        except Exception as error:  # noqa: BLE001 - the gate is judged; why there is no diagnosis is reported
            self._leave(who, cause_of(error))
            return
        if suspect is None:
            self._fast.add(who)
        elif len(self._suspects) == MOST:
            self._leave(who, f"a session diagnoses {MOST} students at most; select the tests of this one with -k")
        else:
            self._suspects[who] = suspect

    def run(self) -> None:
        """Diagnose the students that were noted, one after the other."""
        for who, suspect in self._suspects.items():
            try:
                self._told[who] = self._shelf.take(self._job(who, suspect))
            except ModelbenchError as error:
                self._leave(who, str(error))
        self._suspects.clear()

    def leave_all(self, why: str) -> None:
        """Diagnose none of the students that were noted, for a reason."""
        for who in self._suspects:
            self._leave(who, why)
        self._suspects.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the diagnoses as JSON types."""
        return [diagnosis.to_json() for diagnosis in self._told.values()]

    def _leave(self, who: _Student, why: str) -> None:
        from pytest_modelbench.diagnosis.finding import Diagnosis

        self._told[who] = Diagnosis(student=who[0], reason=f"not diagnosed: {why}")

    def _job(self, who: _Student, suspect: Suspect) -> Job[Diagnosis]:
        name, settings = suspect.student.name, suspect.asking.settings
        return Job(
            kind="diagnosis",
            same=who,
            measure=functools.partial(_diagnosed, suspect),
            exclusive=True,
            watched=watchdog_for(settings.budget_s, f"the diagnosis of {name}"),
            shown=f"diagnosing {name}",
        )


def _suspected(asking: Asking, result: GateResult) -> Suspect | None:
    """Return the student with the reason why it is diagnosed; None if there is none."""
    measurement = GateMeasurements(asking).timing()  # which the gate was judged by
    student, sizes = asking.model("student"), measurement.batch_sizes
    if student.runs_at:
        return None  # the time of an endpoint is that of another machine
    teacher = asking.model("teacher") if "teacher" in measurement.series else None
    inputs = duplicate(asking.draws().of(sizes["student"]).batches[0])
    alike = teacher is not None and sizes["teacher"] == sizes["student"]
    suspect = Suspect(
        asking=asking,
        student=student,
        teacher=teacher,
        inputs=inputs,
        time_ratio=_ratio(measurement) if alike else None,
        reason="",
    )
    reason = _reason(suspect, result)
    return replace(suspect, reason=reason) if reason else None


def _ratio(measurement: TimingMeasurement) -> Estimate | None:
    student, teacher = (measurement.until(-1, role, tail=False) for role in ("student", "teacher"))
    return compare_medians(student, teacher, ONE_SIDE).ratio


def _reason(suspect: Suspect, result: GateResult) -> str:
    """Return why a student is diagnosed; "" if it is not."""
    if result.verdict in OPEN:
        return f"{result.kpi} {'failed' if result.verdict is Verdict.FAIL else 'is inconclusive'}"
    if suspect.asking.settings.diagnose == "always":
        return "--modelbench-diagnose=always"
    if suspect.teacher is None:
        return ""
    from pytest_modelbench.diagnosis.promise import why_too_slow

    with suspect.asking.watched(f"{suspect.student.name} or its teacher, whose sizes are counted"):
        return why_too_slow(suspect.student, suspect.teacher, suspect.inputs, suspect.time_ratio)


def _diagnosed(suspect: Suspect, tell: Tell) -> Diagnosis:
    from pytest_modelbench.diagnosis.run import BUDGET_S, Asked, diagnose

    asking, started = suspect.asking, time.monotonic()
    asking.bench.loaded.limit_threads(asking.settings)

    def returned() -> None:
        beat()
        tell(time.monotonic() - started, BUDGET_S)

    asked = Asked(reason=suspect.reason, time_ratio=suspect.time_ratio, beat=returned)
    return diagnose(suspect.student, suspect.teacher, suspect.inputs, asked)
