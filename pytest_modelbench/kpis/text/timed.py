"""Evidence from times of tokens: one piece for each look, paired by prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.probes.text.measured_times import SPENT, TokenTimes, Visit
from pytest_modelbench.probes.text.token_energy import ASSUMED, OTHER_TOKENS
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.by_prompt import (
    Clusters,
    compare_quantiles,
    compare_sums,
    quantile_by_prompt,
    ratio_of_sums,
)
from pytest_modelbench.stats.intervals import FloatArray, needed_values, percentile_interval

Values = Callable[[str, Visit], FloatArray]
"""Returns what a visit adds for a model: a value for each request that has one."""
FEWEST_OF_QUARTERS = 8
OTHER_LENGTH = 1.1


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity of requests.

    Attributes:
        values: of a visit.
        over: of a visit, where the quantity is the sum of `values` over the sum of these; None for times of requests.
        method: how values are found, in words.
        per_token: whether it is per token, so that other tokenisers make it another quantity.
        instead: the KPIs to use if they do.
        left_out: says for a model which requests have no value.
        by_length: whether the length of answers is part of it.
        counts: what the values are: `requests`, or the `gaps` in them, which are many for each prompt.
    """

    values: Values
    over: Values | None = None
    method: str = ""
    per_token: bool = False
    instead: str = "characters_per_second or generation_latency"
    left_out: Callable[[str, Sequence[Visit]], str] = lambda _role, _visits: ""
    by_length: bool = False
    counts: str = "requests"

    def quantile(self, clusters: Clusters, p: float, alpha: float) -> tuple[Estimate, float]:
        """Return a quantile with its effective sample size: requests count by prompt, gaps by their design effect."""
        of = quantile_by_prompt if self.counts == "requests" else percentile_interval
        return of(clusters, p, alpha)

    def needed_prompts(self, p: float | None, alpha: float) -> int:
        """Return how many prompts an upper end of a quantile needs; 0 if that is not what it depends on."""
        return 0 if p is None or self.counts != "requests" else needed_values(p, alpha * SPENT[-1])


def roles_of(question: Question, measurement: TokenTimes) -> tuple[str, ...]:
    """Return the models whose values are shown."""
    compared = question.with_teacher and "teacher" in measurement.names
    return ("student", "teacher") if compared else ("student",)


def looks(question: Question, measurement: TokenTimes, quantity: Quantity) -> Iterator[Evidence]:
    """Yield the evidence of a quantity at each look.

    Raises:
        MeasurementError: a model has no value at all.
        NotApplicable: the quantity is not defined for a model's answers.
    """
    for look in range(len(measurement.looks)):
        yield _evidence(question, measurement, quantity, look)


def _evidence(question: Question, measurement: TokenTimes, quantity: Quantity, look: int) -> Evidence:
    visits, alpha = measurement.until(look), measurement.alpha_at(question.alpha, look)
    roles = roles_of(question, measurement)
    table = _Table(quantity, visits, roles)
    readings = {role: _reading(question, measurement, table, role, alpha) for role in roles}
    refused = _not_comparable(measurement, quantity) if len(roles) > 1 else ""
    both = len(roles) > 1 and not refused
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=table.comparison(question, alpha) if both else None,
        not_comparable=refused,
        sampled=True,
        notes=tuple(_notes(measurement, quantity, visits, both=both)),
        breakdown=tuple(_quarters(measurement, table)) if both else (),
        seconds=measurement.elapsed_s[look],
        needed_s=_needed_s(quantity.needed_prompts(question.kpi.quantile, question.alpha), measurement, look),
        doubt=_doubt(question, quantity, measurement, readings["student"]),
    )


