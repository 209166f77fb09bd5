"""Readings of fairness: how much groups differ, for one model and from teacher to student."""

from __future__ import annotations

import functools
import hashlib
import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import PairedSums, joined_strata
from pytest_modelbench.kpis.fairness.compared_groups import EACH, SHOWN, groups_of
from pytest_modelbench.kpis.fairness.group_counts import GroupCounts
from pytest_modelbench.kpis.fairness.group_rates import Rates, pairs_of
from pytest_modelbench.kpis.fairness.read import read
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Key, Summary
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, resamples_for
from pytest_modelbench.stats.gaps import drift_interval, gap_interval, quotient

MOST_PAIRS = 20_000


MOST_KEPT_BYTES = 64 * 2**20
Conclude = Callable[[Question, Summary], Iterator[Evidence]]


def _conclude_absolute(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read how much the groups of one model differ, and compare with the teacher where that is asked."""
    if question.options["feature"] == EACH:
        yield _worst_feature(_conclude_absolute, question, summary)
        return
    basis = _Basis(question, summary)
    comparison = None
    if "teacher" in basis.pairs:
        comparison = Comparison(difference=basis.drift(), ratio=basis.quotient(), method=basis.sums.method)
    yield Evidence(
        student=basis.reading("student"),
        teacher=basis.reading("teacher") if "teacher" in basis.pairs else None,
        comparison=comparison,
        sampled=question.asked,
        notes=basis.notes,
        breakdown=basis.breakdown,
    )


def _conclude_drift(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read how much more the student's groups differ than the teacher's, on the same samples."""
    if question.options["feature"] == EACH:
        yield _worst_feature(_conclude_drift, question, summary)
        return
    basis = _Basis(question, summary)
    values = ", ".join(f"{role} {basis.value(role):.4g}" for role in ("student", "teacher"))
    reading = replace(basis.reading("student", basis.drift()), method=f"{values}; {basis.method}")
    yield Evidence(student=reading, sampled=question.asked, notes=basis.notes, breakdown=basis.breakdown)


absolute = Reduction(functools.partial(read, both=False), _conclude_absolute)
drift = Reduction(functools.partial(read, both=True), _conclude_drift)


def _worst_feature(conclude: Conclude, question: Question, summary: Summary) -> Evidence:
    """Read every sensitive feature apart, at a common error (Bonferroni), and return the evidence of the worst.

    Features that do not fit, such as those of small groups, are left out and listed where a ready-made suite asks.

    Raises:
        MeasurementError: no feature fits, or one cannot be read: others would pass in its place.
    """
    features: list[list[str]] = summary.facts["features"]
    confidence = 1 - question.alpha / len(features)
    by_feature: dict[str, Evidence] = {}
    unfit: dict[str, DoesNotFit] = {}
    for (name,) in features:
        options = {**question.options, "feature": name}
        one = replace(summary, facts={**summary.facts, "features": [[name]]})
        try:
            _refuse_unfit(summary, name)
            (by_feature[name],) = conclude(replace(question, options=options, confidence=confidence), one)
        except DoesNotFit as reason:
            unfit[name] = reason
        except MeasurementError as fault:
            raise MeasurementError(f"{name}: {fault}") from fault
    if unfit and (not by_feature or not question.lenient):
        name, why = next(iter(unfit.items()))
        if not by_feature:
            raise why
        raise MeasurementError(f"{name}: {why}. Others would pass in its place: write a gate for each feature")
    return _evidence_of_worst(question, by_feature, unfit)


def _refuse_unfit(summary: Summary, feature: str) -> None:
    """Refuse a feature whose values could not become groups in some part of the data."""
    reasons = sorted(why for name, why in summary.counts.get("unfit", {}) if name == feature)
    if reasons:
        raise DoesNotFit(reasons[0])


def _evidence_of_worst(
    question: Question, by_feature: Mapping[str, Evidence], unfit: Mapping[str, DoesNotFit]
) -> Evidence:
    worst = _worst_of(question, {name: evidence.student.estimate for name, evidence in by_feature.items()})
    note = (f"worst of {', '.join(by_feature)}: {worst[0]}",) if len(by_feature) + len(unfit) > 1 else ()
    rows = tuple(
        {**row, "name": f"{name}={row['name']}"}
        for name, evidence in by_feature.items()
        for row in evidence.breakdown
    )
    comparison = _worst_comparison(
        question, [evidence.comparison for evidence in by_feature.values() if evidence.comparison]
    )
    chosen = by_feature[worst[0]]
    return replace(
        chosen,
        student=replace(chosen.student, estimate=worst[1], confidence=question.confidence),
        comparison=comparison,
        notes=(*note, *chosen.notes, *map(str, unfit.values())),
        breakdown=rows,
    )


def _worst_comparison(question: Question, comparisons: Sequence[Comparison]) -> Comparison | None:
    if not comparisons:
        return None
    changes = {str(i): comparison.difference for i, comparison in enumerate(comparisons) if comparison.difference}
    ratios = {str(i): comparison.ratio for i, comparison in enumerate(comparisons) if comparison.ratio}
    return Comparison(
        difference=_worst_of(question, changes)[1] if changes else None,
        ratio=_worst_of(question, ratios)[1] if len(ratios) == len(comparisons) else None,
        method="of the feature that changed most",
    )


def _worst_of(question: Question, estimates: Mapping[str, Estimate]) -> tuple[str, Estimate]:
    """Return which estimate is the worst, with ends that hold for the worst of all."""
    pick = max if question.kpi.better == "lower" else min
    name = pick(estimates, key=lambda key: estimates[key].value)
    bounded = all(estimate.low is not None and estimate.high is not None for estimate in estimates.values())
    low, high = (
        pick(getattr(estimate, side) for estimate in estimates.values()) if bounded else None
        for side in ("low", "high")
    )
    return name, Estimate(value=estimates[name].value, low=low, high=high)


class _Basis:
    """Everything that a gate on fairness rests on, of one feature.

    Raises:
        DoesNotFit: fewer than two groups can be compared.
        DataError: the class that counts as positive is none of those that there are.
        MeasurementError: the student answers the same for all.
    """

    def __init__(self, question: Question, summary: Summary) -> None:
        self.question, self.summary = question, summary
        (names,) = summary.facts["features"]
        self.groups = groups_of(question, summary, names)
        self.roles, name = list(summary.facts["models"]), question.kpi.name
        self.loss = question.kpi.statistic == "group_loss"
        self.classes = sorted(label for (label,) in summary.counts.get("classes", {}))
        self.judged = [] if self.loss else self._judged_classes()
        if not self.loss and question.kpi.statistic != "group_accuracy":
            self._refuse_constant()
        self.sums = self._sums()
        self.rates = {role: self._seen_rates(role) for role in self.roles}
        self.sign = -1 if "_ratio" in name else 1
        self.pairs, self.drawn_pairs = self._defined_pairs()
        levels = f" within {question.options['control']}" if question.options["control"] else ""
        without = "".join(f"; {remark}" for remark in self.groups.told)
        self.method = (
            f"{self.groups.feature}, {len(self.groups.names)} groups{levels}{without}; {summary.facts['meaning']}; "
            f"bounds for the pair that may be furthest apart, within groups {self.sums.method}"
        )

    def _judged_classes(self) -> list[int]:
        """Return the classes that count as positive: the stated one, the second of two, or each against the rest."""
        positive = self.question.options.get("positive")
        if positive is not None:
            classes = [str(label) for label in self.classes]
            if str(positive) not in classes:
                raise DataError(f"positive={positive!r} is none of the classes {', '.join(classes[:10])}")
            return [classes.index(str(positive))]
        return [1] if len(self.classes) == 2 else list(range(len(self.classes)))

    @property
    def _answers(self) -> Mapping[Key, int]:
        return self.summary.counts[f"answers of {self.groups.feature}"]

    def _refuse_constant(self) -> None:
        """Refuse a student that answers the same for everybody in the groups, of the class that is judged."""
        said = {answer for group, _, answer, *_ in self._answers if group in self.groups.names}
        judged = self.classes[self.judged[0]]
        if len(self.judged) > 1 and len(said) > 1:
            return
        if len(said) == 1 or judged not in said:
            answer = next(iter(said)) if judged in said or len(self.judged) > 1 else f"something else than {judged}"
            raise MeasurementError(
                f"{self.question.kpi.name}: {self.summary.facts['models']['student']} answers {answer} for every "
                "sample, so all rates are equal for any groups, which proves nothing"
            )

    def _sums(self) -> PairedSums | GroupCounts:
        """Return what rates are made of: one set of resamples for all KPIs of a feature, known by its content."""
        resamples, kept = resamples_for(self.question.alpha), self.summary.memo
        strata = [self.summary.sums[f"{self.groups.feature}: {name}"] for name in self.groups.names if self.loss]
        content = [sums.plain() for sums in strata] if self.loss else sorted(self._answers.items(), key=str)
        read_from = (self.groups.names, self.roles, self.classes, content)
        key = (hashlib.blake2b(pickle.dumps(read_from)).digest(), resamples, self.question.seed)
        if key in kept:
            known: PairedSums | GroupCounts = kept[key]
            return known
        sums: PairedSums | GroupCounts
        if self.loss:
            sums = joined_strata(self.question, strata, self.roles, "loss")
        else:
            seed, groups = self.question.seed, self.groups.names
            sums = GroupCounts(self._answers, groups, self.roles, self.classes, resamples, seed)
        if not isinstance(sums, GroupCounts) or sums.nbytes <= MOST_KEPT_BYTES:
            kept[key] = sums
        return sums

    def _seen_rates(self, role: str) -> Rates:
        if isinstance(self.sums, GroupCounts):
            return Rates.of_counts(self.sums.seen(role, self.judged), int(self.question.options["min_n"]))
        return Rates.of_losses(self.sums.totals[role])

    def _drawn_rates(self, role: str) -> Rates:
        """Return the rates of the resamples."""
        if not isinstance(self.sums, GroupCounts):
            return Rates.of_losses(self.sums.drawn[role])
        rng = np.random.default_rng([self.question.seed, self.roles.index(role)])
        drawn, seen = (take(role, self.judged) for take in (self.sums.drawn, self.sums.seen))
        return Rates.of_resamples(drawn, seen, self.question.kpi.name, rng)

    def _defined_pairs(self) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Return how far apart every two groups are, and that of the resamples, where both rates are defined."""
        name, levels = self.question.kpi.name, self.groups.levels
        points = {role: pairs_of(name, rates, levels)[0] for role, rates in self.rates.items()}
        defined = np.logical_and.reduce([np.isfinite(pairs) for pairs in points.values()])
        used = [rates[0] for of_role in self.rates.values() for _, rates in of_role.used(name)]
        groups_with = [int(np.isfinite(rates).sum(axis=0).max()) for rates in used]
        if not defined.any() or min(groups_with) < 2:  # also where the other of two rates could be compared
            raise DoesNotFit(
                f"{name} is undefined: a rate has no denominator in all groups but one (no positives, no negatives, "
                f"or fewer than min_n={self.question.options['min_n']})"
            )
        if self.sign < 0 and not any(np.nan_to_num(rates).any() for _, rates in self.rates["student"].used(name)):
            raise DoesNotFit(f"{name} is undefined: every rate of the student is 0, and the ratio 0/0 is undefined")
        if len(defined) > MOST_PAIRS:
            raise MeasurementError(
                f"{name} compares {len(defined):,} pairs of groups and classes. Say which class counts: positive=..."
            )
        drawn = {}
        for role in self.roles:
            pairs = pairs_of(name, self._drawn_rates(role).filled(self.rates[role], name), levels)
            drawn[role] = pairs if defined.all() else pairs[:, defined]
        return {role: pairs[defined] for role, pairs in points.items()}, drawn

    def value(self, role: str) -> float:
        """Return how far one model's groups are apart."""
        return self.sign * float(self.pairs[role].max()) + 0.0

    def drift(self) -> Estimate:
        """Return how much the student's groups are further apart than the teacher's."""
        student, teacher = ((self.pairs[role], self.drawn_pairs[role]) for role in ("student", "teacher"))
        interval = drift_interval(*student, *teacher, self.question.alpha, least=0.0 if self.sign > 0 else -1.0)
        return interval if self.sign > 0 else interval.map(lambda value: -min(max(value, -1.0), 1.0))

    def quotient(self) -> Estimate | None:
        """Return how many times as far apart the student's groups are, or the ratio of two ratios."""
        return quotient(*(self.gap(role, self.question.alpha / 2) for role in ("student", "teacher")))

    def reading(self, role: str, estimate: Estimate | None = None) -> Reading:
        """Return the value of one model, or another estimate."""
        return Reading(
            estimate=self.gap(role, self.question.alpha) if estimate is None else estimate,
            unit=self.question.kpi.unit,
            n=self.sums.n,
            confidence=self.question.confidence,
            method=self.method,
        )

    def gap(self, role: str, alpha: float) -> Estimate:
        """Return how far one model's groups are apart; no gap is below 0, and no ratio above 1."""
        least = 0.0 if self.sign > 0 else -1.0
        pairs, drawn = self.pairs[role], self.drawn_pairs[role]
        if self.sign < 0:  # of a ratio and its inverse only one can be the smallest, and the other is known badly
            pairs, drawn = pairs[pairs >= -1], drawn[:, pairs >= -1]
        interval = gap_interval(pairs, drawn, alpha)
        most = 0.0 if self.sign < 0 else math.inf
        return interval.map(lambda value: self.sign * min(max(value, least), most) + 0.0)

    @property
    def breakdown(self) -> tuple[dict[str, Any], ...]:
        """One row for each group: its size, and each model's rates of each judged class."""
        rows = []
        for number, name in enumerate(self.groups.names):
            row: dict[str, Any] = {"name": name, "n": self.groups.sizes[number]}
            for role, rates in self.rates.items():
                row[role] = rates.of_group(number, [str(self.classes[c]) for c in self.judged])
            rows.append(row)
        return tuple(rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: the rates by group, groups that were left out, rates that are undefined."""
        notes = []
        shown = self.rates["student"].shown(self.question.kpi.name, self.judged)
        if shown:
            label, values = shown
            notes.append(f"{label} of the student: {', '.join(self._extremes(values))}")
        if self.groups.left_out:
            notes.append(
                f"left out, fewer than {self.question.options['min_n']}: {', '.join(self.groups.left_out[:SHOWN])}"
            )
        undefined = self.rates["student"].undefined(self.question.kpi.name, self.groups.names)
        if undefined:
            notes.append(f"undefined and not compared: {', '.join(undefined[:SHOWN])}")
        return tuple(notes)

    def _extremes(self, values: Sequence[float]) -> list[str]:
        """Return the groups' rates from lowest to highest; of many groups those at both ends."""
        order = sorted(range(len(values)), key=lambda at: (not math.isfinite(values[at]), values[at]))
        if len(order) > SHOWN:
            order = [at for at in order if math.isfinite(values[at])]  # the others are told as undefined
        rates = [f"{self.groups.names[at]} {_percent(values[at], self.loss)}" for at in order]
        if len(rates) <= SHOWN:
            return rates
        half = SHOWN // 2
        return [*rates[:half], f"{len(rates) - 2 * half} between", *rates[-half:]]


def _percent(value: float, loss: bool) -> str:
    if not np.isfinite(value):
        return "undefined"
    return f"{value:.4g}" if loss else f"{100 * value:.1f}%"
