"""Readings of calibration: whether a model is right as often as it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.kpis.additive import Part, Parts, paired_sums, summed_parts
from pytest_modelbench.kpis.calibrated import BINS, bin_of, calibration_evidence
from pytest_modelbench.kpis.evidence import judged_models, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Evidence


def _read(question: Question, measurements: Measurements) -> Summary:
    return summed_parts(judged_models(question, measurements), _bins)


def _conclude(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the expected calibration error; its bins are the reliability diagram."""
    yield calibration_evidence(question, paired_sums(question, summary), summary.facts["meaning"])


ece = Reduction(_read, _conclude)


def _bins(predictions: Predictions, part: slice) -> Parts:
    chances = predictions.probabilities(part)
    confidence = chances.max(axis=1)
    hit = np.asarray(predictions.labels[part] == targets_of(predictions)[part], dtype=np.float64)
    of = bin_of(confidence)
    return {
        "n": Part(kinds=of, of=BINS),
        "confidence": Part(kinds=of, of=BINS, weights=confidence),
        "hit": Part(kinds=of, of=BINS, weights=hit),
    }
