"""How a model's answers are distributed: counts of each class, or between the deciles of numbers.

That is what a later session compares answers with for which no labels are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
Counts = npt.NDArray[np.float64]
DECILES = tuple(tenth / 10 for tenth in range(1, 10))
MOST_CLASSES = 10_000
DIGITS = 3
"""Confidences are compared to so many digits: a file may have no more of those near 1."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Counts of samples by class, or by the interval between edges that a number is in.

    Attributes:
        counts: of samples, one for each name, or for each interval: up to the first edge, and so on.
        names: the classes as texts; None for numbers.
        edges: in increasing order, each the upper end of its interval; None for classes.
    """

    counts: tuple[int, ...]
    names: tuple[str, ...] | None = None
    edges: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        kinds: dict[str, Any] = {"edges": self.edges} if self.names is None else {"names": self.names}
        return {name: list(values) for name, values in {**kinds, "counts": self.counts}.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Distribution:
        """Return what `to_json` gave.

        Raises:
            ValueError: it was altered.
        """
        names: Any = content.get("names")
        edges: Any = content.get("edges")
        counts: Any = content.get("counts")
        if not _are(counts, int) or not sum(counts) or min(counts) < 0 or (names is None) is (edges is None):
            raise ValueError("a distribution has counts, and either names or edges")
        if names is not None and not (_are(names, str) and len(set(names)) == len(names) == len(counts)):
            raise ValueError("a distribution has one count for each name")
        if edges is not None and not (
            _are(edges, int | float) and edges == sorted(edges) and len(edges) == len(counts) - 1
        ):
            raise ValueError("a distribution has one count for each edge and one above, the edges in order")
        return cls(
            counts=tuple(counts),
            names=None if names is None else tuple(names),
            edges=None if edges is None else tuple(map(float, edges)),
        )


def _are(values: Any, kind: Any) -> bool:
    if not isinstance(values, list):
        return False
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """Counts of a reference, and those of later answers over the same classes, in clusters by time.

    Attributes:
        kind: what was counted, such as "10 classes".
        reference: (classes,).
        clusters: (clusters, classes).
        new: classes that the reference does not have.
    """

    kind: str
    reference: Counts
    clusters: Counts
    new: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Produced:
    """Answers of production, and how those of the accepted run were distributed.

    Attributes:
        predictions: of production, in the order of time.
        reference: the accepted distributions, by what was counted: `predictions` and `confidences`.
        absent: why a distribution is not there, by the same names.
    """

    predictions: Predictions
    reference: Mapping[str, Distribution]
    absent: Mapping[str, str]

    def drifted(self, what: str, clusters: int) -> Drifted:
        """Count answers by the classes or intervals of the reference.

        Args:
            what: `predictions` or `confidences`.
            clusters: into how many stretches of time they are divided.

        Raises:
            NotApplicable: the reference or production does not have them.
        """
        if what not in self.reference:
            raise NotApplicable(self.absent.get(what, f"the reference has no distribution of {what}"))
        if what == "predictions":
            values = self.predictions.labels[finite_rows(self.predictions)]
        elif self.predictions.scores is None:
            raise NotApplicable("confidences need one score for each class, and there are labels or values only")
        else:
            values = confidences_of(self.predictions)
        if not len(values):
            raise NotApplicable("no prediction is a finite number")
        return drifted(self.reference[what], values, clusters)


def distributions_of(predictions: Predictions) -> dict[str, Distribution]:
    """Return what is known of how a model's answers are distributed, by what was counted."""
    each = {
        "predictions": prediction_distribution(predictions),
        "confidences": confidence_distribution(predictions),
    }
    return {what: distribution for what, distribution in each.items() if distribution is not None}


