"""Calibration of pixels, and the names of classes that models state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tables import evidence
from torchmetrics.classification import MulticlassCalibrationError

from pytest_modelbench.data.tasks.pixel_confidence import confidences
from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.kpis.segmentation.confusion import names_of
from pytest_modelbench.results import Evidence

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 3, (30, 8, 9))
LOGITS = (RNG.normal(size=(30, 3, 8, 9)) + 2 * np.eye(3)[TARGETS].transpose(0, 3, 1, 2)).astype(np.float32)
CHANCES = torch.tensor(LOGITS).softmax(1).numpy()
VOID = np.where(RNG.random(TARGETS.shape) < 0.2, 255, TARGETS)


def judged(student: Any, targets: Any = VOID, *limits: str, **words: Any) -> Evidence:
    data = {"task": "segmentation", "ignore_index": 255, **words}
    limits = limits or ("<= 90%",)
    return evidence("segmentation_ece", *limits, student=student, teacher=student, targets=targets, data=data)


@pytest.mark.parametrize(("outputs", "scores"), [("logits", LOGITS), ("probabilities", CHANCES)])
def test_equal_to_torchmetrics(outputs: str, scores: Any) -> None:
    """Pixels that do not count are in no bin."""
    metric = MulticlassCalibrationError(3, n_bins=15, norm="l1", ignore_index=255)
    expected = 100 * float(metric(torch.tensor(CHANCES), torch.tensor(VOID)))
    found = judged(scores, outputs=outputs)
    assert found.student.value == pytest.approx(expected, abs=1e-3)
    assert sum(row["student"]["n"] for row in found.breakdown) == (VOID != 255).sum()
    low, high = found.student.estimate.low, found.student.estimate.high
    assert low is not None
    assert high is not None
    assert low < found.student.value < high


def test_the_same_model_loses_nothing() -> None:
    found = judged(LOGITS, VOID, "<= 90%", "difference <= 1 pp", outputs="logits")
    assert found.comparison is not None
    assert found.comparison.difference is not None
    assert found.comparison.difference.value == 0


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_one_channel(outputs: str) -> None:
    """The confidence is that of the class that is answered: above 0.5 for both."""
    targets = (TARGETS == 1).astype(int)
    values = torch.tensor(LOGITS[:, 1:2])
    scores = values if outputs == "logits" else values.sigmoid()
    two = torch.stack([1 - values[:, 0].sigmoid(), values[:, 0].sigmoid()], dim=1)
    expected = 100 * float(MulticlassCalibrationError(2, n_bins=15)(two, torch.tensor(targets)))
    assert judged(scores.numpy(), targets, outputs=outputs).student.value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, bool])
def test_confidences_of_arrays_are_those_of_tensors(kind: type) -> None:
    scores: Any = (LOGITS * 2).astype(kind)
    for outputs in ("logits", "probabilities"):
        ours, torchs = confidences(scores, outputs), confidences(torch.tensor(scores), outputs)
        assert ours.dtype == torchs.dtype == np.float32
        assert np.allclose(ours, torchs, atol=1e-6)


@pytest.mark.parametrize(
    ("student", "words", "message"),
    [
        (LOGITS, {}, "student needs scores, and to know which. Write EvalData"),
        (TARGETS, {"outputs": "labels"}, "needs scores"),
        (LOGITS, {"outputs": "probabilities"}, "needs probabilities from 0 to 1.*Write outputs='logits'"),
        (np.where(LOGITS > 3, np.nan, LOGITS), {"outputs": "logits"}, r"the scores of [0-9,]+ pixels are NaN"),
    ],
)
def test_scores_that_are_not_confidences(student: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        judged(student, **words)


def names(stated: list[str], **classes: list[str]) -> dict[int, str]:
    answers = {role: SimpleNamespace(classes=tuple(own)) for role, own in classes.items()}
    answered: Any = SimpleNamespace(data=SimpleNamespace(names=dict(enumerate(stated))), answers=answers)
    return names_of(answered)


def test_names_of_classes() -> None:
    """Those of the data, or else of a model; other names are fine, the same ones with other numbers are not."""
    assert names([]) == {}
    assert names([], student=["sky", "car"]) == {0: "sky", 1: "car"}
    assert names(["a", "b"], student=["sky", "car"], teacher=["sky", "cars", "bus"]) == {0: "a", 1: "b"}
    with pytest.raises(
        DataError, match="class 'car' is number 0 of teacher and 1 of student, and masks are compared"
    ):
        names([], student=["sky", "car"], teacher=["car", "sky"])
    with pytest.raises(DataError, match="class 'bus' is number 2 of student and 1 of the data"):
        names(["sky", "bus"], student=["sky", "car", "bus"])
