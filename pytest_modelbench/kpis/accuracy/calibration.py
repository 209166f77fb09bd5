"""Readings of calibration: whether a model is right as often as it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.kpis.additive import PairedSums, Part, Parts, evidence_of, paired_sums
from pytest_modelbench.kpis.evidence import judged_models, meaning_of, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums, noise_of_few
from pytest_modelbench.stats.deviations import deviation_change, deviation_interval
from pytest_modelbench.stats.gaps import quotient

BINS = 15


def ece(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the expected calibration error; its bins are the reliability diagram."""
    models = judged_models(question, measurements)
    method = f"{BINS} equal bins, right-closed; {meaning_of(models['student'])}"
    sums = paired_sums(question, models, _bins)
    terms = {role: _off(total)[0] for role, total in sums.totals.items()}
    drawn = {role: _off(sums.drawn[role]) + _noise(sums, role, question.seed) for role in models}

    def interval(role: str, alpha: float) -> Estimate:
        return deviation_interval(terms[role], drawn[role], alpha)

    comparison = None
    if "teacher" in models:
        comparison = Comparison(
            difference=deviation_change(
                terms["student"], drawn["student"], terms["teacher"], drawn["teacher"], question.alpha
            ),
            ratio=quotient(interval("student", question.alpha / 2), interval("teacher", question.alpha / 2)),
            method=sums.method,
        )
    estimates = {role: interval(role, question.alpha) for role in models}
    evidence = evidence_of(question, sums, estimates, comparison, f"{method}; bounds for bins of either sign")
    yield replace(evidence, breakdown=_reliability(sums.totals))


def _bins(predictions: Predictions, part: slice) -> Parts:
    chances = predictions.probabilities(part)
    confidence = chances.max(axis=1)
    hit = np.asarray(predictions.labels[part] == targets_of(predictions)[part], dtype=np.float64)
    of = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    return {
        "n": Part(kinds=of, of=BINS),
        "confidence": Part(kinds=of, of=BINS, weights=confidence),
        "hit": Part(kinds=of, of=BINS, weights=hit),
    }


def _off(sums: Sums) -> FloatArray:
    """Return by how much the confidence of each bin is too high, in percent of all samples."""
    excess: FloatArray = 100 * (sums["confidence"] - sums["hit"]) / sums["n"].sum(axis=1, keepdims=True)
    return excess


def _noise(sums: PairedSums, role: str, seed: int) -> FloatArray:
    """Return the noise that resamples of few answers lack, apart for each model."""
    total, resamples = sums.totals[role], len(sums.drawn[role]["n"])
    noise = noise_of_few(
        total["hit"], total["n"], resamples, np.random.default_rng([seed, list(sums.totals).index(role)])
    )
    weighted: FloatArray = 100 * noise * total["n"] / total["n"].sum()
    return weighted


def _reliability(totals: Mapping[str, Sums]) -> tuple[dict[str, Any], ...]:
    rows = []
    for number in range(BINS):
        row: dict[str, Any] = {"name": f"({number / BINS:.3f}, {(number + 1) / BINS:.3f}]"}
        for role, sums in totals.items():
            n = sums["n"][0, number]
            row[role] = {
                "n": int(n),
                "confidence": 100 * float(sums["confidence"][0, number] / n) if n else None,
                "accuracy": 100 * float(sums["hit"][0, number] / n) if n else None,
            }
        rows.append(row)
    return tuple(rows)
