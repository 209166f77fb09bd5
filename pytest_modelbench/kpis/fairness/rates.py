"""Readings of fairness: how much groups differ, for one model and from teacher to student."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import PairedSums, joined_strata
from pytest_modelbench.kpis.evidence import judged_models, known_classes, meaning_of, positions, targets_of
from pytest_modelbench.kpis.fairness.compared_groups import SHOWN, groups_of, no_feature
from pytest_modelbench.kpis.fairness.group_counts import GroupCounts
from pytest_modelbench.kpis.fairness.group_rates import Rates, pairs_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, resamples_for
from pytest_modelbench.stats.gaps import drift_interval, gap_interval, quotient

MOST_PAIRS = 20_000
Array = npt.NDArray[Any]


EACH = "each"
MOST_KEPT_BYTES = 64 * 2**20


def absolute(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how much the groups of one model differ, and compare with the teacher where that is asked."""
    if question.options["feature"] == EACH:
        yield _worst_feature(absolute, question, measurements)
        return
    basis = _Basis(question, measurements, both=False)
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


def drift(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how much more the student's groups differ than the teacher's, on the same samples."""
    if question.options["feature"] == EACH:
        yield _worst_feature(drift, question, measurements)
        return
    basis = _Basis(question, measurements, both=True)
    values = ", ".join(f"{role} {basis.value(role):.4g}" for role in ("student", "teacher"))
    reading = replace(basis.reading("student", basis.drift()), method=f"{values}; {basis.method}")
    yield Evidence(student=reading, sampled=question.asked, notes=basis.notes, breakdown=basis.breakdown)


def _worst_feature(
    read: Callable[[Question, Measurements], Iterator[Evidence]], question: Question, measurements: Measurements
) -> Evidence:
    """Read every sensitive feature apart, at a common error (Bonferroni), and return the evidence of the worst.

    Features that do not fit, such as those of small groups, are left out and listed where a ready-made suite asks.

    Raises:
        MeasurementError: no feature fits, or one cannot be read: others would pass in its place.
    """
    control = question.options["control"]
    names = [name for name in measurements.data().sensitive_names() if name != control]
    confidence = 1 - question.alpha / max(1, len(names))
    by_feature: dict[str, Evidence] = {}
    unfit: dict[str, DoesNotFit] = {}
    for name in names:
        options = {**question.options, "feature": name}
        try:
            (by_feature[name],) = read(replace(question, options=options, confidence=confidence), measurements)
        except DoesNotFit as reason:
            unfit[name] = reason
        except MeasurementError as fault:
            raise MeasurementError(f"{name}: {fault}") from fault
    if by_feature and unfit and not question.lenient:
        name, why = next(iter(unfit.items()))
        raise MeasurementError(f"{name}: {why}. Others would pass in its place: write a gate for each feature")
    if not by_feature:
        raise next(iter(unfit.values())) if unfit else no_feature(question)
    worst = _worst_of(question, {name: evidence.student.estimate for name, evidence in by_feature.items()})
    note = (f"worst of {', '.join(by_feature)}: {worst[0]}",) if len(names) > 1 else ()
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
    """Everything that a gate on fairness rests on.

    Raises:
        DoesNotFit: the data name no sensitive feature, or the task is another one.
        DataError: a feature that is not there, or several and none chosen.
        MeasurementError: fewer than two groups can be compared, or the student answers the same for all.
    """

    def __init__(self, question: Question, measurements: Measurements, *, both: bool) -> None:
        self.question = question
        self.groups = groups_of(question, measurements)
        self.models = judged_models(question, measurements, both=both)
        student, name = self.models["student"], question.kpi.name
        if len(self.groups.codes) != len(student):
            raise DataError(
                f"sensitive {self.groups.feature!r} has {len(self.groups.codes)} values, and there are "
                f"{len(student)} samples; expected one per sample"
            )
        self.loss = question.kpi.statistic == "group_loss"
        if self.loss is not (student.task == "regression") or student.task == "multilabel":
            loss = "group_loss" if student.task == "regression" else "group_accuracy"
            other = f"{loss}_difference or {loss}_gap" if student.task != "multilabel" else "EvalData for each label"
            raise DoesNotFit(f"{name} does not fit the task {student.task}. Write {other}")
        if self.loss and student.labels.ndim > 1:
            raise DoesNotFit(f"{name} is for one value per sample, and there are {student.labels.shape[1]}")
        self.classes = np.empty(0) if self.loss else known_classes(self.models)
        self.judged = [] if self.loss else self._judged_classes()
        if not self.loss and question.kpi.statistic != "group_accuracy":
            self._refuse_constant(student)
        self.sums = self._sums()
        self.rates = {role: self._seen_rates(role) for role in self.models}
        self.sign = -1 if "_ratio" in name else 1
        self.pairs, self.drawn_pairs = self._defined_pairs()
        levels = f" within {question.options['control']}" if question.options["control"] else ""
        without = "".join(f"; {remark}" for remark in self.groups.told)
        self.method = (
            f"{self.groups.feature}, {len(self.groups.names)} groups{levels}{without}; {meaning_of(student)}; "
            f"bounds for the pair that may be furthest apart, within groups {self.sums.method}"
        )

    def _judged_classes(self) -> list[int]:
        """Return the classes that count as positive: the stated one, the second of two, or each against the rest."""
        positive = self.question.options.get("positive")
        if positive is not None:
            classes = [str(label) for label in self.classes.tolist()]
            if str(positive) not in classes:
                raise DataError(f"positive={positive!r} is none of the classes {', '.join(classes[:10])}")
            return [classes.index(str(positive))]
        return [1] if len(self.classes) == 2 else list(range(len(self.classes)))

    def _refuse_constant(self, student: Predictions) -> None:
        """Refuse a student that answers the same for everybody in the groups, of the class that is judged."""
        said = positions(student.labels[self.groups.codes >= 0], self.classes)
        of_one = said == self.judged[0] if len(self.judged) == 1 else said == said[0]
        if of_one.all() or not of_one.any():
            answer = self.classes[said[0]] if of_one.all() else f"something else than {self.classes[self.judged[0]]}"
            raise MeasurementError(
                f"{self.question.kpi.name}: {student.outputs.model} answers {answer} for every sample, so all rates "
                "are equal for any groups, which proves nothing"
            )

    def _sums(self) -> PairedSums | GroupCounts:
        """Return what rates are made of: one pass and one set of resamples for all KPIs of a feature.

        They are kept with the student's predictions, and the teacher's beside them, for as long as these are.
        """
        resamples, models = resamples_for(self.question.alpha), tuple(self.models.values())
        key = (self.loss, self.groups.key, resamples, self.question.seed, *map(id, models))
        kept = self.models["student"].memo
        if key in kept:
            sums: PairedSums | GroupCounts = kept[key][1]
            return sums
        sums = self._read_sums(resamples)
        if not isinstance(sums, GroupCounts) or sums.nbytes <= MOST_KEPT_BYTES:
            kept[key] = (models, sums)
        return sums

    def _read_sums(self, resamples: int) -> PairedSums | GroupCounts:
        codes, groups = self.groups.codes, len(self.groups.names)
        if self.loss:
            return self._loss_sums()
        return GroupCounts(self.models, codes, groups, self.classes, resamples, self.question.seed)

    def _loss_sums(self) -> PairedSums:
        """Return the sums of losses of each group, which are resampled apart."""
        groups = range(len(self.groups.names))
        strata = [CellSums() for _ in groups]
        for part in slices(len(self.groups.codes)):
            hashes, codes = self.models["student"].outputs.hashes(part), self.groups.codes[part]
            off = {
                role: np.abs(np.asarray(p.labels[part], dtype=np.float64) - targets_of(p)[part])
                for role, p in self.models.items()
            }
            for group in groups:
                members = np.flatnonzero(codes == group)
                cells, one = strata[group].place(hashes[members]), np.zeros(len(members), dtype=np.intp)
                strata[group].add("n", cells, one, 1)
                for role, losses in off.items():
                    strata[group].add(role, cells, one, 1, losses[members])
        return joined_strata(self.question, strata, list(self.models), "loss")

    def _seen_rates(self, role: str) -> Rates:
        if isinstance(self.sums, GroupCounts):
            return Rates.of_counts(self.sums.seen(role, self.judged), int(self.question.options["min_n"]))
        return Rates.of_losses(self.sums.totals[role])

    def _drawn_rates(self, role: str) -> Rates:
        """Return the rates of the resamples."""
        if not isinstance(self.sums, GroupCounts):
            return Rates.of_losses(self.sums.drawn[role])
        rng = np.random.default_rng([self.question.seed, list(self.models).index(role)])
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
        for role in self.models:
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
