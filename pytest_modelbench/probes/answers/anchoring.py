"""Whether a model's predictions follow the targets at all, so that another model can be judged relative to it.

If the teacher is at chance, every drop is small, for any student. The usual causes are labels in another order
and targets that are not those of the inputs: both are looked for, and named.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pytest_modelbench.errors import shown
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.stats.intervals import share_interval

CONVINCING = 1 / 3
"""A share of what could be gained over a constant prediction: a model that gains more is believed on few samples."""
DEVIATES = 2.58
"""Standard errors above chance that show an association: a one-sided error of 0.5%."""
LIFTED = 0.05
SHIFTS = (1, -1, 2, -2)
ALPHA = 0.05
MOST_CLASSES = 1000
"""Of more classes no table is made: its size is their square."""

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def doubt_about(outputs: Outputs, task: str, labels: Array, targets: Array | None) -> str:
    """Say why nothing can be relative to a model: it predicts no better than a constant; "" where it does.

    Classification: neither accuracy is above the share of the largest class (Wilson's lower end), nor the mean recall
    above chance. Several labels per sample: the mean of the labels' true-positive rates is not above that of their
    false-positive rates. Regression: the squared error is not below that of the targets' mean (normal lower end).
    """
    if targets is None or len(targets) == 0 or outputs.nonfinite.any():
        return ""
    if task == "regression":
        return _no_better_than_mean(outputs.model, labels, targets)
    if task == "multilabel":
        return _no_better_than_rates(outputs.model, labels, targets)
    return _no_better_than_majority(outputs.model, _Table(labels, targets))


def order_of_classes(outputs: Outputs, task: str, labels: Array, targets: Array | None) -> str:
    """Say that renaming the classes would make many more predictions right; "" where it would not."""
    if targets is None or task in {"regression", "multilabel"}:
        return ""
    table = _Table(labels, targets)
    moved = table.renamed()
    return f"{outputs.model}: {moved}" if moved else ""


class _Table:
    """How often each class is predicted for each class.

    Attributes:
        classes: all that occur, sorted.
        said, true: (samples,) positions among the classes.
        totals, hits: (classes,) samples of each class, and those of them that are predicted right.
    """

    def __init__(self, labels: Array, targets: Array) -> None:
        self.classes, codes = np.unique(np.concatenate([labels, targets]), return_inverse=True)
        self.said, self.true = codes[: len(labels)], codes[len(labels) :]
        self.n, of = len(targets), len(self.classes)
        self.totals = np.bincount(self.true, minlength=of)
        self.hits = np.bincount(self.true[self.true == self.said], minlength=of)
        self.right = int(self.hits.sum())
        self.majority = int(self.totals.argmax())

    def name(self, position: int) -> str:
        """Return a class for messages."""
        return shown(self.classes[position].item())

    def best_constant(self) -> float:
        """Return the accuracy of always predicting the most frequent class."""
        return float(self.totals.max() / self.n)

    def follows_targets(self) -> bool:
        """Whether the mean recall of the classes that occur is above chance."""
        n = self.totals[self.totals > 0]
        recalls = self.hits[self.totals > 0] / n
        error = math.sqrt(float((recalls * (1 - recalls) / n).sum())) / len(n)
        return bool(recalls.mean() - DEVIATES * error > 1 / len(n))

    def renamed(self) -> str:
        """Name the one-to-one renaming of classes that makes many more predictions right, or return ""."""
        of = len(self.classes)
        if of > MOST_CLASSES:
            return ""
        counts = np.bincount(self.true * of + self.said, minlength=of * of).reshape(of, of)
        theirs, ours = scipy.optimize.linear_sum_assignment(-counts)
        gained = int(counts[theirs, ours].sum()) - self.right
        pairs = zip(theirs.tolist(), ours.tolist(), strict=True)
        moved = [(t, s) for t, s in pairs if t != s and counts[t, s]]
        clear = all(2 * counts[t, s] > self.totals[t] for t, s in moved)
        if not moved or not clear or gained < LIFTED * self.n:
            return ""
        lifted = 100 * (self.right + gained) / self.n
        return f"{lifted:.1f}% of its predictions would be right {self._named(moved)}"

    def _named(self, moved: list[tuple[int, int]]) -> str:
        of = len(self.classes)
        steps = {(s - t) % of for t, s in moved}
        if len(moved) > 2 and len(steps) == 1 and steps & {1, of - 1}:
            return f"if each label were one {'higher' if steps == {1} else 'lower'}: the labels are off by one"
        if len(moved) > 2 and all(t + s == of - 1 for t, s in moved):
            return "with the classes in reversed order"
        pairs = ", ".join(
            f"{shown(self.classes[s].item())} for {shown(self.classes[t].item())}" for t, s in moved[:3]
        )
        return f"if it did not predict {pairs}{', ...' if len(moved) > 3 else ''}: the classes are in another order"


def _no_better_than_majority(model: str, table: _Table) -> str:
    constant, accuracy = table.best_constant(), table.right / table.n
    low = share_interval(table.right, table.n, ALPHA).low or 0.0
    if constant == 1 or low > constant or accuracy - constant > CONVINCING * (1 - constant):
        return ""
    if table.follows_targets():
        return ""
    name = table.name(table.majority)
    cause = table.renamed() or _shifted(table) or _constant(table) or "the labels or their order are the usual cause"
    return (
        f"{model} is right for {table.right} of {table.n} samples, no better than always predicting {name} "
        f"({100 * constant:.1f}%), so nothing can be relative to it: {cause}"
    )


def _constant(table: _Table) -> str:
    if len(np.unique(table.said)) > 1:
        return ""
    return f"it predicts {table.name(table.said[0])} for every sample"


def _shifted(table: _Table) -> str:
    """Name the number of rows by which the targets are shifted, if that makes most predictions right."""
    for shift in SHIFTS:
        right = float((np.roll(table.true, shift) == table.said).mean())
        if right - table.best_constant() > CONVINCING * (1 - table.best_constant()):
            return (
                f"{100 * right:.1f}% of its predictions would be right for the targets of other rows: the targets "
                f"seem to be moved by {-shift:+d} rows against the inputs"
            )
    return ""


def _no_better_than_rates(model: str, labels: Array, targets: Array) -> str:
    said, true = np.asarray(labels, dtype=bool), np.asarray(targets, dtype=bool)
    positives, negatives = true.sum(axis=0), (~true).sum(axis=0)
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return ""
    recall = (said & true).sum(axis=0)[both] / positives[both]
    false = (said & ~true).sum(axis=0)[both] / negatives[both]
    spread = recall * (1 - recall) / positives[both] + false * (1 - false) / negatives[both]
    gain, error = float((recall - false).mean()), math.sqrt(float(spread.sum())) / int(both.sum())
    if gain - DEVIATES * error > 0 or gain > CONVINCING:
        return ""
    return (
        f"{model} predicts the {int(both.sum())} labels no more often where they hold ({100 * recall.mean():.1f}%) "
        f"than where they do not ({100 * false.mean():.1f}%), so nothing can be relative to it: the labels or their "
        "order are the usual cause"
    )


def _no_better_than_mean(model: str, values: Array, targets: Array) -> str:
    truth, said = np.asarray(targets, dtype=float), np.asarray(values, dtype=float)
    around_mean = (truth - truth.mean()) ** 2
    if len(truth) < 2 or not around_mean.any():
        return ""
    gains = around_mean - (truth - said) ** 2
    r2 = float(gains.mean() / around_mean.mean())
    low = float(gains.mean() - 1.645 * gains.std(ddof=1) / math.sqrt(len(gains)))
    if low > 0 or r2 > CONVINCING:
        return ""
    return (
        f"{model} has R² {r2:.2f}, no better than always predicting the mean of the targets, so nothing can be "
        f"relative to it: {_shifted_values(said, truth)}"
    )


def _shifted_values(said: FloatArray, truth: FloatArray) -> str:
    for shift in SHIFTS:
        moved = np.roll(truth, shift)
        if said.std() and np.corrcoef(moved, said)[0, 1] > 0.7:
            return f"the targets seem to be moved by {-shift:+d} rows against the inputs"
    return "the targets' scale, unit or order are the usual cause"
