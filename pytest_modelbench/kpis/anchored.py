"""Whether a limit can rest on a model whose data are in parts: it must be better than a constant.

Causes that only neighbouring rows show, such as targets that are moved by some rows, are not looked for here.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from pytest_modelbench.kpis.accuracy.centred import exact_of, exact_squares
from pytest_modelbench.kpis.additive import Part, Parts, summed_parts
from pytest_modelbench.kpis.evidence import targets_of
from pytest_modelbench.kpis.kpi import Measurements
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.anchoring import (
    counted_answers,
    counted_labels,
    doubt_of_answers,
    doubt_of_gain,
    doubt_of_labels,
)
from pytest_modelbench.probes.answers.meaning import Predictions

SUMS = ("n", "y", "yy", "squared")


def read_anchor(measurements: Measurements, role: str) -> Summary:
    """Read what some samples tell of whether limits can rest on a model.

    Args:
        measurements: of the samples.
        role: of the model.
    """
    predictions = measurements.predictions(role)
    labels, targets = predictions.labels, predictions.targets
    bad = int(np.count_nonzero(predictions.outputs.nonfinite))
    if predictions.task == "regression" and targets is not None:
        summary = summed_parts({role: predictions}, _values)
    else:
        summary = Summary(n=len(predictions))
    summary.facts = {"models": {role: predictions.outputs.model}, "task": predictions.task}
    summary.counts[f"{role} not finite"] = {(): bad}
    if predictions.task == "multilabel" and targets is not None:
        summary.counts[f"{role} labels"] = counted_labels(labels, targets)
    elif predictions.task != "regression" and targets is not None:
        summary.counts[f"{role} answers"] = counted_answers(labels, targets)
    return summary


def doubt_of(summary: Summary, role: str) -> str:
    """Say why nothing can be relative to a model: it predicts no better than a constant; "" where it does.

    Args:
        summary: of all samples, from `read_anchor`.
        role: of the model.
    """
    model = summary.facts["models"][role]
    if summary.of(f"{role} not finite"):
        return ""
    if answers := summary.counts.get(f"{role} answers"):
        return doubt_of_answers(model, answers)
    if labels := summary.counts.get(f"{role} labels"):
        return doubt_of_labels(model, labels)
    return _doubt_of_values(model, summary, role) if summary.sums else ""


def _values(predictions: Predictions, part: slice) -> Parts:
    """Targets, their squares and squared errors of all outputs together."""
    targets = np.asarray(targets_of(predictions)[part], dtype=np.float64)
    expected = targets.reshape(len(targets), -1)
    off = np.asarray(predictions.labels[part], dtype=np.float64).reshape(expected.shape) - expected
    rows, kinds = np.repeat(np.arange(len(expected)), expected.shape[1]), np.zeros(expected.size, dtype=np.intp)
    sums = {"n": np.ones_like(off), "y": expected, "squared": off**2}
    parts = {name: Part(kinds=kinds, of=1, weights=values.ravel(), rows=rows) for name, values in sums.items()}
    squares = np.concatenate([values.ravel() for values in exact_squares(expected)])
    return {**parts, "yy": Part(kinds=np.tile(kinds, 2), of=1, weights=squares, rows=np.tile(rows, 2))}


def _doubt_of_values(model: str, summary: Summary, role: str) -> str:
    """Compare squared errors with those of the targets' mean; the standard error is that of random groups."""
    tables = (summary.sums[""].table(f"{role} {name}") for name in SUMS)
    cells = [cell for cell in zip(*(exact_of(table, 0) for table in tables), strict=True) if cell[0]]
    n = sum(cell[0] for cell in cells)
    mean = sum(cell[1] for cell in cells) / n
    around = [yy - 2 * mean * y + mean**2 * count for count, y, yy, _ in cells]
    gains = [of_mean - squared for of_mean, (*_, squared) in zip(around, cells, strict=True)]
    if summary.n < 2 or not sum(around):
        return ""
    gain = sum(gains) / n
    spread = sum((float(one - count * gain) ** 2 for one, (count, *_) in zip(gains, cells, strict=True)), 0.0)
    error = math.sqrt(spread * len(cells) / max(1, len(cells) - 1)) / float(n)
    return doubt_of_gain(model, float(Fraction(sum(gains)) / sum(around)), float(gain), error)