class _Table:
    """The values of all visits by model and batch of prompts; pairs are the visits in which all models have some."""

    def __init__(self, quantity: Quantity, visits: Sequence[Visit], roles: Sequence[str]) -> None:
        self.quantity, self.visits = quantity, visits
        self.values = {role: [quantity.values(role, visit) for visit in visits] for role in roles}
        over = quantity.over
        self.over = {role: [over(role, visit) for visit in visits] for role in roles} if over else {}
        pairs = range(len(visits))
        self.pairs = [at for at in pairs if all(len(values[at]) for values in self.values.values())]

    def refuse_zero(self, name: str, role: str) -> None:
        """Refuse times of zero, and sums of nothing.

        Raises:
            MeasurementError: there are some.
        """
        times = np.concatenate(self.over.get(role, self.values[role]))
        if times.min(initial=1.0) <= 0:
            raise MeasurementError(f"the clock of {name} did not move during an answer")
        if self.over and not sum(float(values.sum()) for values in self.values[role]):
            raise MeasurementError(f"{name} answered nothing to all prompts")

    def by_unit(self, role: str, *, paired: bool = False) -> dict[int, list[FloatArray]]:
        """Return the values of each batch, an array for each repetition."""
        series: dict[int, list[FloatArray]] = {}
        for at in self.pairs if paired else range(len(self.visits)):
            if len(self.values[role][at]):
                series.setdefault(self.visits[at].unit, []).append(self.values[role][at])
        return series

    def sums(self, role: str, *, paired: bool = False) -> tuple[FloatArray, FloatArray]:
        """Return the sums of each batch, and what they are divided by: the mean over repetitions of both."""
        units = self.by_unit(role, paired=paired)
        if not self.over:
            means = np.array([np.mean([values.mean() for values in rounds]) for rounds in units.values()])
            return means, np.ones(len(means))
        tables = [self._means(sums, units) for sums in (self.values[role], self.over[role])]
        return tables[0], tables[1]

    def _means(self, sums: Sequence[FloatArray], units: Iterable[int]) -> FloatArray:
        """Return the sum over a batch, the mean over its repetitions."""
        by_unit: dict[int, list[float]] = {unit: [] for unit in units}
        for visit, values in zip(self.visits, sums, strict=True):
            by_unit[visit.unit].append(float(values.sum()))
        return np.array([np.mean(rounds) for rounds in by_unit.values()])

    def series(self, role: str) -> list[list[FloatArray]]:
        """Return the values of pairs, `[batch][repetition]`, in the same order for all models."""
        return [rounds for _, rounds in sorted(self.by_unit(role, paired=True).items())]

    def comparison(self, question: Question, alpha: float) -> Comparison | None:
        if not self.pairs:
            return None
        if question.kpi.quantile is None:
            sums = [self.sums(role, paired=True) for role in ("student", "teacher")]
            return compare_sums(sums[0], sums[1], alpha)
        student, teacher = (self.series(role) for role in ("student", "teacher"))
        return compare_quantiles(student, teacher, question.kpi.quantile, alpha, question.seed)


def _reading(question: Question, measurement: TokenTimes, table: _Table, role: str, alpha: float) -> Reading:
    units, quantity = table.by_unit(role), table.quantity
    left_out = quantity.left_out(role, table.visits)
    if not units:
        raise MeasurementError(f"{measurement.names[role]}: {left_out or 'no answer has a value'}")
    table.refuse_zero(measurement.names[role], role)
    count = sum(len(values) for rounds in units.values() for values in rounds)
    what = "prompts" if measurement.setup.batch_size == 1 else "batches"
    quantile = question.kpi.quantile
    if quantile is None:
        estimate, interval = ratio_of_sums(*table.sums(role), alpha), "jackknife over prompts"
    else:
        estimate, size = quantity.quantile([np.concatenate(rounds) for rounds in units.values()], quantile, alpha)
        interval = f"effective sample size {size:,.0f}, Woodruff interval"
    more = "; ".join(filter(None, (quantity.method, left_out)))
    return Reading(
        estimate=estimate,
        unit=question.kpi.unit,
        n=len(units),
        confidence=question.confidence,
        method=f"{count:,} {quantity.counts} of {len(units):,} {what}, {interval}, {measurement.setup}"
        + (f"; {more}" if more else ""),
    )


