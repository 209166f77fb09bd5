"""Metrics that users bring for tasks beyond one label: what they get, groups, torchmetrics, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tables import evidence
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.retrieval import RetrievalMRR

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.task_metrics import _update
from pytest_modelbench.results import Evidence

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 3, (12, 4, 5))
SCORES = RNG.normal(size=(12, 3, 4, 5)) + 2 * np.stack([number == TARGETS for number in range(3)], axis=1)
MASKS = {"task": "segmentation"}
BOXES = [{"boxes": np.array([[0.0, 0.0, 10.0 + at, 10.0]]), "labels": np.array([at % 2])} for at in range(6)]


def own(metric: Any, *limits: str, better: str = "higher", **words: Any) -> Evidence:
    words = {"student": SCORES, "teacher": SCORES, "targets": TARGETS, "data": MASKS} | words
    return evidence(
        "own", *(limits or (">= 0" if better == "higher" else "<= 9",)), metric=metric, better=better, **words
    )


def right(targets: list[Any], answers: list[Any]) -> float:
    """Return the mean over images of the share of pixels that are right."""
    assert all(target.shape == answer.shape == (4, 5) for target, answer in zip(targets, answers, strict=True))
    return float(np.mean([(target == answer).mean() for target, answer in zip(targets, answers, strict=True)]))


def test_function_gets_a_mask_for_each_image() -> None:
    """With a paired interval against the teacher, by image or by group."""
    teacher = np.stack([number == TARGETS for number in range(3)], axis=1).astype(float)
    each = own(right, "drop <= 99%", teacher=teacher, confidence=0.95)
    expected = (SCORES.argmax(axis=1) == TARGETS).mean()
    assert each.student.value == pytest.approx(expected)
    assert each.teacher is not None
    assert each.comparison is not None
    assert each.comparison.difference is not None
    assert each.comparison.difference.value == pytest.approx(expected - 1)
    assert "an array with 2 axes as the target of each image" in each.student.method
    grouped = own(right, confidence=0.95, data={**MASKS, "group": [at // 4 for at in range(12)]})
    assert "resampled by group: 3 of 12 images" in grouped.student.method
    assert grouped.student.estimate.low != each.student.estimate.low


def test_torchmetrics_get_batches_of_their_form() -> None:
    """The index over all pixels is that of the library on the whole arrays."""
    metric = MulticlassJaccardIndex(num_classes=3)
    expected = metric(torch.from_numpy(SCORES.argmax(axis=1)), torch.from_numpy(TARGETS))
    assert own(MulticlassJaccardIndex(num_classes=3)).student.value == pytest.approx(float(expected))


class Precision:
    """A metric with the interface of `torchmetrics.detection.MeanAveragePrecision`: lists of dicts of tensors."""

    def reset(self) -> None:
        self.hits: list[bool] = []

    def update(self, preds: list[dict[str, torch.Tensor]], target: list[dict[str, torch.Tensor]]) -> None:
        for answer, image in zip(preds, target, strict=True):
            assert {*answer} == {"boxes", "scores", "labels"}
            assert {*image} == {"boxes", "labels", "iscrowd", "area"}
            assert (answer["labels"].dtype, answer["boxes"].dtype) == (torch.int64, torch.float32)
            self.hits += [bool(torch.equal(answer["boxes"], image["boxes"]))]

    def compute(self) -> dict[str, torch.Tensor]:
        return {"map": torch.tensor(float(np.mean(self.hits))), "mar": torch.tensor(0.0)}


def test_boxes_are_dicts() -> None:
    """Under the names of this project for functions, under those of the library for its metrics."""
    outputs = np.array([[[*image["boxes"][0], 0.9, image["labels"][0]]] for image in BOXES])
    outputs[0, :, :4] += 3.0
    words: dict[str, Any] = {"student": outputs, "teacher": outputs, "targets": BOXES, "data": {}}
    assert own(Precision(), key="map", **words).student.value == pytest.approx(5 / 6)
    names = own(lambda t, a: float({*t[0], *a[0]} == {"boxes", "labels", "crowd", "area", "scores"}), **words)
    assert names.student.value == 1.0


def test_retrieval_metrics_get_the_query_of_each_document() -> None:
    """A metric with `indexes` is told which documents belong together."""
    metric = RetrievalMRR()
    _update(metric, [np.array([0, 1]), np.array([1, 0, 0])], [np.array([0.9, 0.1]), np.array([0.5, 0.2, 0.1])])
    assert float(metric.compute()) == pytest.approx(0.75)


def test_forecasts_are_arrays() -> None:
    """Targets and one forecast have one axis, so that functions of scikit-learn's kind work series by series."""
    targets = RNG.normal(size=(8, 4))
    error = own(
        lambda expected, answers: float(np.mean([np.abs(e - a).mean() for e, a in zip(expected, answers, strict=True)])),
        better="lower", student=targets + 0.5, teacher=targets, targets=targets, data={"task": "forecasting"},
    )  # fmt: skip
    assert error.student.value == pytest.approx(0.5)


def test_metric_of_labels_does_not_fit() -> None:
    """A scorer's name says nothing of masks; the message says what to write."""
    with pytest.raises(
        (DoesNotFit, MeasurementError), match=r"the task is segmentation. Write metric= a function of \(t"
    ):
        own("f1_macro")
    with pytest.raises(MeasurementError, match="the metric of own raised ValueError: nothing here"):
        own(refusing)


def refusing(targets: list[Any], answers: list[Any]) -> float:
    raise ValueError("nothing here")
