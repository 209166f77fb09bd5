"""Values that follow from sums over samples: read in chunks, with a paired bootstrap of the sums."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.evidence import meaning_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.summary import Summary
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
    """What some samples add to the sums of one name: to which of the kinds, and how much (1 by default).

    `of` is the number of kinds, or what tells them apart, such as classes. `rows` are the samples' positions in the
    chunk where not every sample adds once.
    """

    kinds: IntArray
    of: int | Sequence[Any]
    weights: FloatArray | None = None
    rows: IntArray | None = None


Parts = Mapping[str, Part]
Read = Callable[[Predictions, slice], Parts]


@dataclass(frozen=True, kw_only=True)
class PairedSums:
    """The sums of student and (perhaps) teacher over the same samples, and what resampling them took."""

    cells: int
    seconds: float
    totals: Mapping[str, Sums]
    drawn: Mapping[str, Sums]
    n: int

    @property
    def method(self) -> str:
        """Say how the interval was found."""
        cells = f" in {self.cells:,} random groups" if self.cells < self.n else ""
        resamples = len(next(iter(next(iter(self.drawn.values())).values())))
        paired = "paired bootstrap" if len(self.drawn) > 1 else "bootstrap"
        return f"{paired} of {self.n:,} samples{cells}, {resamples} resamples in {humanise(self.seconds, 's')}"


def facts_of(models: Mapping[str, Predictions]) -> dict[str, Any]:
    """Return what evidence says of models and of how their outputs are read."""
    first = next(iter(models.values()))
    return {
        "models": {role: predictions.outputs.model for role, predictions in models.items()},
        "meaning": meaning_of(first),
        "task": first.task,
    }


def summed_parts(models: Mapping[str, Predictions], parts: Read) -> Summary:
    """Read all samples once, chunk by chunk, and add up what they contribute, by role and name.

    Args:
        models: predictions by role.
        parts: what a chunk of a model's samples adds.
    """
    first, sums = next(iter(models.values())), CellSums()
    for part in slices(len(first)):
        placed = sums.place(first.outputs.hashes(part))
        for role, predictions in models.items():
            for name, summand in parts(predictions, part).items():
                cells = placed if summand.rows is None else placed[summand.rows]
                sums.add(f"{role} {name}", cells, summand.kinds, summand.of, summand.weights)
            predictions.release()
    return Summary(n=len(first), facts=facts_of(models), sums={"": sums})


def paired_sums(question: Question, summary: Summary, kinds: Sequence[Any] | None = None) -> PairedSums:
    """Resample sums, the same samples for all models.

    Args:
        question: whose confidence and seed are used.
        summary: of all samples.
        kinds: the kinds of all tables, in order; those that were added, by default.
    """
    sums = summary.sums[""]
    start = time.perf_counter()
    drawn = sums.resamples(resamples_for(question.alpha), question.seed, kinds)
    seconds, totals = time.perf_counter() - start, sums.total(kinds)
    roles = list(summary.facts["models"])
    return PairedSums(
        cells=sums.cells,
        seconds=seconds,
        totals={role: _of(role, totals) for role in roles},
        drawn={role: _of(role, drawn) for role in roles},
        n=summary.n,
    )


def _of(role: str, sums: Sums) -> Sums:
    return {name.removeprefix(f"{role} "): values for name, values in sums.items() if name.startswith(f"{role} ")}


def joined_strata(question: Question, strata: Sequence[CellSums], roles: Sequence[str], name: str) -> PairedSums:
    """Resample the sums of strata apart, so that each keeps its size, and put them side by side as kinds.

    Args:
        question: whose confidence and seed are used.
        strata: each with the sums `n`, and one for each role.
        roles: of the models.
        name: what the sums of a role are called.
    """
    start, count = time.perf_counter(), resamples_for(question.alpha)
    seeds = np.random.SeedSequence(question.seed).generate_state(len(strata)).tolist()
    drawn = [sums.resamples(count, seed) for sums, seed in zip(strata, seeds, strict=True)]
    seconds, totals = time.perf_counter() - start, [sums.total() for sums in strata]

    def side_by_side(each: Sequence[Sums]) -> dict[str, Sums]:
        joined = {key: np.concatenate([sums[key] for sums in each], axis=1) for key in ("n", *roles)}
        return {role: {"n": joined["n"], name: joined[role]} for role in roles}

    return PairedSums(
        cells=sum(sums.cells for sums in strata),
        seconds=seconds,
        totals=side_by_side(totals),
        drawn=side_by_side(drawn),
        n=int(sum(sums["n"].sum() for sums in totals)),
    )


def additive_evidence(
    question: Question,
    summary: Summary,
    value: Callable[[Sums], FloatArray],
    method: str,
    kinds: Sequence[Any] | None = None,
) -> Evidence:
    """Return the evidence of a function of sums for student and (perhaps) teacher.

    Args:
        question: of the gate.
        summary: of all samples, from `summed_parts`.
        value: turns sums of shape (resamples, kinds) into values (resamples,), in the KPI's unit; NaN where it is
            undefined.
        method: how it is read, in words.
        kinds: as for `paired_sums`.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    sums = paired_sums(question, summary, kinds)
    points = {role: float(value(totals)[0]) for role, totals in sums.totals.items()}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of {summary.facts['models'][role]} is {point} on these data")
    drawn = {role: value(resampled) for role, resampled in sums.drawn.items()}
    estimates = {role: percentiles(points[role], drawn[role], question.alpha) for role in points}
    comparison = compared(points, drawn, question.alpha, sums.method) if "teacher" in points else None
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
