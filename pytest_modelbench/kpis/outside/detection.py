"""Readings of how well a model's confidence tells samples of the data from others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.evidence import judged_predictions
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.answers.scores import ScoreReader, reader_of
from pytest_modelbench.probes.kinds import OUTSIDE
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.accepted import RESAMPLES, accepted, between, bounds_threshold, drawn_shares
from pytest_modelbench.stats.ranks import area_interval, area_of, compare_areas

FloatArray = npt.NDArray[np.float64]
_FLAT = 1e-3
"""Energies that vary less than this are those of log-probabilities, which say nothing."""
_TOO_FEW = "the data are too few to bound the confidence that {:g}% of them reach: the share may be up to 100%"


@dataclass(frozen=True)
class Apart:
    """One model's confidence of the samples of the data, and of those of one set outside."""

    inside: FloatArray
    outside: FloatArray

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of samples of the data, and of the set."""
        return len(self.inside), len(self.outside)

    @property
    def area(self) -> tuple[float, FloatArray]:
        """The area under the ROC curve and each sample's influence on it."""
        kinds = np.repeat([True, False], [len(self.inside), len(self.outside)])
        return area_of(kinds, np.concatenate([self.inside, self.outside]))

    def accepted(self, at: float) -> float:
        """Return the share of the set that is accepted where `at` percent of the data are."""
        return accepted(self.inside, self.outside, at)


