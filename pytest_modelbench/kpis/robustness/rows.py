"""Robustness, part of the quality pillar: what corruptions of the inputs do to the student and to its teacher."""

from __future__ import annotations

import math
from typing import Any

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import CORRUPTED

_OPTIONS: dict[str, Any] = {
    "corruptions": "auto",
    "severities": (1, 3, 5),
    "samples": 1000,
    "range": None,
    "seeds": 1,
    "confidence": None,
}
_SOURCE = "Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions (2019)"
_PASSES = "a pass over the samples for each corruption and severity"
_BY_SAMPLE = f"{_PASSES}; the sample is the unit of the interval"
_SUMS = f"{_PASSES} of each model; bootstrap of sums of errors by sample"


def _kpi(  # noqa: PLR0913 - the columns of a table
    name: str,
    unit: str,
    better: str,
    definition: str,
    method: str,
    derive: str,
    *,
    bounds: tuple[float, float] = SHARE,
    paired: bool = False,
    more: dict[str, Any] | None = None,
    source: str = _SOURCE,
) -> Kpi:
    anchored = {} if name == "corruption_invariance" else {"allow_weak_teacher": False}
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better=better,
        definition=definition,
        method=method,
        source=source,
        probe=CORRUPTED,
        derive=f"{ROOM}.robustness.{derive}",
        statistic=name,
        bounds=bounds,
        options={**_OPTIONS, **(more or {}), **anchored},
        paired=paired,
    )


KPIS = (
    _kpi(
        "corruption_accuracy", "%", "higher", "mean share of right labels over corruptions and severities",
        _BY_SAMPLE, "shares:corruption_accuracy",
    ),
    _kpi(
        "worst_corruption_accuracy", "%", "higher", "share of right labels under the worst corruption, the mean over "
        "its severities", f"{_BY_SAMPLE}, intervals of all corruptions at a common error",
        "shares:worst_corruption_accuracy",
    ),
    _kpi(
        "corruption_drop", "pp", "lower", "largest drop of accuracy from teacher to student under a corruption, the "
        "mean over its severities", f"{_PASSES} of each model; paired by sample, intervals of all corruptions at a "
        "common error", "drops:corruption_drop", bounds=(-100.0, 100.0), paired=True,
        more={"by": "corruption", "min_n": 20},
    ),
    _kpi(
        "mce", "%", "lower", "mean corruption error: the student's errors under each corruption, summed over "
        "severities, as a share of the teacher's, averaged over corruptions; the teacher itself is 100", _SUMS,
        "errors:mce", bounds=NONNEGATIVE, paired=True, more={"min_errors": 10},
    ),
    _kpi(
        "relative_mce", "%", "lower", "the same of errors beyond those on the data as they are; the teacher itself "
        "is 100", _SUMS, "errors:relative_mce", bounds=(-math.inf, math.inf), paired=True, more={"min_errors": 10},
    ),
    _kpi(
        "corruption_error_ratio", "%", "lower", "the student's errors over all corruptions and severities as a share "
        "of the teacher's", _SUMS, "errors:corruption_error_ratio", bounds=NONNEGATIVE, paired=True,
        more={"min_errors": 10},
    ),
    _kpi(
        "corruption_invariance", "%", "higher", "mean share of labels that a corruption does not change, over "
        "corruptions and severities; needs no targets", _BY_SAMPLE, "shares:corruption_invariance",
    ),
    _kpi(
        "corruption_rmse_ratio", "x", "lower", "for regression: how many times the student's error grows under "
        "corruptions (RMSE over RMSE on the data as they are), as a multiple of how many times the teacher's does",
        f"{_PASSES} of each model; bootstrap of sums of squares by sample", "errors:corruption_rmse_ratio",
        bounds=NONNEGATIVE, paired=True, source="sklearn.metrics.root_mean_squared_error",
    ),
)  # fmt: skip
