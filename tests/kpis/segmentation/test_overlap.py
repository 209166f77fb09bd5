"""Overlap of masks: values by hand and those of libraries, classes, worst images, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, recall_score
from tables import evidence
from torchmetrics.classification import MulticlassJaccardIndex

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.results import Evidence

TARGETS = np.array([[[0, 1], [1, 1]], [[0, 0], [255, 1]]])
RIGHT = np.stack([number == TARGETS for number in range(2)], axis=1).astype(float)
DATA = {"task": "segmentation", "ignore_index": 255}


def judged(kpi: str, *limits: str, **words: Any) -> Evidence:
    words.setdefault("data", DATA)
    return evidence(kpi, *(limits or (">= 1%", "drop <= 99 pp")), **{"targets": TARGETS, "teacher": RIGHT, **words})


def one_wrong() -> np.ndarray[Any, Any]:
    """Return scores that take the first pixel of the first image for class 1."""
    scores = RIGHT.copy()
    scores[0, :, 0, 0] = [0.0, 1.0]
    return scores


@pytest.mark.parametrize(
    ("kpi", "value"),
    [
        ("pixel_accuracy", 6 / 7),
        ("mean_iou", (2 / 3 + 4 / 5) / 2),
        ("dice", (4 / 5 + 8 / 9) / 2),
        ("mean_pixel_accuracy", (2 / 3 + 1) / 2),
        ("frequency_weighted_iou", 3 / 7 * 2 / 3 + 4 / 7 * 4 / 5),
    ],
)
def test_values_by_hand(kpi: str, value: float) -> None:
    """Three pixels are of class 0 and four of class 1; one does not count."""
    found = judged(kpi, student=one_wrong())
    assert found.student.value == pytest.approx(100 * value)
    assert found.teacher is not None
    assert found.teacher.value == 100
    assert found.worst_samples == ("0",)


def masks(seed: int, shape: tuple[int, ...], classes: int) -> np.ndarray[Any, Any]:
    """Return random masks in which some classes are rare or lacking."""
    rng = np.random.default_rng(seed)
    return rng.choice(classes, shape, p=rng.dirichlet(np.full(classes, 0.3)))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), ignored=st.sampled_from([None, 0, 255]))
def test_equal_to_scikit_learn_and_torchmetrics(seed: int, classes: int, ignored: int | None) -> None:
    """On random masks, with and without pixels that do not count."""
    targets, answers = masks(seed, (6, 5, 7), classes), masks(seed + 1, (6, 5, 7), classes)
    answers = np.where(np.random.default_rng(seed).random(answers.shape) < 0.6, targets, answers)
    if ignored == 255:
        targets[:, 0] = 255
    scores = np.eye(classes)[answers].transpose(0, 3, 1, 2)
    counts = targets != ignored if ignored is not None else np.ones(targets.shape, dtype=bool)
    if not counts.any():
        return
    flat, present = (targets[counts], answers[counts]), np.unique(targets[counts])
    words: dict[str, Any] = {"student": scores, "teacher": scores, "targets": targets}
    words["data"] = {"task": "segmentation", "ignore_index": ignored}
    for kpi, function in (("mean_iou", jaccard_score), ("dice", f1_score), ("mean_pixel_accuracy", recall_score)):
        expected = 100 * function(*flat, labels=present, average="macro", zero_division=0)
        assert judged(kpi, ">= 1%", **words).student.value == pytest.approx(expected)
    metric = MulticlassJaccardIndex(classes, average="none", ignore_index=ignored)
    by_class = metric(torch.from_numpy(answers), torch.from_numpy(targets)).numpy()[present]
    assert judged("mean_iou", ">= 1%", **words).student.value == pytest.approx(100 * by_class.mean(), abs=1e-3)


def test_rows_of_classes_and_slices() -> None:
    """Each class with the number of images it is in, and each slice."""
    dark = np.array([True, False, True, False])
    targets = np.concatenate([TARGETS, TARGETS])
    student = np.concatenate([one_wrong(), RIGHT])
    found = judged(
        "mean_iou",
        student=student,
        teacher=np.concatenate([RIGHT, RIGHT]),
        targets=targets,
        data={**DATA, "classes": ["road", "car"], "slices": {"dark": dark}},
    )
    rows = {row["name"]: row for row in found.breakdown}
    assert rows["class=road"]["n"] == 4
    assert rows["class=road"]["student"] == pytest.approx(100 * 5 / 6)
    assert rows["class=road"]["teacher"] == 100
    assert rows["dark"]["n"] == 2


def test_nan_scores_are_wrong() -> None:
    """Neither class 0, as argmax of zeros, nor the class that is NaN."""
    scores = RIGHT.copy()
    scores[1, 0, 0, 0] = np.nan
    found = judged("pixel_accuracy", ">= 1%", student=scores)
    assert found.student.value == pytest.approx(100 * 6 / 7)
    assert "student: 1 pixels whose scores are NaN or infinite count as wrong" in found.notes


def test_class_that_no_target_has() -> None:
    """It is in no mean, and the report says so; the targets' classes lose the pixels."""
    scores = np.concatenate([RIGHT, np.zeros((2, 1, 2, 2))], axis=1)
    scores[0, 2, 0, 0] = 2.0
    found = judged("mean_iou", ">= 1%", student=scores, teacher=scores)
    assert found.student.value == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert "student: answers have classes that no target has, which no mean counts: 2" in found.notes


def test_ignored_class_of_the_model_is_noted() -> None:
    found = judged("pixel_accuracy", ">= 1%", student=RIGHT, targets=TARGETS % 254, data={**DATA, "ignore_index": 1})
    assert "ignore_index=1 is a class of the model: its pixels do not count" in found.notes


def test_nothing_counts() -> None:
    with pytest.raises(MeasurementError, match="no pixel of the targets counts"):
        judged("mean_iou", ">= 1%", student=RIGHT, targets=np.full((2, 2, 2), 255))


def test_groups_widen_the_interval() -> None:
    """Four copies of an image are one observation."""
    rng = np.random.default_rng(3)
    targets = masks(3, (20, 8, 8), 3)
    scores = np.eye(3)[np.where(rng.random(targets.shape) < 0.8, targets, 0)].transpose(0, 3, 1, 2)
    words: dict[str, Any] = {"student": np.tile(scores, (4, 1, 1, 1)), "targets": np.tile(targets, (4, 1, 1))}
    words["teacher"] = words["student"]
    alone = judged("mean_iou", ">= 1%", **words, data={"task": "segmentation"}, confidence=0.95)
    grouped = judged(
        "mean_iou", ">= 1%", **words, data={"task": "segmentation", "group": list(range(20)) * 4}, confidence=0.95
    )
    assert alone.student.estimate.low is not None
    assert grouped.student.estimate.low is not None
    assert grouped.student.value - grouped.student.estimate.low > 1.6 * (
        alone.student.value - alone.student.estimate.low
    )


def test_rare_class_proves_as_little_as_it_is_seen() -> None:
    """All pixels are right, and one class is in few images: the bound is theirs; in one image it has none."""
    ends = []
    for rare in (40, 4, 1):
        targets = np.zeros((40, 4, 4), dtype=int)
        targets[:rare, 0] = 1
        scores = np.eye(2)[targets].transpose(0, 3, 1, 2)
        found = judged("mean_iou", ">= 1%", student=scores, teacher=scores, targets=targets, confidence=0.95)
        assert found.student.value == 100
        assert found.student.estimate.low is not None
        ends.append(found.student.estimate.low)
    assert ends[0] == pytest.approx(97, abs=0.1)
    assert 50 < ends[1] < 80
    assert ends[2] == 0
