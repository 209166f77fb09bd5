"""The Matthews correlation coefficient, of two classes and more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_modelbench.kpis.kpi import Kpi, Measurements, Question
from pytest_modelbench.probes.kinds import PREDICTIONS

if TYPE_CHECKING:
    from pytest_modelbench.kpis.reduction import Summary
    from pytest_modelbench.results import Evidence
    from pytest_modelbench.stats.cells import FloatArray, Sums

KPI = Kpi(
    name="matthews",
    pillar="quality",
    unit="",
    better="higher",
    definition="Matthews correlation coefficient of answers and labels, from -1 to 1; 0 is chance",
    method="one forward pass over the evaluation data; paired bootstrap by sample",
    source="sklearn.metrics.matthews_corrcoef; Gorodkin, Comput. Biol. Chem. 28:367 (2004)",
    probe=PREDICTIONS,
    derive=f"{__name__}:matthews",
    per_sample=True,
    bounds=(-1.0, 1.0),
    options={"confidence": None, "allow_weak_teacher": False},
)


def _read(question: Question, measurements: Measurements) -> Summary:
    """Count each class."""
    from pytest_modelbench.kpis.accuracy.sums import count_classes
    from pytest_modelbench.kpis.evidence import judged_models

    return count_classes(judged_models(question, measurements))


def _conclude(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the coefficient from the counts of each class."""
    from pytest_modelbench.kpis.accuracy.sums import classes_of
    from pytest_modelbench.kpis.additive import additive_evidence

    yield additive_evidence(question, summary, coefficient, summary.facts["meaning"], classes_of(summary))


def matthews(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the coefficient."""
    from pytest_modelbench.kpis.reduction import Reduction

    return Reduction(_read, _conclude)(question, measurements)


def coefficient(sums: Sums) -> FloatArray:
    """Return the coefficient of each resample: 0 where all labels or all answers are one class, as scikit-learn does.

    Args:
        sums: `hit`, `said` and `true` of each class, of shape (resamples, classes).
    """
    import numpy as np

    said, true = sums["said"], sums["true"]
    n = true.sum(axis=1)
    covariance = sums["hit"].sum(axis=1) * n - (said * true).sum(axis=1)
    variances = (n**2 - (said**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    correlation: FloatArray = np.divide(covariance, np.sqrt(variances), out=np.zeros_like(n), where=variances > 0)
    return correlation
