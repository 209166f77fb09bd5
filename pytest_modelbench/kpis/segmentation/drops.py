"""Reading of the class whose intersection over union dropped most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.kpis.by_group import Mask, groups_of, paired_by_group
from pytest_modelbench.kpis.by_task import answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.segmentation.confusion import areas_of, class_names, iou_of, split
from pytest_modelbench.kpis.segmentation.overlap import notes_of
from pytest_modelbench.kpis.worst_drop import Classes, worst_drop
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import IntArray


def iou_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of a class's intersection over union.

    Raises:
        DoesNotFit: no class is in enough images.
    """
    answers = answered(question, measurements, SegmentationData, both=True)
    areas = {role: areas_of(answers, role) for role in answers.answers}
    tables = {role: its.table for role, its in areas.items()}
    paired = paired_by_group(question, answers.data.group, tables)
    present = split(tables["student"])[1] > 0
    groups = groups_of(answers.data.group, len(present))
    classes = Classes(
        names=class_names(answers, areas["student"]),
        n=present.sum(axis=0),
        units=_units(present, groups),
        values={role: 100 * iou_of(totals["sums"])[0] for role, totals in paired.totals.items()},
        drawn={role: 100 * iou_of(resampled["sums"]) for role, resampled in paired.drawn.items()},
        of="images",
    )
    evidence, worst = worst_drop(question, classes, "pixels of all images together")
    lost = iou_of(tables["teacher"])[:, worst] - iou_of(tables["student"])[:, worst]
    order = np.argsort(-np.nan_to_num(lost), kind="stable")
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(order[np.nan_to_num(lost)[order] > 0]),
    )


def _units(present: Mask, groups: IntArray) -> IntArray:
    """Return in how many groups each class occurs, (classes,)."""
    units: IntArray = np.array([len(np.unique(groups[column])) for column in present.T], dtype=np.intp)
    return units
