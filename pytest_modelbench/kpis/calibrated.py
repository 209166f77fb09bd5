"""Evidence on calibration: by how much confidence and the share that is right differ, bin by bin of confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.kpis.additive import PairedSums, evidence_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Comparison, Estimate, Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray, Sums, noise_of_few
from pytest_modelbench.stats.deviations import deviation_change, deviation_interval
from pytest_modelbench.stats.gaps import quotient
from pytest_modelbench.stats.paired import expanded, expanded_comparison

BINS = 15
PARTS = ("n", "confidence", "hit")


def bin_of(confidence: npt.NDArray[Any]) -> IntArray:
    """Return the bin of each confidence: equal ones, closed on the right.

    >>> bin_of(np.array([0.0, 1 / 15, 0.5, 1.0])).tolist()
    [0, 0, 7, 14]
    """
    of: IntArray = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    return of


def named(sums: PairedSums) -> PairedSums:
    """Return sums of tables whose columns are the `PARTS` of all bins, (n, 3 * bins), as those of each part."""
    return replace(sums, totals=_split(sums.totals), drawn=_split(sums.drawn))


def _split(sums: Mapping[str, Sums]) -> dict[str, Sums]:
    parts = {role: np.split(of_role["sums"], len(PARTS), axis=1) for role, of_role in sums.items()}
    return {role: dict(zip(PARTS, arrays, strict=True)) for role, arrays in parts.items()}


def calibration_evidence(question: Question, sums: PairedSums, method: str, *, few: bool = False) -> Evidence:
    """Return the expected calibration error as evidence; its bins are the reliability diagram.

    Args:
        question: of the gate.
        sums: of what is answered, by role: `n`, `confidence` and `hit` for each bin.
        method: how answers are read, in words.
        few: whether the interval is to be as wide as few independent units make it.
    """
    terms = {role: _off(total)[0] for role, total in sums.totals.items()}
    drawn = {role: _off(sums.drawn[role]) + _noise(sums, role, question.seed) for role in sums.totals}

    def interval(role: str, alpha: float) -> Estimate:
        estimate = deviation_interval(terms[role], drawn[role], alpha)
        return expanded(estimate, sums.n, alpha) if few else estimate

    comparison = None
    if "teacher" in terms:
        comparison = Comparison(
            difference=deviation_change(
                terms["student"], drawn["student"], terms["teacher"], drawn["teacher"], question.alpha
            ),
            ratio=quotient(interval("student", question.alpha / 2), interval("teacher", question.alpha / 2)),
            method=sums.method,
        )
        comparison = expanded_comparison(comparison, sums.n, question.alpha) if few else comparison
    estimates = {role: interval(role, question.alpha) for role in terms}
    how = f"{BINS} equal bins, right-closed; {method}; bounds for bins of either sign"
    return replace(evidence_of(question, sums, estimates, comparison, how), breakdown=_reliability(sums.totals))


def _off(sums: Sums) -> FloatArray:
    """Return by how much the confidence of each bin is too high, in percent of all answers."""
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
