"""Readings of the calibration of detections: whether as many of them are right as their scores say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import paired_by_group
from pytest_modelbench.kpis.calibrated import BINS, bin_of, calibration_evidence
from pytest_modelbench.kpis.detection.agreement_targets import Judged, judgements_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums

PARTS = ("n", "confidence", "hit")


def detection_ece(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the expected calibration error of detections; its bins are the reliability diagram."""
    answers, judgements = judgements_of(question, measurements)
    for role, judged in judgements.items():
        _check(question, role, judged)
    sums = paired_by_group(
        question, answers.data.group, {role: _table(judged) for role, judged in judgements.items()}
    )
    named = replace(sums, totals=_named(sums.totals), drawn=_named(sums.drawn))
    score, iou = question.options["min_score"], question.options["iou"]
    counts = ", ".join(f"{len(judged.right):,} of the {role}" for role, judged in judgements.items())
    yield calibration_evidence(
        question, named, f"detections with a score of {score:g} or more ({counts}), right at an overlap of {iou:g}",
        few=True,
    )  # fmt: skip


def _check(question: Question, role: str, judged: Judged) -> None:
    """Refuse scores that cannot be probabilities, and none at all."""
    scores = judged.detections.scores
    if not len(scores):
        raise MeasurementError(
            f"{question.kpi.name} of the {role} is undefined: it has no detection with a score of at least "
            f"{question.options['min_score']:g}"
        )
    if scores.min() < 0 or scores.max() > 1:
        raise MeasurementError(
            f"{question.kpi.name} needs scores from 0 to 1, and those of the {role} are from {scores.min():g} to "
            f"{scores.max():g}. Return probabilities"
        )


def _table(judged: Judged) -> FloatArray:
    """Return how many detections each image has in each bin, their scores, and how many are right, (n, 3 * bins)."""
    scores, size = judged.detections.scores.astype(np.float64), judged.detections.images * BINS
    cell = judged.detections.image * BINS + bin_of(scores)
    sums = [np.bincount(cell, weights, size) for weights in (None, scores, judged.right)]
    return np.concatenate([part.reshape(-1, BINS) for part in sums], axis=1, dtype=np.float64)


def _named(sums: Mapping[str, Sums]) -> dict[str, Sums]:
    """Return the sums of each bin by what they are of."""
    split = {role: np.split(of_role["sums"], len(PARTS), axis=1) for role, of_role in sums.items()}
    return {role: dict(zip(PARTS, parts, strict=True)) for role, parts in split.items()}
