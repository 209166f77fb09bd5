"""What the KPIs of one task read: the data, and the answers of the student and, if it is compared, of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.task_data import TaskData
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import TASK_ANSWERS
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers

Data = TypeVar("Data", bound=TaskData)


@dataclass(frozen=True)
class Answered(Generic[Data]):
    """The data of a task, and answers by role."""

    data: Data
    answers: Mapping[str, TaskAnswers]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report says about both models: nothing."""
        return ()

    @property
    def student(self) -> TaskAnswers:
        """The student's answers, with the targets."""
        return self.answers["student"]

    def worst(self, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of some samples, the worst first, for the report."""
        return shown_ids(self.student.ids, index)


def answered(
    question: Question, measurements: Measurements, kind: type[Data], *, both: bool = False
) -> Answered[Data]:
    """Return the answers that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        kind: the class of the task's data.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        DataError: both models were measured on other samples, or in another order.
    """
    data = measurements.data()
    if not isinstance(data, kind):
        raise DoesNotFit(
            f"{question.kpi.name} is for {kind.TASK}. Write EvalData(..., task={kind.TASK!r})"
            + (f"; the task of these data is {data.task}" if data.task else "")
        )
    roles = ("student", "teacher") if both or question.with_teacher else ("student",)
    answers = {role: measurements.of(TASK_ANSWERS, role) for role in roles}
    if len(answers) > 1:
        check_paired(answers["student"], answers["teacher"])
    return Answered(data, answers)


def check_paired(student: TaskAnswers, teacher: TaskAnswers) -> None:
    """Refuse to pair samples that are not the same ones.

    Raises:
        DataError: reading the data a second time gave other samples, or another order.
    """
    first, second = student.targets, teacher.targets
    numbered = isinstance(student.ids, range) and student.ids == teacher.ids
    same = (numbered or student.plain_ids == teacher.plain_ids) and first.keys() == second.keys()
    if not same or not all(_same(first[name], second[name]) for name in first):
        raise DataError(
            f"the data gave {teacher.model} other samples, or another order, than {student.model}: nothing can be "
            "paired. Make them read the same every time (no shuffling, a fixed seed)"
        )


def _same(first: Ragged, second: Ragged) -> bool:
    """Whether two parts are equal to the bit: NaN is equal to itself."""
    pairs = ((first.values, second.values), (first.offsets, second.offsets))
    return all(one.dtype == other.dtype and one.tobytes() == other.tobytes() for one, other in pairs)
