"""Pixels of each class by image: of the target, of the answer, and of both; counted once for all KPIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.data.tasks.masks import WRONG, unpacked
from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.data.tasks.task_data import Array
from pytest_modelbench.errors import DataError, DoesNotFit, shown
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.stats.cells import FloatArray, share_of


@dataclass(frozen=True, kw_only=True)
class Areas:
    """How many pixels that count each class has in each image, all (n, classes).

    Attributes:
        both: of target and answer.
        target: of the target.
        answer: of the answer.
        wrong: pixels without any class, whose scores are NaN, (n,).
    """

    both: FloatArray
    target: FloatArray
    answer: FloatArray
    wrong: FloatArray

    @property
    def classes(self) -> Array:
        """The classes that some target has."""
        return np.flatnonzero(self.target.any(axis=0))

    @property
    def table(self) -> FloatArray:
        """The three of them side by side, for the classes that some target has, (n, 3 * classes)."""
        parts = (self.both, self.target, self.answer)
        return np.concatenate([part[:, self.classes] for part in parts], axis=1)


def split(table: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the three parts of `Areas.table` or of its sums, (..., classes) each."""
    both, target, answer = np.split(table, 3, axis=-1)
    return both, target, answer


def iou_of(table: FloatArray) -> FloatArray:
    """Return the intersection over union of each class, (..., classes); NaN where the target has none of it."""
    both, target, answer = split(table)
    return np.where(target > 0, share_of(both, target + answer - both), np.nan)


def masks_of(measured: TaskAnswers) -> Iterator[tuple[Array, Array]]:
    """Yield the mask of the answer and that of the target of each image, (height, width)."""
    for sample in range(len(measured)):
        answer = unpacked(measured.answers["mask"][sample], measured.answers["size"][sample])
        yield answer, unpacked(measured.targets["mask"][sample], measured.targets["size"][sample])


def areas_of(answers: Answered[SegmentationData], role: str) -> Areas:
    """Return the pixels of a model's masks, counted once for a measurement.

    Raises:
        DoesNotFit: no pixel counts.
    """
    measured = answers.answers[role]
    if "areas" not in measured.derived:
        measured.derived["areas"] = _counted(measured, answers.data.ignore_index)
    areas: Areas = measured.derived["areas"]
    if not areas.target.any():
        raise DoesNotFit("no pixel of the targets counts: all have the number of ignore_index")
    return areas


def _counted(measured: TaskAnswers, ignored: int | None) -> Areas:
    rows = [_of_image(answer, target, ignored) for answer, target in masks_of(measured)]
    most = max(len(part) for row in rows for part in row)
    tables = [np.stack([np.pad(row[part], (0, most - len(row[part]))) for row in rows]) for part in range(3)]
    both, target, answer = (table.astype(np.float64) for table in tables)
    wrong = target.sum(axis=1) - answer[:, 1:].sum(axis=1)
    return Areas(
        both=both[:, 1:],
        target=target[:, 1:],
        answer=answer[:, 1:],
        wrong=wrong,
    )


def _of_image(answer: Array, target: Array, ignored: int | None) -> tuple[Array, Array, Array]:
    """Count the pixels of both, of the target and of the answer by class, the class `WRONG` first."""
    if ignored is not None:
        counts = target != ignored
        answer, target = answer[counts], target[counts]
    answer, target = (part.reshape(-1).astype(np.intp) - WRONG for part in (answer, target))
    return np.bincount(target[answer == target]), np.bincount(target), np.bincount(answer)


def class_names(answers: Answered[SegmentationData], areas: Areas) -> list[str]:
    """Return the names of the classes that targets have."""
    names = names_of(answers)
    return [names.get(number, str(number)) for number in areas.classes.tolist()]


def names_of(answers: Answered[SegmentationData]) -> dict[int, str]:
    """Return the names of classes by their numbers: those of the data, or else those that a model states.

    Raises:
        DataError: a model has another number for one of these names, and masks are compared by number.
    """
    stated = {"the data": answers.data.names} if answers.data.names else {}
    stated |= {role: dict(enumerate(its.classes)) for role, its in answers.answers.items() if its.classes}
    whose, names = next(iter(stated.items()), ("", {}))
    numbers = {name: number for number, name in names.items()}
    for role, own in stated.items():
        moved = next((number for number, name in own.items() if numbers.get(name, number) != number), None)
        if moved is not None:
            raise DataError(
                f"the class {shown(own[moved])} is number {moved} of {role} and {numbers[own[moved]]} of {whose}, "
                "and masks are compared by number. Let the models number their classes as the targets do, or correct "
                "their id2label"
            )
    return names
