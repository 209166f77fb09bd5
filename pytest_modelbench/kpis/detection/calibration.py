"""Readings of the calibration of detections: whether as many of them are right as their scores say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import paired_by_group
from pytest_modelbench.kpis.calibrated import BINS, bin_of, calibration_evidence, named
from pytest_modelbench.kpis.detection.agreement import least_score
from pytest_modelbench.kpis.detection.agreement_targets import Judged, judgements_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray


def detection_ece(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the expected calibration error of detections; its bins are the reliability diagram."""
    answers, judgements = judgements_of(question, measurements)
    score, iou = least_score(question, answers.data), question.options["iou"]
    for role, judged in judgements.items():
        _check(question, role, judged, score)
    sums = paired_by_group(
        question, answers.data.group, {role: table_of(judged) for role, judged in judgements.items()}
    )
    counts = ", ".join(f"{len(judged.right):,} of the {role}" for role, judged in judgements.items())
    method = f"detections with a score of {score:g} or more ({counts}), right at an overlap of {iou:g}"
    yield calibration_evidence(question, named(sums), method, few=True)


def _check(question: Question, role: str, judged: Judged, score: float) -> None:
    """Refuse scores that cannot be probabilities, and none at all."""
    scores = judged.detections.scores
    if not len(scores):
        raise MeasurementError(
            f"{question.kpi.name} of the {role} is undefined: it has no detection with a score of at least {score:g}"
        )
    if scores.max() > 1:
        raise MeasurementError(
            f"{question.kpi.name} needs scores from 0 to 1, and one of the {role} is {scores.max():g}. Return "
            "probabilities, not logits or percent"
        )


def table_of(judged: Judged) -> FloatArray:
    """Return how many detections each image has in each bin, their scores, and how many are right, (n, 3 * bins)."""
    scores, size = judged.detections.scores.astype(np.float64), judged.detections.images * BINS
    cell = judged.detections.image * BINS + bin_of(scores)
    sums = [np.bincount(cell, weights, size) for weights in (None, scores, judged.right)]
    return np.concatenate([part.reshape(-1, BINS) for part in sums], axis=1, dtype=np.float64)
