"""The Matthews correlation coefficient from the counts of each class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.kpis.accuracy.sums import classes_of, count_classes
from pytest_modelbench.kpis.additive import additive_evidence
from pytest_modelbench.kpis.evidence import judged_models
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums


def _read(question: Question, measurements: Measurements) -> Summary:
    return count_classes(judged_models(question, measurements))


def _conclude(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the coefficient from the counts of each class."""
    yield additive_evidence(question, summary, coefficient, summary.facts["meaning"], classes_of(summary))


matthews = Reduction(_read, _conclude)


def coefficient(sums: Sums) -> FloatArray:
    """Return the coefficient of each resample: 0 where all labels or all answers are one class, as scikit-learn does.

    Args:
        sums: `hit`, `said` and `true` of each class, of shape (resamples, classes).
    """
    said, true = sums["said"], sums["true"]
    n = true.sum(axis=1)
    covariance = sums["hit"].sum(axis=1) * n - (said * true).sum(axis=1)
    variances = (n**2 - (said**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    correlation: FloatArray = np.divide(covariance, np.sqrt(variances), out=np.zeros_like(n), where=variances > 0)
    return correlation
