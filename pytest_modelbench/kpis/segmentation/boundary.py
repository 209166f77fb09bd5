"""How well the outlines of predicted masks follow those of the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import ndimage

from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.data.tasks.task_data import Array
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.segmentation.confusion import areas_of, masks_of
from pytest_modelbench.kpis.segmentation.overlap import notes_of
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of

_OF_DIAGONAL = 0.0075
"""The tolerance as a share of the image's diagonal, where none is stated."""


def boundary_f(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean over images of the F1 of boundaries, mean over the classes of the target."""
    answers, within = answered(question, measurements, SegmentationData), question.options["within_pixels"]
    areas_of(answers, "student")  # refuses targets of which no pixel counts
    tables = {role: _table(answers, role, within) for role in answers.answers}
    tolerance = "0.75% of the diagonal" if within is None else f"{within:g} pixels"
    evidence = jackknife_evidence(
        question,
        answers.data,
        tables,
        lambda sums: 100 * share_of(sums[:, 0], sums[:, 1]),
        f"boundaries within {tolerance}",
    )
    means = {role: share_of(table[:, 0], table[:, 1]) for role, table in tables.items()}
    lost = np.nan_to_num(means.get("teacher", np.ones(len(means["student"]))) - means["student"])
    order = np.argsort(-lost, kind="stable")
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(order[lost[order] > 0]),
    )


def _table(answers: Answered[SegmentationData], role: str, within: float | None) -> FloatArray:
    """Return the mean of each image and that it counts, (n, 2); zeros for images without a class."""
    measured = answers.answers[role]
    key = ("boundaries", within)
    if key not in measured.derived:
        ignored, pairs = answers.data.ignore_index, masks_of(measured)
        scores = [_of_image(answer, target, ignored, within) for answer, target in pairs]
        measured.derived[key] = np.array([(0.0, 0.0) if score is None else (score, 1.0) for score in scores])
    table: FloatArray = measured.derived[key]
    return table


def _of_image(answer: Array, target: Array, ignored: int | None, within: float | None) -> float | None:
    """Return the mean F1 of an image over the classes of its target; None where it has none."""
    counts = np.ones(target.shape, dtype=bool) if ignored is None else target != ignored
    tolerance = _OF_DIAGONAL * math.hypot(*target.shape) if within is None else within
    scores = [f1_of(answer == number, target == number, counts, tolerance) for number in np.unique(target[counts])]
    return float(np.mean(scores)) if scores else None


def f1_of(answer: Array, target: Array, counts: Array, tolerance: float) -> float:
    """Return the F1 of the boundaries of two masks of one class; 1 where neither has one, 0 where only one has.

    A pixel of a class is on its boundary if one of its four neighbours in the image is of another class.

    Args:
        answer: whether each pixel has the class, (height, width).
        target: the same of the target.
        counts: whether each pixel counts.
        tolerance: how far away a boundary may be, in pixels.

    >>> square = np.pad(np.ones((4, 4), dtype=bool), 3)
    >>> f1_of(np.roll(square, 1, axis=1), square, np.ones_like(square), 1.0)
    1.0
    """
    ours, theirs = (edge_of(mask) & counts for mask in (answer, target))
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    precision, recall = _near(ours, theirs, tolerance), _near(theirs, ours, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def edge_of(mask: Array) -> Array:
    """Return which pixels of a mask have a neighbour outside of it, (height, width); its rim does not count."""
    inner: Array = ndimage.binary_erosion(mask, border_value=1)
    return mask & ~inner


def _near(ones: Array, others: Array, tolerance: float) -> float:
    """Return the share of pixels that have one of the others within a distance."""
    distances = ndimage.distance_transform_edt(~others)
    return float((distances[ones] <= tolerance).mean())