def auroc(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the area under the ROC curve, of the worst set.

    Raises:
        DoesNotFit: the model gives no scores, or none that the score is for.
    """
    pairs = _pairs(question, measurements)
    alpha = question.alpha / len(pairs)
    areas = {name: {role: apart.area for role, apart in roles.items()} for name, roles in pairs.items()}

    def estimate(name: str, role: str) -> Estimate:
        sizes = pairs[name][role].sizes
        return area_interval(*areas[name][role], alpha, sizes).map(lambda share: 100 * share)

    def compare(name: str) -> Comparison:
        sizes = pairs[name]["student"].sizes
        return compare_areas(areas[name]["student"], areas[name]["teacher"], alpha, 100.0, sizes)

    yield _evidence(question, pairs, estimate, compare, worst=min, method="DeLong's variance, score interval")


def false_positives(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of the worst set that is accepted where `at` percent of the data are.

    Raises:
        DoesNotFit: as for `auroc`.
    """
    pairs, at = _pairs(question, measurements), float(question.options["at"])
    alpha = question.alpha / len(pairs)
    drawn = {name: _drawn(roles, at, question.seed) for name, roles in pairs.items()}
    few = not all(bounds_threshold(roles["student"].sizes[0], at, alpha) for roles in pairs.values())

    def estimate(name: str, role: str) -> Estimate:
        own = between(pairs[name][role].accepted(at), drawn[name][role], alpha)
        return Estimate(value=own.value, low=own.low, high=100.0) if few else own

    def compare(name: str) -> Comparison:
        ours, theirs = (pairs[name][role].accepted(at) for role in ("student", "teacher"))
        gap = between(ours - theirs, drawn[name]["student"] - drawn[name]["teacher"], alpha)
        difference = Estimate(value=gap.value, low=-100.0, high=100.0) if few else gap
        ratio = Estimate(value=ours / theirs) if theirs else None
        return Comparison(ratio=ratio, difference=difference, method="paired bootstrap")

    method, why = f"at {at:g}% of the data, {RESAMPLES} resamples", _TOO_FEW.format(at) if few else ""
    yield _evidence(question, pairs, estimate, compare, worst=max, method=method, note=why)


def _drawn(roles: Mapping[str, Apart], at: float, seed: int) -> dict[str, FloatArray]:
    inside, outside = (
        {role: getattr(apart, side) for role, apart in roles.items()} for side in ("inside", "outside")
    )
    return drawn_shares(inside, outside, at, seed)


def _evidence(
    question: Question,
    pairs: Mapping[str, Mapping[str, Apart]],
    estimate: Callable[[str, str], Estimate],
    compare: Callable[[str], Comparison],
    *,
    worst: Callable[[Sequence[float]], float],
    method: str,
    note: str = "",
) -> Evidence:
    """Return the evidence of the worst set, whose interval lies between the worst ends of all."""
    names = list(pairs)

    def reading(role: str) -> Reading:
        several = [estimate(name, role) for name in names]
        n = sum(len(pairs[name][role].outside) for name in names)
        return Reading(
            estimate=_worst(several, worst),
            unit="%",
            n=n,
            confidence=question.confidence,
            method=f"{question.options['score']} of {', '.join(names)}; {method}",
        )

    both = question.with_teacher
    comparisons = [compare(name) for name in names] if both else []
    rows = tuple(_row(name, pairs[name], estimate) for name in names)
    outside = [row["name"] for row in rows if question.kpi.better == "higher" and float(str(row["value"])) < 50]
    notes = (note,) * bool(note)
    notes += tuple(f"the student is more confident outside, of {name}, than inside" for name in outside)
    return Evidence(
        student=reading("student"),
        teacher=reading("teacher") if both else None,
        comparison=_worst_comparison(comparisons, worst) if both else None,
        sampled=question.asked,
        notes=notes,
        breakdown=rows,
    )


def _row(name: str, roles: Mapping[str, Apart], estimate: Callable[[str, str], Estimate]) -> dict[str, Any]:
    values = {role: estimate(name, role).value for role in roles}
    row: dict[str, Any] = {"name": name, "n": len(roles["student"].outside), "value": values["student"]}
    return {**row, "teacher": values["teacher"]} if "teacher" in values else row


def _worst(estimates: Sequence[Estimate], worst: Callable[[Sequence[float]], float]) -> Estimate:
    lows, highs = [each.low for each in estimates], [each.high for each in estimates]
    value = worst([each.value for each in estimates])
    if None in lows or None in highs:
        return Estimate(value=value)
    return Estimate(value=value, low=worst([low or 0.0 for low in lows]), high=worst([high or 0.0 for high in highs]))


def _worst_comparison(comparisons: Sequence[Comparison], worst: Callable[[Sequence[float]], float]) -> Comparison:
    differences = [each.difference for each in comparisons if each.difference is not None]
    ratios = [each.ratio for each in comparisons if each.ratio is not None]
    return Comparison(
        ratio=_worst(ratios, worst) if len(ratios) == len(comparisons) else None,
        difference=_worst(differences, worst),
        method=f"{comparisons[0].method}, the worst of {len(comparisons)} sets"
        if len(comparisons) > 1
        else comparisons[0].method,
    )


def _pairs(question: Question, measurements: Measurements) -> dict[str, dict[str, Apart]]:
    """Return the confidence of each model by set."""
    roles = ("student", "teacher") if question.with_teacher else ("student",)
    models = {role: judged_predictions(question, measurements, role, targets=False) for role in roles}
    classes = measurements.data().classes
    pairs: dict[str, dict[str, Apart]] = {}
    for role, predictions in models.items():
        reader = reader_of(predictions, classes)
        inside = _confidence(question, predictions, reader, predictions.outputs)
        for name, outputs in measurements.of(OUTSIDE, role).items():
            outside = _confidence(question, predictions, reader, outputs)
            pairs.setdefault(name, {})[role] = Apart(inside, outside)
    return pairs


def _confidence(question: Question, predictions: Predictions, reader: ScoreReader, outputs: Outputs) -> FloatArray:
    """Return how confident a model is of each sample: larger is more like the data.

    `msp` is the logarithm of the odds of the top class, in float64: it orders samples as the maximum softmax
    probability does, without its ties at 1.

    Raises:
        DoesNotFit: labels have no confidence; `max_logit` and `energy` are for logits.
        MeasurementError: an output is not finite.
    """
    how, model = question.options["score"], predictions.outputs.model
    if reader.meaning == "labels":
        raise DoesNotFit(f"{question.kpi.name} needs scores, and {model} returns labels")
    if how != "msp" and (reader.meaning != "logits" or reader.single):
        raise DoesNotFit(f"score={how!r} is for one logit per class, and {model} gives {reader.meaning}. Write 'msp'")
    if outputs.nonfinite.any():
        raise MeasurementError(f"{model} gives NaN or infinite outputs for {int(outputs.nonfinite.sum())} samples")
    scores = reader.scores(np.asarray(outputs.array))
    if how == "max_logit":
        return np.asarray(scores.max(axis=1))
    if how == "energy":
        energy = np.asarray(scipy.special.logsumexp(scores, axis=1))
        if len(energy) > 1 and np.ptp(energy) < _FLAT:
            raise DoesNotFit(
                f"the energy of {model} is {energy[0]:.3g} for every sample: its outputs are log-probabilities. "
                "Return logits, or write score='msp'"
            )
        return energy
    rows, top = np.arange(len(scores)), scores.argmax(axis=1)
    best = scores[rows, top]
    others = scores.copy()
    others[rows, top] = -np.inf
    with np.errstate(invalid="ignore"):
        odds = best - scipy.special.logsumexp(others, axis=1)
    return np.asarray(np.nan_to_num(odds, posinf=np.finfo(np.float64).max))
