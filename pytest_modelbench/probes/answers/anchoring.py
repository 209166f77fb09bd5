"""Whether a model's predictions follow the targets at all, so that another model can be judged relative to it.

If the teacher is at chance, every drop is small, for any student. The usual causes are labels in another order
and targets that are not those of the inputs: both are looked for, and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pytest_modelbench.data.groups import combinations
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
SCALE = "the targets' scale, unit or order are the usual cause"
MOST_CLASSES = 1000
"""Of more classes no table is made: its size is their square."""

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Answers = Mapping[tuple[Any, ...], int]
"""How many samples there are of each target and answer."""


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
        return doubt_of_labels(outputs.model, counted_labels(labels, targets))
    answers = counted_answers(labels, targets)
    return doubt_of_answers(outputs.model, answers, lambda table: _shifted(table, labels, targets))


def order_of_classes(outputs: Outputs, task: str, labels: Array, targets: Array | None) -> str:
    """Say that renaming the classes would make many more predictions right; "" where it would not."""
    if targets is None or task in {"regression", "multilabel"}:
        return ""
    return order_of_answers(outputs.model, counted_answers(labels, targets))


def order_of_answers(model: str, answers: Answers) -> str:
    """Say the same from the counts of targets and answers."""
    moved = _Table(answers).renamed()
    return f"{model}: {moved}" if moved else ""


def counted_answers(labels: Array, targets: Array) -> dict[tuple[Any, ...], int]:
    """Count the samples of each target and answer, named in one type."""
    if len({"i" if array.dtype.kind == "u" else array.dtype.kind for array in (labels, targets)}) > 1:
        kind = np.result_type(labels, targets)
        labels, targets = labels.astype(kind), targets.astype(kind)
    return combinations(targets, labels)


def counted_labels(labels: Array, targets: Array) -> dict[tuple[Any, ...], int]:
    """Count the samples of each label (by its number) for which it holds or not, and is predicted or not."""
    said, true = np.asarray(labels, dtype=bool), np.asarray(targets, dtype=bool)
    counts = {(False, False): (~true & ~said), (False, True): (~true & said), (True, False): (true & ~said)}
    counts[True, True] = true & said
    return {
        (label, *kind): count
        for kind, mask in counts.items()
        for label, count in enumerate(mask.sum(axis=0).tolist())
    }


class _Table:
    """How often each class is predicted for each class.

    Attributes:
        classes: all that occur, sorted.
        true, said, many: positions among the classes, and how many samples there are of each pair of them.
        totals, hits: (classes,) samples of each class, and those of them that are predicted right.
    """

    def __init__(self, answers: Answers) -> None:
        self.classes = sorted({label for pair in answers for label in pair})
        self.place = {label: at for at, label in enumerate(self.classes)}
        self.true, self.said = np.array([[self.place[label] for label in pair] for pair in answers], dtype=np.intp).T
        self.many = np.array(list(answers.values()), dtype=np.int64)
        self.n, right = int(self.many.sum()), self.true == self.said
        self.totals, self.hits = np.zeros((2, len(self.classes)), dtype=np.int64)
        np.add.at(self.totals, self.true, self.many)
        np.add.at(self.hits, self.true[right], self.many[right])
        self.right = int(self.hits.sum())
        self.majority = int(self.totals.argmax())

    def name(self, position: int) -> str:
        """Return a class for messages."""
        return shown(self.classes[position])

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
        counts = np.zeros((of, of), dtype=np.int64)
        counts[self.true, self.said] = self.many
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
        pairs = ", ".join(f"{self.name(s)} for {self.name(t)}" for t, s in moved[:3])
        return f"if it did not predict {pairs}{', ...' if len(moved) > 3 else ''}: the classes are in another order"


def _no_cause(_: _Table) -> str:
    return ""


def doubt_of_answers(model: str, answers: Answers, cause: Callable[[_Table], str] = _no_cause) -> str:
    """Say why nothing can be relative to a model that gives one label per sample; "" where something can.

    Args:
        model: its name.
        answers: how many samples there are of each target and answer; at least one.
        cause: names a cause that counts do not show, or returns "".
    """
    table = _Table(answers)
    constant, accuracy = table.best_constant(), table.right / table.n
    low = share_interval(table.right, table.n, ALPHA).low or 0.0
    if constant == 1 or low > constant or accuracy - constant > CONVINCING * (1 - constant):
        return ""
    if table.follows_targets():
        return ""
    name = table.name(table.majority)
    why = table.renamed() or cause(table) or _constant(table) or "the labels or their order are the usual cause"
    return (
        f"{model} is right for {table.right} of {table.n} samples, no better than always predicting {name} "
        f"({100 * constant:.1f}%), so nothing can be relative to it: {why}"
    )


def _constant(table: _Table) -> str:
    if len(np.unique(table.said)) > 1:
        return ""
    return f"it predicts {table.name(table.said[0])} for every sample"


def _shifted(table: _Table, labels: Array, targets: Array) -> str:
    """Name the number of rows by which the targets are shifted, if that makes most predictions right."""
    for shift in SHIFTS:
        right = float((np.roll(targets, shift) == labels).mean())
        if right - table.best_constant() > CONVINCING * (1 - table.best_constant()):
            return (
                f"{100 * right:.1f}% of its predictions would be right for the targets of other rows: the targets "
                f"seem to be moved by {-shift:+d} rows against the inputs"
            )
    return ""


def doubt_of_labels(model: str, counts: Mapping[tuple[Any, ...], int]) -> str:
    """Say why nothing can be relative to a model that gives several labels per sample; "" where something can.

    Args:
        model: its name.
        counts: from `counted_labels`.
    """
    labels = range(1 + max(label for label, *_ in counts))
    table = np.array([[[counts[label, t, s] for s in (False, True)] for t in (False, True)] for label in labels])
    negatives, positives = table.sum(axis=2).T
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return ""
    recall, false = table[both, 1, 1] / positives[both], table[both, 0, 1] / negatives[both]
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
    error = float(gains.std(ddof=1) / math.sqrt(len(gains)))
    return doubt_of_gain(model, r2, float(gains.mean()), error, lambda: _shifted_values(said, truth))


def doubt_of_gain(model: str, r2: float, gain: float, error: float, cause: Callable[[], str] = lambda: SCALE) -> str:
    """Say why nothing can be relative to a model that gives values; "" where something can.

    Args:
        model: its name.
        r2: its R².
        gain: by how much its squared error is smaller, on average, than that of the targets' mean.
        error: the standard error of that.
        cause: names the cause.
    """
    if gain - 1.645 * error > 0 or r2 > CONVINCING:
        return ""
    return (
        f"{model} has R² {r2:.2f}, no better than always predicting the mean of the targets, so nothing can be "
        f"relative to it: {cause()}"
    )


def _shifted_values(said: FloatArray, truth: FloatArray) -> str:
    for shift in SHIFTS:
        moved = np.roll(truth, shift)
        if said.std() and np.corrcoef(moved, said)[0, 1] > 0.7:
            return f"the targets seem to be moved by {-shift:+d} rows against the inputs"
    return SCALE
