"""Calibration of detections: torchmetrics' value, its bins, and what cannot be calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detected import Box, Images, evidence, measured
from scipy.special import ndtri, stdtrit
from torchmetrics.functional.classification import binary_calibration_error

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import paired_by_group
from pytest_modelbench.kpis.calibrated import calibration_evidence
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.detection.agreement_targets import judged
from pytest_modelbench.kpis.detection.calibration import named, table_of
from pytest_modelbench.kpis.kpi import Question

NEAR, FAR = (0, 0, 10, 10), (50, 50, 60, 60)


def images(n: int, right: float, seed: int = 0) -> tuple[Images, Images]:
    """Return images with five single objects, each with a detection that is right at a rate of its score's power."""
    rng = np.random.default_rng(seed)
    found: list[list[Box]] = []
    for _ in range(n):
        scores = rng.uniform(0.5, 1, 5)
        hit = rng.random(5) < scores**right
        found.append(
            [
                (100 * at + 50 * (not hit[at]), 0, 100 * at + 50 * (not hit[at]) + 20, 20, 0, scores[at])
                for at in range(5)
            ]
        )
    return found, [[(100 * at, 0, 100 * at + 20, 20, 0) for at in range(5)]] * n


@pytest.mark.parametrize("min_score", [0.5, 0.7])
def test_value_is_that_of_torchmetrics(min_score: float) -> None:
    """Of the detections that count, in 15 bins, with the share that is right in the place of accuracy."""
    found, targets = images(60, 3.0)
    made = evidence("detection_ece", found, None, targets, min_score=min_score)
    boxes = [box for image in found for box in image if box[5] >= min_score]
    scores = torch.tensor([box[5] for box in boxes])
    right = torch.tensor([int(box[0] % 100 == 0) for box in boxes])
    expected = float(binary_calibration_error(scores, right, n_bins=15, norm="l1"))
    assert made.student.value == pytest.approx(100 * expected, rel=1e-5)
    assert sum(row["student"]["n"] for row in made.breakdown) == len(boxes)


def test_an_overconfident_student_is_told_from_a_calibrated_teacher() -> None:
    """Scores that are right at a rate of their cube are too high; at their own rate nothing can be proven."""
    (student, targets), (teacher, _) = images(300, 3.0), images(300, 1.0)
    made = evidence("detection_ece", student, teacher, targets)
    assert made.teacher is not None
    assert made.comparison is not None
    assert made.comparison.difference is not None
    assert made.student.estimate.low is not None
    assert made.student.estimate.low > 15
    assert made.teacher.estimate.low is not None
    assert made.teacher.estimate.low < 1 < made.teacher.value < 5
    assert made.comparison.difference.low is not None
    assert made.comparison.difference.low > 10
    grouped = evidence("detection_ece", student, teacher, targets, data={"group": np.repeat(range(30), 10).tolist()})
    assert "30 samples" in grouped.student.method


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((*NEAR, 0, 0.2), "of the student is undefined: it has no detection with a score of at least 0.5"),
        ((*NEAR, 0, 1.5), "needs scores from 0 to 1, and one of the student is 1.5. Return probabilities"),
    ],
)
def test_scores_that_are_no_probabilities_are_refused(box: Box, reason: str) -> None:
    """So are images without detections: there is nothing to be right or wrong."""
    with pytest.raises(MeasurementError, match=reason):
        evidence("detection_ece", [[box]], None, [[(*NEAR, 0)]])


def test_few_images_widen_the_interval() -> None:
    """The ends move out by as much as Student's quantile is larger than the normal one, and as resamples vary less."""
    found, targets = images(6, 3.0)
    judgement = judged(measured(found, targets), 0.5, 0.5)
    question = Question(kpi=CATALOGUE["detection_ece"], confidence=0.95)
    sums = named(paired_by_group(question, None, {"student": table_of(judgement)}))
    few, many = (calibration_evidence(question, sums, "", few=few).student.estimate for few in (True, False))
    assert few.high is not None
    assert many.high is not None
    wider = np.sqrt(6 / 5) * stdtrit(5, 0.95) / ndtri(0.95)
    assert few.high - few.value == pytest.approx(wider * (many.high - many.value))
