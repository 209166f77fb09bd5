"""Overlap of masks: values by hand, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from tables import evidence

TARGETS = np.array([[[0, 1], [1, 1]], [[0, 0], [255, 1]]])
RIGHT = np.stack([number == TARGETS for number in range(2)], axis=1).astype(float)


def test_pixel_accuracy_leaves_out_ignored_pixels() -> None:
    student = RIGHT.copy()
    student[0, :, 0, 0] = [0.0, 1.0]
    judged = evidence(
        "pixel_accuracy",
        ">= 50%",
        "drop <= 20 pp",
        student=student,
        teacher=RIGHT,
        targets=TARGETS,
        data={"task": "segmentation", "ignore_index": 255},
    )
    assert judged.student.value == pytest.approx(100 * 6 / 7)
    assert judged.teacher is not None
    assert judged.teacher.value == 100
    assert judged.worst_samples == ("0",)
