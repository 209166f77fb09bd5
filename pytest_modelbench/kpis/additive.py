"""Values that follow from sums over samples: read in chunks, with a paired bootstrap of the sums."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, IntArray, Sums, resamples_for
from pytest_modelbench.stats.paired import percentiles
from pytest_modelbench.stats.rounding import settled

Interval = Callable[[float, npt.NDArray[np.float64], float], Estimate]
"""Returns the interval of a value from its resamples and the error of one side."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What some samples add to the sums of one name: to which of `of` kinds, and how much (1 by default).

    `rows` are the samples' positions in the chunk where not every sample adds once.
    """

    kinds: IntArray
    of: int
    weights: FloatArray | None = None
    rows: IntArray | None = None


Parts = Mapping[str, Part]


@dataclass(frozen=True, kw_only=True)
class Additive:
    """A value of one model as a function of sums.

    `parts` reads a chunk of samples. `value` turns sums of shape (resamples, kinds) into values (resamples,), in the
    KPI's unit; NaN where it is undefined.
    """

    parts: Callable[[Predictions, slice], Parts]
    value: Callable[[Sums], FloatArray]


@dataclass(frozen=True, kw_only=True)
class PairedSums:
    """The sums of student and (perhaps) teacher over the same samples, and what resampling them took."""

    sums: CellSums
    seconds: float
    totals: Mapping[str, Sums]
    drawn: Mapping[str, Sums]
    n: int

    @property
    def method(self) -> str:
        """Say how the interval was found."""
        cells = f" in {self.sums.cells:,} random groups" if self.sums.cells < self.n else ""
        resamples = len(next(iter(next(iter(self.drawn.values())).values())))
        paired = "paired bootstrap" if len(self.drawn) > 1 else "bootstrap"
        return f"{paired} of {self.n:,} samples{cells}, {resamples} resamples in {humanise(self.seconds, 's')}"


def paired_sums(
    question: Question,
    models: Mapping[str, Predictions],
    parts: Callable[[Predictions, slice], Parts],
    strata: npt.NDArray[Any] | None = None,
    sizes: list[int] | None = None,
) -> PairedSums:
    """Read all samples once, chunk by chunk, and resample their sums, the same for all models.

    Args:
        question: whose confidence and seed are used.
        models: predictions by role.
        parts: what a chunk of a model's samples adds.
        strata: the stratum of each sample, -1 for those left out; one stratum by default.
        sizes: of the strata.
    """
    n = len(next(iter(models.values())))
    sums = CellSums(sizes or [n], question.seed)
    for part in slices(n):
        placed = sums.place(np.zeros(part.stop - part.start, dtype=np.intp) if strata is None else strata[part])
        for role, predictions in models.items():
            for name, summand in parts(predictions, part).items():
                cells = placed if summand.rows is None else placed[summand.rows]
                sums.add(f"{role} {name}", cells, summand.kinds, summand.of, summand.weights)
            predictions.release()
    start = time.perf_counter()
    drawn = sums.resamples(resamples_for(question.alpha))
    seconds = time.perf_counter() - start
    return PairedSums(
        sums=sums,
        seconds=seconds,
        totals={role: _of(role, sums.total()) for role in models},
        drawn={role: _of(role, drawn) for role in models},
        n=sum(sizes) if sizes else n,
    )


def _of(role: str, sums: Sums) -> Sums:
    return {name.removeprefix(f"{role} "): values for name, values in sums.items() if name.startswith(f"{role} ")}


def additive_evidence(
    question: Question, models: Mapping[str, Predictions], additive: Additive, method: str
) -> Evidence:
    """Return the evidence of an additive value for student and (perhaps) teacher.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    sums = paired_sums(question, models, additive.parts)
    points = {role: float(additive.value(sums.totals[role])[0]) for role in models}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of {models[role].outputs.model} is {point} on these data")
    drawn = {role: additive.value(sums.drawn[role]) for role in models}
    estimates = {role: percentiles(points[role], drawn[role], question.alpha) for role in models}
    comparison = compared(points, drawn, question.alpha, sums.method) if "teacher" in models else None
    return evidence_of(question, sums, estimates, comparison, method)


def evidence_of(
    question: Question,
    sums: PairedSums,
    estimates: Mapping[str, Estimate],
    comparison: Comparison | None,
    method: str,
) -> Evidence:
    """Return estimates from sums, one for each model, as evidence."""
    readings = {
        role: Reading(
            estimate=estimate,
            unit=question.kpi.unit,
            n=sums.n,
            confidence=question.confidence,
            method=f"{method}; {sums.method}",
        )
        for role, estimate in estimates.items()
    }
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
    )


def compared(
    points: Mapping[str, float],
    drawn: Mapping[str, FloatArray],
    alpha: float,
    method: str,
    interval: Interval = percentiles,
) -> Comparison:
    """Compare the values of student and teacher, each over the same resamples."""
    student, teacher = points["student"], points["teacher"]
    ratio: Estimate | None = None
    if teacher != 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = interval(student / teacher, drawn["student"] / drawn["teacher"], alpha)
    scale = max(abs(student), abs(teacher))
    difference = interval(student - teacher, settled(drawn["student"] - drawn["teacher"], scale), alpha)
    return Comparison(ratio=ratio, difference=difference, method=method)