def prediction_distribution(predictions: Predictions) -> Distribution | None:
    """Return the distribution of labels or values; None for several labels or outputs, and for too many classes."""
    if predictions.labels.ndim != 1:
        return None
    values = predictions.labels[finite_rows(predictions)]
    if not len(values):
        return None
    if predictions.task == "regression":
        return of_numbers(values)
    names, counts = np.unique(values, return_counts=True)
    if len(names) > MOST_CLASSES:
        return None
    return Distribution(names=tuple(map(str, names.tolist())), counts=tuple(counts.tolist()))


def confidence_distribution(predictions: Predictions) -> Distribution | None:
    """Return the distribution of the largest probability of each sample; None where there are no scores."""
    if predictions.scores is None or predictions.columns is None:
        return None
    confidences = confidences_of(predictions)
    return of_numbers(confidences) if len(confidences) else None


def confidences_of(predictions: Predictions) -> Array:
    """Return the largest probability of each sample with finite outputs, rounded to `DIGITS`."""
    confidences: list[Array] = [np.zeros(0)]
    finite = finite_rows(predictions)
    for part in slices(len(predictions)):
        rows = part.start + np.flatnonzero(finite[part])
        if len(rows):
            confidences.append(np.round(predictions.probabilities(rows).max(axis=1), DIGITS))
        predictions.release()
    return np.concatenate(confidences)


def finite_rows(predictions: Predictions) -> npt.NDArray[np.bool_]:
    """Return which samples have finite outputs."""
    return np.asarray(predictions.outputs.nonfinite == 0)


def of_numbers(values: Array) -> Distribution:
    """Return the distribution of numbers by their deciles, each of which is one of the numbers.

    A number that is several of them has an interval of its own: less is then something else.

    >>> of_numbers(np.arange(100)).counts
    (10, 10, 10, 10, 10, 10, 10, 10, 10, 10)
    >>> of_numbers(np.ones(50)).counts
    (0, 50, 0)
    """
    deciles = np.quantile(np.asarray(values, dtype=np.float64), DECILES, method="inverted_cdf")
    edges, times = np.unique(deciles, return_counts=True)
    edges = np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return Distribution(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def drifted(reference: Distribution, values: Array, clusters: int) -> Drifted:
    """Count later answers by the classes, or between the edges, of a reference.

    Args:
        reference: what they are compared with.
        values: labels or numbers in the order of time, (samples,), at least one.
        clusters: into how many stretches of time they are divided.

    Raises:
        NotApplicable: none of the classes is one of the reference's, or numbers are compared with classes.
    """
    new: list[str] = []
    if reference.edges is not None:
        if values.dtype.kind not in "biuf":
            raise NotApplicable(f"the reference has numbers, and here are labels such as {values[0]!r}")
        codes = np.searchsorted(np.asarray(reference.edges), values, side="left")
        kind, size = f"{len(reference.counts)} intervals between the reference's deciles", len(reference.counts)
    else:
        codes, new, size = _codes(reference.names or (), values)
        kind = f"{size + len(new)} classes"
    kinds = size + len(new)
    table = np.stack(
        [np.bincount(part, minlength=kinds) for part in np.array_split(codes, min(clusters, len(codes)))]
    )
    base = np.concatenate([np.asarray(reference.counts, dtype=np.float64), np.zeros(len(new))])
    return Drifted(kind=kind, reference=base, clusters=table.astype(np.float64), new=tuple(new))


def _codes(names: tuple[str, ...], values: Array) -> tuple[IntArray, list[str], int]:
    classes, codes = np.unique(values, return_inverse=True)
    labels = list(map(str, classes.tolist()))
    places = {name: at for at, name in enumerate(names)}
    new = [label for label in labels if label not in places]
    if len(new) == len(labels):
        raise NotApplicable(
            f"none of the predictions is a class of the reference: {_some(labels)} here, {_some(list(names))} there"
        )
    places |= {label: len(names) + at for at, label in enumerate(new)}
    return np.array([places[label] for label in labels], dtype=np.intp)[codes], new, len(names)


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
