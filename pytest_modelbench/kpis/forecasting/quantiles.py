"""Quantiles of forecasts: their loss, how often intervals hold, and how wide they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.forecasting.errors import evidence_of_columns, mean_of
from pytest_modelbench.kpis.forecasting.read import Forecasts, forecasts
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray


def pinball(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean pinball loss over all quantiles.

    Raises:
        DoesNotFit: the data state no quantiles.
    """
    read = forecasts(question, measurements)
    levels = np.array(_levels(read))
    columns = {
        role: (_losses(read.value, its, levels), np.ones(len(read.value))) for role, its in read.levels.items()
    }
    evidence = evidence_of_columns(question, read, columns, mean_of(), f"mean over {len(levels)} quantiles")
    yield replace(evidence, notes=(*evidence.notes, *_crossings(read)))


def interval_coverage(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of values inside of the central interval.

    Raises:
        DoesNotFit: the quantiles at its ends are not among those of the data.
    """
    read = forecasts(question, measurements)
    low, high = _ends(read, question.options["level"])
    tallied = {}
    for role, levels in read.levels.items():
        inside = (read.value >= levels[:, low]) & (read.value <= levels[:, high])
        parts, wholes = read.sums(inside.astype(np.float64), np.ones(len(inside))).T
        tallied[role] = Tallied(parts=parts, wholes=wholes)
    method = f"values inside of the interval of {question.options['level']:g}"
    evidence = pooled_evidence(question, read.answers.data, tallied, method, nothing="no value came")
    yield replace(evidence, notes=(*evidence.notes, *read.notes, *_crossings(read)))


def interval_width(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean width of the central interval.

    Raises:
        DoesNotFit: as for `interval_coverage`.
    """
    read = forecasts(question, measurements)
    low, high = _ends(read, question.options["level"])
    columns = {role: (its[:, high] - its[:, low], np.ones(len(its))) for role, its in read.levels.items()}
    yield evidence_of_columns(question, read, columns, mean_of(), "mean width")


def _levels(read: Forecasts) -> Sequence[float]:
    levels = read.answers.data.quantiles
    if not levels:
        raise DoesNotFit("it needs quantiles. Write EvalData(..., quantiles=[0.1, 0.5, 0.9])")
    return levels


def _ends(read: Forecasts, level: float) -> tuple[int, int]:
    """Return the positions of the quantiles at both ends of a central interval."""
    levels = np.array(_levels(read))
    wanted = [(1 - level) / 2, (1 + level) / 2]
    places = [int(np.abs(levels - end).argmin()) for end in wanted]
    if max(abs(levels[place] - end) for place, end in zip(places, wanted, strict=True)) > 1e-9:
        raise DoesNotFit(
            f"level={level:g} needs the quantiles {wanted[0]:g} and {wanted[1]:g}, and there are "
            f"{', '.join(f'{each:g}' for each in levels)}. Write level= of two that there are"
        )
    return places[0], places[1]


def _losses(value: FloatArray, levels: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the pinball loss of each value, mean over levels, (k,)."""
    gaps = value[:, None] - levels
    losses: FloatArray = np.maximum(wanted * gaps, (wanted - 1) * gaps).mean(axis=1)
    return losses


def _crossings(read: Forecasts) -> Iterator[str]:
    shares: Mapping[str, float] = {
        role: float((np.diff(levels, axis=1) < 0).any(axis=1).mean()) for role, levels in read.levels.items()
    }
    for role, share in shares.items():
        if share:
            yield f"{role}: quantiles cross for {100 * share:.3g}% of the values"
