"""Readings of calibration: whether a model is right as often as it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.kpis.additive import Part, Parts, evidence_of, paired_sums
from pytest_modelbench.kpis.derive_shares import meaning_of
from pytest_modelbench.kpis.derive_sums import judged_models, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.meaning import Predictions
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums

BINS = 15


def ece(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the expected calibration error; its bins are the reliability diagram."""
    models = judged_models(question, measurements)
    told = f"{BINS} equal bins, right-closed; {meaning_of(models['student'])}"
    found = paired_sums(question, models, _bins)
    yield replace(evidence_of(question, models, found, _error, told), breakdown=_reliability(found.totals))


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


def _error(sums: Sums) -> FloatArray:
    found: FloatArray = 100 * np.abs(sums["confidence"] - sums["hit"]).sum(axis=1) / sums["n"].sum(axis=1)
    return found


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