def _not_comparable(measurement: TokenTimes, quantity: Quantity) -> str:
    if not quantity.per_token or measurement.same_tokens() is not False:
        return ""
    return f"{OTHER_TOKENS}. Judge {quantity.instead}"


def _notes(measurement: TokenTimes, quantity: Quantity, visits: Sequence[Visit], *, both: bool) -> Iterator[str]:
    if not both:
        return
    if quantity.per_token and measurement.same_tokens() is None:
        yield ASSUMED
    if not quantity.by_length:
        return
    characters = {role: sum(map(characters_of, answers_of(role, visits))) for role in ("student", "teacher")}
    ratio = characters["student"] / max(characters["teacher"], 1)
    if not 1 / OTHER_LENGTH <= ratio <= OTHER_LENGTH:
        forced = "tokens= forces equal numbers of tokens, and t" if measurement.setup.tokens is None else "T"
        yield (
            f"the student's answers have {ratio:.2g} times the characters of the teacher's, which is part of the "
            f"ratio: {forced}ime per character follows from characters_per_second"
        )


def _quarters(measurement: TokenTimes, table: _Table) -> Iterator[dict[str, Any]]:
    """Yield the ratio at the shortest and the longest quarter of the prompts, where there are enough."""
    units = sorted(table.by_unit("student", paired=True))
    lengths = [sum(measurement.characters[at] for at in measurement.units[unit]) for unit in units]
    if len(units) < FEWEST_OF_QUARTERS or min(lengths) == max(lengths):
        return
    order, quarter = np.argsort(lengths, kind="stable"), len(units) // 4
    for name, part in (("shortest quarter of prompts", order[:quarter]), ("longest quarter", order[-quarter:])):
        picked = {units[at] for at in part.tolist()}
        values = {role: _ratio_in(table, role, picked) for role in ("student", "teacher")}
        yield {
            "name": name,
            "n": len(picked),
            "characters": float(np.mean([lengths[at] for at in part])),
            **values,
            "ratio": values["student"] / values["teacher"] if values["teacher"] else math.nan,
        }


def _ratio_in(table: _Table, role: str, units: set[int]) -> float:
    at = [at for at in table.pairs if table.visits[at].unit in units]
    amounts = sum(float(table.values[role][place].sum()) for place in at)
    own = table.over.get(role, [np.ones(len(values)) for values in table.values[role]])
    return amounts / max(sum(float(own[place].sum()) for place in at), 1e-12)


def _needed_s(batches: int, measurement: TokenTimes, look: int) -> float | None:
    """Return about how long so many prompts take that a percentile has an upper end; None if the data have fewer."""
    if not batches or batches > len(measurement.units):
        return None
    return batches * measurement.elapsed_s[look] / measurement.looks[look]


def _doubt(question: Question, quantity: Quantity, measurement: TokenTimes, student: Reading) -> str:
    needed, batches = quantity.needed_prompts(question.kpi.quantile, question.alpha), len(measurement.units)
    if student.estimate.high != math.inf or needed <= batches:
        return ""
    what = "prompts" if measurement.setup.batch_size == 1 else "batches of prompts"
    return (
        f"an upper end of {question.kpi.name} needs {needed} {what}, and the data have {batches}: a prompt that is "
        "asked again is not a new one. Judge a lower percentile, or add prompts"
    )


def answers_of(role: str, visits: Sequence[Visit]) -> Iterator[Generation]:
    """Yield all answers of a model."""
    for visit in visits:
        yield from visit.answers[role]


def characters_of(answer: Generation) -> int:
    """Return how many characters an answer has, reasoning included."""
    return sum(len(piece.text) for piece in answer.pieces)


def refuse_whole(question: Question, names: Mapping[str, str], role: str, answer: Generation) -> None:
    """Refuse an answer whose text was returned as a whole.

    Raises:
        MeasurementError: it has no times of tokens.
    """
    if answer.whole:
        raise MeasurementError(
            f"{question.kpi.name} is not defined: {names[role]} returns each text as a whole. Return a generator "
            "that yields its pieces, or judge generation_latency"
        )
