"""Intervals for a sum of absolute values, such as a calibration error: not what resampling such a sum gives.

Noise makes an absolute value larger on average, and resampling adds the noise once more: the percentile interval of
the calibration error of a model that is well calibrated lies above it. Here a term whose sign is certain enough
counts with that sign, and any other with all of its noise (Berger and Boos, JASA 89:1012 (1994), for the error that
goes into finding the signs).

Terms have shape (terms,), those of resamples (resamples, terms).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.gaps import FINDING

FloatArray = npt.NDArray[np.float64]


def deviation_interval(terms: FloatArray, drawn: FloatArray, alpha: float) -> Estimate:
    """Return the sum of absolute terms with a bound on each side, each at the error `alpha`."""
    off, signs = drawn - terms, _signs(terms, drawn, alpha)
    value = float(np.abs(terms).sum())
    noise = np.where(signs == 0, np.abs(off), 0).sum(axis=1)
    low, high = (value + side * _quantile(noise + side * (-off @ signs), alpha) for side in (-1, 1))
    return Estimate(value=value, low=min(max(low, 0.0), value), high=max(high, value))


def deviation_change(
    student: FloatArray, student_drawn: FloatArray, teacher: FloatArray, teacher_drawn: FloatArray, alpha: float
) -> Estimate:
    """Return how much the sum of absolute terms grew from teacher to student, with a bound on each side.

    No term grew by more than its own change, and one whose sign the student's values make certain by no more than the
    change towards that sign; from below likewise with the teacher's. That is narrow for models that are much alike.
    For others the ends of both sums are. The narrower one counts, each at half of the error.
    """
    value = float(np.abs(student).sum() - np.abs(teacher).sum())
    changed, off = student - teacher, student_drawn - teacher_drawn - (student - teacher)
    own, others = (
        deviation_interval(*pair, alpha / 4) for pair in ((student, student_drawn), (teacher, teacher_drawn))
    )
    high = _grown(_signs(student, student_drawn, alpha / 2), changed, off, alpha / 2)
    low = -_grown(_signs(teacher, teacher_drawn, alpha / 2), -changed, -off, alpha / 2)
    if own.low is not None and own.high is not None and others.low is not None and others.high is not None:
        low, high = max(low, own.low - others.high), min(high, own.high - others.low)
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _grown(signs: FloatArray, changed: FloatArray, off: FloatArray, alpha: float) -> float:
    open_ended = signs == 0
    most = float(np.where(open_ended, np.abs(changed), signs * changed).sum())
    return most + _quantile(np.where(open_ended, np.abs(off), -signs * off).sum(axis=1), alpha)


def _signs(terms: FloatArray, drawn: FloatArray, alpha: float) -> FloatArray:
    """Return the sign of each term that is certain, jointly for all of them; 0 for the others."""
    off = np.abs(drawn - terms)
    spread = np.sqrt(np.mean(off**2, axis=0))
    most = np.max(np.divide(off, spread, out=np.zeros_like(off), where=spread > 0), axis=1)
    furthest = float(np.quantile(most, 1 - FINDING * alpha, method="weibull"))
    signs: FloatArray = np.where(np.abs(terms) > furthest * spread, np.sign(terms), 0.0)
    return signs


def _quantile(values: FloatArray, alpha: float) -> float:
    return float(np.quantile(values, 1 - (1 - FINDING) * alpha, method="weibull"))
