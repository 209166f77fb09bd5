"""Masks beside the teacher's, the worst class, and boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.segmentation.boundary import edge_of, f1_of

TARGETS = np.random.default_rng(0).integers(0, 3, (40, 6, 6))


def scores(masks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    eye: np.ndarray[Any, Any] = np.eye(3)
    channels_first: np.ndarray[Any, Any] = eye[masks].transpose(0, 3, 1, 2)
    return channels_first


def judged(kpi: str, student: Any, teacher: Any, *limits: str, **options: Any) -> Any:
    data = {"task": "segmentation", **options.pop("data", {})}
    limits = limits or (("<= 99%",) if kpi == "lost_pixels" else (">= 1%",))
    return evidence(
        kpi, *limits, student=scores(student), teacher=scores(teacher), targets=TARGETS, data=data, **options
    )


def changed(share: float, of: int | None = None, to: int = 0) -> np.ndarray[Any, Any]:
    """Return the targets with a share of the pixels of a class, or of all, in another class."""
    hit = np.random.default_rng(1).random(TARGETS.shape) < share
    return np.where(hit & ((of == TARGETS) if of is not None else True), to, TARGETS)


def test_agreement_and_lost_pixels() -> None:
    """Both by hand: 36 pixels in each of 40 images."""
    student, teacher = TARGETS.copy(), TARGETS.copy()
    student[0, 0] = (TARGETS[0, 0] + 1) % 3
    teacher[1, :2] = (TARGETS[1, :2] + 1) % 3
    student[1, 0] = (TARGETS[1, 0] + 2) % 3  # the teacher is wrong there, too: nothing is lost
    total = TARGETS.size
    same = judged("mask_agreement", student, teacher)
    assert same.student.value == pytest.approx(100 * (total - 18) / total)
    assert same.worst_samples == ("1", "0")
    lost = judged("lost_pixels", student, teacher)
    assert lost.student.value == pytest.approx(100 * 6 / total)
    assert lost.worst_samples == ("0",)
    assert lost.student.estimate.high > 100 * 6 / total


def test_masks_against_those_of_the_teacher() -> None:
    """The targets play no part."""
    student, teacher = changed(0.2), changed(0.5, of=1, to=2)
    both = [((student == k) & (teacher == k)).sum() / ((student == k) | (teacher == k)).sum() for k in range(3)]
    assert judged("mask_iou", student, teacher).student.value == pytest.approx(100 * np.mean(both))
    assert judged("mask_iou", student, student).student.value == 100


def test_worst_class() -> None:
    """One class is often taken for another, which loses by that, too, but less."""
    data = {"classes": ["sky", "road", "sign"]}
    found = judged("iou_drop", changed(0.6, of=2), TARGETS, "<= 10 pp", data=data)
    assert [row["name"] for row in found.breakdown] == ["sign", "sky", "road"]
    assert found.student.value == pytest.approx(found.breakdown[0]["teacher"] - found.breakdown[0]["student"])
    assert found.breakdown[2]["value"] == 0
    assert found.student.estimate.low > 40
    assert "lost beyond chance (bootstrap, Holm): sign, sky" in found.notes


def test_answers_do_not_make_a_class_frequent() -> None:
    """A class counts by the images whose target has it, not by those in which a model sees it."""
    rare = np.where((TARGETS == 2) & (np.arange(40) > 1)[:, None, None], 0, TARGETS)
    made = evidence(
        "iou_drop", "<= 10 pp", student=scores(TARGETS), teacher=scores(TARGETS), targets=rare,
        data={"task": "segmentation"},
    )  # fmt: skip
    assert "too small to judge: 2 (2)" in made.notes


def test_classes_in_too_few_images() -> None:
    with pytest.raises(MeasurementError, match="no class has 41 images or more"):
        judged("iou_drop", TARGETS, TARGETS, "<= 10 pp", min_n=41)


SQUARE = np.pad(np.ones((4, 4), dtype=bool), 4)


def test_boundary_by_hand() -> None:
    """A square's outline has 12 pixels; moved by two, those of two sides and the near corners are within one."""
    everywhere = np.ones_like(SQUARE)
    assert edge_of(SQUARE).sum() == 12
    assert f1_of(SQUARE, SQUARE, everywhere, 0.0) == 1
    assert f1_of(np.roll(SQUARE, 1, axis=0), SQUARE, everywhere, 1.0) == 1
    assert f1_of(np.roll(SQUARE, 2, axis=0), SQUARE, everywhere, 0.0) == pytest.approx(4 / 12)
    assert f1_of(np.zeros_like(SQUARE), SQUARE, everywhere, 1.0) == 0
    assert edge_of(everywhere).sum() == 0


def test_boundary_of_a_suite() -> None:
    """The background's boundary is outside of the square's, within one pixel."""
    targets = np.stack([SQUARE, SQUARE]).astype(int)
    moved = np.stack([np.roll(SQUARE, 3, axis=1), SQUARE]).astype(int)
    words = {"student": np.eye(2)[moved].transpose(0, 3, 1, 2), "teacher": np.eye(2)[targets].transpose(0, 3, 1, 2)}
    found = evidence("boundary_f", ">= 1%", "drop <= 90 pp", **words, targets=targets, data={"task": "segmentation"})
    assert found.teacher is not None
    assert found.teacher.value == 100
    assert 50 < found.student.value < 100
    assert found.worst_samples == ("0",)
    wide = evidence("boundary_f", ">= 1%", **words, targets=targets, data={"task": "segmentation"}, within_pixels=3)
    assert wide.student.value == 100


@pytest.mark.parametrize("kpi", ["mask_iou", "boundary_f"])
def test_ignored_targets_are_named(kpi: str) -> None:
    """Not `nan on these data`."""
    scores = np.stack([np.eye(2)] * 2)[:, None].repeat(2, axis=1)
    with pytest.raises(MeasurementError, match="no pixel of the targets counts: all have the number of ignore_index"):
        evidence(
            kpi, ">= 1%", student=scores, teacher=scores, targets=np.full((2, 2, 2), 255),
            data={"task": "segmentation", "ignore_index": 255},
        )  # fmt: skip
