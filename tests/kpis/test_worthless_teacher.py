"""A limit relative to a teacher that has nothing right is kept by any student: it is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tables import evidence
from tag_tables import tag_evidence

from pytest_modelbench.errors import MeasurementError

MASKS = np.zeros((12, 4, 4), dtype=int)
ALL_WRONG = np.stack([MASKS, MASKS + 1], axis=1).astype(float)
BOXES = [{"boxes": [[1.0, 1.0, 9.0, 9.0]], "labels": [1]}] * 12
BLIND = [{"boxes": np.empty((0, 4)), "labels": [], "scores": []}] * 12
RELEVANCE = np.tile([1, 0, 0, 0], 12)
WORDS: dict[str, dict[str, Any]] = {
    "mean_iou": {"targets": MASKS, "teacher": ALL_WRONG, "data": {"task": "segmentation"}},
    "pixel_accuracy": {"targets": MASKS, "teacher": ALL_WRONG, "data": {"task": "segmentation"}},
    "map": {"targets": BOXES, "teacher": BLIND, "data": {"task": "detection"}},
    "hit_rate": {
        "targets": RELEVANCE,
        "teacher": -RELEVANCE.astype(float),
        "data": {"task": "ranking", "query": np.repeat(np.arange(12), 4)},
        "k": 1,
    },
}


@pytest.mark.parametrize("kpi", WORDS)
def test_worthless_teacher(kpi: str) -> None:
    words = {**WORDS[kpi], "student": WORDS[kpi]["teacher"]}
    with pytest.raises(MeasurementError, match=f"{kpi} of the teacher is 0%, the worst that there is"):
        evidence(kpi, "drop <= 1 pp", **words)
    assert evidence(kpi, ">= 50%", **words).student.value == 0


def test_teacher_without_a_right_entity() -> None:
    targets, wrong = [["B-PER", "O"]] * 9, [["O", "B-LOC"]] * 9
    with pytest.raises(MeasurementError, match="entity_f1 of the teacher is 0%, the worst that there is"):
        tag_evidence("entity_f1", "drop <= 1 pp", student=wrong, teacher=wrong, targets=targets)
