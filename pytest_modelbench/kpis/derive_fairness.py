"""Readings of fairness: how much groups differ, for one model and from teacher to student."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import Grouping, crossed
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import Part, Parts, paired_sums
from pytest_modelbench.kpis.derive_shares import meaning_of
from pytest_modelbench.kpis.derive_sums import judged_models, known_classes, positions, targets_of
from pytest_modelbench.kpis.group_rates import Rates, frame_rates, pairs_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.meaning import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray
from pytest_modelbench.stats.gaps import drift_interval, gap_interval, quotient

SHOWN = 6
MOST_PAIRS = 20_000
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups that are compared: within each level of the control feature, those of the sensitive feature.

    `codes` numbers them for each sample, level by level, -1 for samples of groups that are too small. `levels` has
    the level of each group.
    """

    feature: str
    names: tuple[str, ...]
    levels: tuple[int, ...]
    codes: Array
    sizes: tuple[int, ...]
    left_out: tuple[str, ...]


EACH = "each"


def absolute(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how much the groups of one model differ, and compare with the teacher where that is asked."""
    if question.options["feature"] == EACH:
        yield _worst_feature(absolute, question, measurements)
        return
    found = _Found(question, measurements, both=False)
    comparison = None
    if "teacher" in found.pairs:
        comparison = Comparison(difference=found.drift(), ratio=found.quotient(), method=found.sums.method)
    yield Evidence(
        student=found.reading("student"),
        teacher=found.reading("teacher") if "teacher" in found.pairs else None,
        comparison=comparison,
        sampled=question.asked,
        notes=found.notes,
        breakdown=found.breakdown,
    )


def drift(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how much more the student's groups differ than the teacher's, on the same samples."""
    if question.options["feature"] == EACH:
        yield _worst_feature(drift, question, measurements)
        return
    found = _Found(question, measurements, both=True)
    told = ", ".join(f"{role} {found.value(role):.4g}" for role in ("student", "teacher"))
    reading = replace(found.reading("student"), estimate=found.drift(), method=f"{told}; {found.method}")
    yield Evidence(student=reading, sampled=question.asked, notes=found.notes, breakdown=found.breakdown)


def _worst_feature(
    read: Callable[[Question, Measurements], Iterator[Evidence]], question: Question, measurements: Measurements
) -> Evidence:
    """Read every sensitive feature apart, at a common error (Bonferroni), and return the evidence of the worst.

    Features that do not fit, such as those of small groups, are left out and listed where a ready-made suite asks.

    Raises:
        MeasurementError: no feature fits, or one cannot be read: others would pass in its place.
    """
    control = question.options["control"]
    names = [one.name for one in measurements.data().sensitive() if one.name != control]
    confidence = 1 - question.alpha / max(1, len(names))
    found: dict[str, Evidence] = {}
    unfit: dict[str, DoesNotFit] = {}
    for name in names:
        options = {**question.options, "feature": name}
        try:
            (found[name],) = read(replace(question, options=options, confidence=confidence), measurements)
        except DoesNotFit as reason:
            unfit[name] = reason
        except MeasurementError as fault:
            raise MeasurementError(f"{name}: {fault}") from fault
    if found and unfit and not question.lenient:
        name, why = next(iter(unfit.items()))
        raise MeasurementError(f"{name}: {why}. Others would pass in its place: write a gate for each feature")
    if not found:
        raise next(iter(unfit.values())) if unfit else _no_feature(question)
    worst = _worst_of(question, {name: one.student.estimate for name, one in found.items()})
    told = (f"worst of {', '.join(found)}: {worst[0]}",) if len(names) > 1 else ()
    rows = tuple({**row, "name": f"{name}={row['name']}"} for name, one in found.items() for row in one.breakdown)
    comparison = _worst_comparison(question, [one.comparison for one in found.values() if one.comparison])
    chosen = found[worst[0]]
    return replace(
        chosen,
        student=replace(chosen.student, estimate=worst[1], confidence=question.confidence),
        comparison=comparison,
        notes=(*told, *chosen.notes, *map(str, unfit.values())),
        breakdown=rows,
    )


def _worst_comparison(question: Question, found: Sequence[Comparison]) -> Comparison | None:
    if not found:
        return None
    changes = {str(i): one.difference for i, one in enumerate(found) if one.difference}
    ratios = {str(i): one.ratio for i, one in enumerate(found) if one.ratio}
    return Comparison(
        difference=_worst_of(question, changes)[1] if changes else None,
        ratio=_worst_of(question, ratios)[1] if len(ratios) == len(found) else None,
        method="of the feature that changed most",
    )


def _worst_of(question: Question, found: Mapping[str, Estimate]) -> tuple[str, Estimate]:
    """Return which estimate is the worst, with ends that hold for the worst of all."""
    pick = max if question.kpi.better == "lower" else min
    name = pick(found, key=lambda one: found[one].value)
    known = all(one.low is not None and one.high is not None for one in found.values())
    low, high = (pick(getattr(one, side) for one in found.values()) if known else None for side in ("low", "high"))
    return name, Estimate(value=found[name].value, low=low, high=high)


def _no_feature(question: Question) -> DoesNotFit:
    return DoesNotFit(
        f"{question.kpi.name} needs a sensitive feature, and the evaluation data name none. Write "
        "EvalData(..., sensitive={'sex': sex})"
    )


class _Found:
    """Everything that a gate on fairness rests on.

    Raises:
        DoesNotFit: the data name no sensitive feature, or the task is another one.
        DataError: a feature that is not there, or several and none chosen.
        MeasurementError: fewer than two groups can be compared, or the student answers the same for all.
    """

    def __init__(self, question: Question, measurements: Measurements, *, both: bool) -> None:
        self.question = question
        self.groups = _groups(question, measurements)
        self.models = judged_models(question, measurements, both=both)
        student, name = self.models["student"], question.kpi.name
        if len(self.groups.codes) != len(student):
            raise DataError(
                f"sensitive {self.groups.feature!r} has {len(self.groups.codes)} values, and there are "
                f"{len(student)} samples; expected one per sample"
            )
        self.loss = name.startswith("group_loss")
        if self.loss is not (student.task == "regression") or student.task == "multilabel":
            loss = "group_loss" if student.task == "regression" else "group_accuracy"
            other = f"{loss}_difference or {loss}_gap" if student.task != "multilabel" else "EvalData for each label"
            raise DoesNotFit(f"{name} does not fit the task {student.task}. Write {other}")
        if self.loss and student.labels.ndim > 1:
            raise DoesNotFit(f"{name} is for one value per sample, and there are {student.labels.shape[1]}")
        self.classes = np.empty(0) if self.loss else known_classes(self.models)
        self.judged = [] if self.loss else self._judged_classes()
        if not self.loss and not name.startswith("group_accuracy"):
            self._refuse_constant(student)
        self.sums = paired_sums(
            question, self.models, self._parts, strata=self.groups.codes, sizes=list(self.groups.sizes)
        )
        least = int(question.options["min_n"])
        self.rates = {
            role: frame_rates(model, self.groups.codes, self.groups.names, self.classes, self.judged, least)
            for role, model in self.models.items()
        }
        self.sign = -1 if "_ratio" in name else 1
        self.pairs, self.drawn_pairs = self._defined_pairs()
        levels = f" within {question.options['control']}" if question.options["control"] else ""
        self.method = (
            f"{self.groups.feature}, {len(self.groups.names)} groups{levels}; {meaning_of(student)}; bounds "
            f"for the pair that may be furthest apart, within groups {self.sums.method}"
        )

    def _judged_classes(self) -> list[int]:
        """Return the classes that count as positive: the stated one, the second of two, or each against the rest."""
        positive = self.question.options.get("positive")
        if positive is not None:
            known = [str(one) for one in self.classes.tolist()]
            if str(positive) not in known:
                raise DataError(f"positive={positive!r} is none of the classes {', '.join(known[:10])}")
            return [known.index(str(positive))]
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

    def _parts(self, predictions: Predictions, part: slice) -> Parts:
        codes = self.groups.codes[part].astype(np.intp)
        groups, targets = len(self.groups.names), targets_of(predictions)[part]
        if self.loss:
            off = np.abs(np.asarray(predictions.labels[part], dtype=np.float64) - targets)
            return {"n": Part(kinds=codes, of=groups), "loss": Part(kinds=codes, of=groups, weights=off)}
        said, true = positions(predictions.labels[part], self.classes), positions(targets, self.classes)
        of = groups * len(self.classes)
        kinds = {"said": said, "true": true, "hit": np.where(said == true, true, -1)}
        inside = {
            name: np.where((codes >= 0) & (kind >= 0), codes * len(self.classes) + kind, -1)
            for name, kind in kinds.items()
        }
        return {
            "n": Part(kinds=codes, of=groups),
            **{name: Part(kinds=kind, of=of) for name, kind in inside.items()},
        }

    def _drawn_rates(self, role: str) -> Rates:
        """Return the rates of the resamples."""
        drawn, seen = self.sums.drawn[role], self.sums.totals[role]
        if self.loss:
            return Rates.of_losses(drawn)
        rng = np.random.default_rng([self.question.seed, list(self.models).index(role)])
        return Rates.of_counts(drawn, len(self.groups.names), self.judged, seen, rng)

    def _defined_pairs(self) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Return how far apart every two groups are, and that of the resamples, where both rates are defined."""
        name, levels = self.question.kpi.name, self.groups.levels
        points = {role: pairs_of(name, rates, levels)[0] for role, rates in self.rates.items()}
        defined = np.logical_and.reduce([np.isfinite(pairs) for pairs in points.values()])
        used = [rates[0] for one in self.rates.values() for _, rates in one.used(name)]
        groups_with = [int(np.isfinite(rates).sum(axis=0).max()) for rates in used]
        if not defined.any() or min(groups_with) < 2:  # also where the other of two rates could be compared
            raise DoesNotFit(
                f"{name} is undefined: a rate has no denominator in all groups but one (no positives, no negatives, "
                f"or fewer than min_n={self.question.options['min_n']})"
            )
        if self.sign < 0 and not any(np.nan_to_num(one).any() for _, one in self.rates["student"].used(name)):
            raise DoesNotFit(f"{name} is undefined: every rate of the student is 0, and of 0 to 0 there is no ratio")
        if len(defined) > MOST_PAIRS:
            raise MeasurementError(
                f"{name} compares {len(defined):,} pairs of groups and classes. Say which class counts: positive=..."
            )
        drawn = {}
        for role in self.models:
            pairs = pairs_of(name, self._drawn_rates(role), levels)[:, defined]
            drawn[role] = np.where(np.isfinite(pairs), pairs, points[role][defined])  # a resample without the rate
        return {role: pairs[defined] for role, pairs in points.items()}, drawn

    def value(self, role: str) -> float:
        """Return how far one model's groups are apart."""
        return self.sign * float(self.pairs[role].max()) + 0.0

    def drift(self) -> Estimate:
        """Return how much the student's groups are further apart than the teacher's."""
        student, teacher = ((self.pairs[role], self.drawn_pairs[role]) for role in ("student", "teacher"))
        found = drift_interval(*student, *teacher, self.question.alpha, least=0.0 if self.sign > 0 else -1.0)
        return found if self.sign > 0 else found.map(lambda value: -min(max(value, -1.0), 1.0))

    def quotient(self) -> Estimate | None:
        """Return how many times as far apart the student's groups are, or the ratio of two ratios."""
        return quotient(*(self.gap(role, self.question.alpha / 2) for role in ("student", "teacher")))

    def reading(self, role: str) -> Reading:
        """Return the value of one model."""
        return Reading(
            estimate=self.gap(role, self.question.alpha),
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
        found = gap_interval(pairs, drawn, alpha)
        most = 0.0 if self.sign < 0 else math.inf
        return found.map(lambda value: self.sign * min(max(value, least), most) + 0.0)

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
        told = []
        shown = self.rates["student"].shown(self.question.kpi.name, self.judged)
        if shown:
            label, values = shown
            listed = [
                f"{name} {_percent(value, self.loss)}" for name, value in zip(self.groups.names, values, strict=True)
            ]
            told.append(f"{label} of the student: {', '.join(listed[:SHOWN])}")
        if self.groups.left_out:
            told.append(
                f"left out, fewer than {self.question.options['min_n']}: {', '.join(self.groups.left_out[:SHOWN])}"
            )
        undefined = self.rates["student"].undefined(self.question.kpi.name, self.groups.names)
        if undefined:
            told.append(f"undefined and not compared: {', '.join(undefined[:SHOWN])}")
        return tuple(told)


def _percent(value: float, loss: bool) -> str:
    if not np.isfinite(value):
        return "undefined"
    return f"{value:.4g}" if loss else f"{100 * value:.1f}%"


def _groups(question: Question, measurements: Measurements) -> Groups:
    known = {one.name: one for one in measurements.data().sensitive()}
    if not known:
        raise _no_feature(question)
    control = question.options["control"]
    feature = question.options["feature"]
    if feature is None:
        others = [name for name in known if name != control]
        if len(others) != 1:
            raise DataError(
                f"{question.kpi.name}: the data name several sensitive features: {', '.join(others)}. Write "
                f"feature={others[0]!r}, a list of them for their intersections, or 'each' for the worst of all"
            )
        feature = others[0]
    names = [feature] if isinstance(feature, str) else list(feature)
    for name in (*names, *([control] if control else [])):
        if name not in known:
            raise DataError(
                f"{question.kpi.name}: there is no sensitive feature {name!r}; there are {', '.join(known)}"
            )
    compared_groups = crossed([known[name] for name in names])
    levels = known[control] if control else None
    return _large_enough(compared_groups, levels, int(question.options["min_n"]), question.kpi.name)


def _large_enough(groups: Grouping, levels: Grouping | None, least: int, kpi: str) -> Groups:
    whole = groups if levels is None else crossed([levels, groups])
    sizes = whole.sizes()
    keep = [number for number, size in enumerate(sizes) if size >= least]
    left_out = tuple(f"{whole.names[i]} ({sizes[i]})" for i in range(len(sizes)) if i not in set(keep))
    level_of = [0] * len(whole.names)
    if levels is not None:
        level_of = [int(levels.codes[np.argmax(whole.codes == number)]) for number in range(len(whole.names))]
    occupied = [level_of[i] for i in keep]
    if not any(occupied.count(level) > 1 for level in set(occupied)):
        small = f"; too small: {', '.join(left_out[:SHOWN])}" if left_out else ""
        raise DoesNotFit(
            f"{kpi}: {groups.name!r} has {len(groups.names)} groups, of which {len(keep)} have {least} samples or "
            f"more{small}. Nothing can be compared: put values into fewer groups, bring more data, or state a "
            "smaller min_n="
        )
    renumbered = np.full(len(whole.names) + 1, -1, dtype=whole.codes.dtype)
    renumbered[keep] = np.arange(len(keep))
    return Groups(
        feature=groups.name,
        names=tuple(whole.names[i] for i in keep),
        levels=tuple(occupied),
        codes=renumbered[whole.codes],
        sizes=tuple(sizes[i] for i in keep),
        left_out=left_out,
    )
