"""The rates of each group, by fairlearn and from sums, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.kpis.derive_sums import positions, targets_of
from pytest_modelbench.probes.columns import slices
from pytest_modelbench.probes.meaning import Predictions
from pytest_modelbench.stats.cells import FloatArray, Sums, noise_of_few, share_of

Array = npt.NDArray[Any]
MOST_RATIO = 2.0
TOLD = {"selection": "selection rate", "tpr": "true positive rate", "fpr": "false positive rate"}


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates of each group, NaN where there is no denominator.

    `selection`, `tpr` and `fpr` have shape (resamples, groups, classes), `accuracy` and `loss` (resamples, groups).
    """

    selection: FloatArray | None = None
    tpr: FloatArray | None = None
    fpr: FloatArray | None = None
    accuracy: FloatArray | None = None
    loss: FloatArray | None = None

    @classmethod
    def of_counts(cls, sums: Sums, groups: int, judged: Sequence[int], seen: Sums, rng: np.random.Generator) -> Rates:
        """Return the rates of resampled counts of each group and class, of the judged classes."""
        drawn, known = _counted(sums, groups, judged), _counted(seen, groups, judged)
        return cls(
            **{name: share_of(*drawn[name]) + noise_of_few(*known[name], len(drawn[name][0]), rng) for name in drawn}
        )

    @classmethod
    def of_losses(cls, sums: Sums) -> Rates:
        """Return the mean loss of each group."""
        return cls(loss=share_of(sums["loss"], sums["n"]))

    def used(self, kpi: str) -> list[tuple[str, FloatArray]]:
        """Return the rates that a KPI compares, each of shape (resamples, groups, classes)."""
        if kpi.startswith("demographic_parity"):
            names = ["selection"]
        elif kpi.startswith("equalized_odds"):
            names = ["tpr", "fpr"]
        elif kpi.startswith("equal_opportunity"):
            names = ["tpr"]
        else:
            names = ["loss" if kpi.startswith("group_loss") else "accuracy"]
        found = [(name, getattr(self, name)) for name in names]
        return [(name, rates if rates.ndim == 3 else rates[:, :, None]) for name, rates in found]

    def shown(self, kpi: str, judged: Sequence[int]) -> tuple[str, list[float]] | None:
        """Return the name and the values of the rate whose groups are furthest apart; None for several classes."""
        if len(judged) > 1 and not kpi.startswith("group_"):
            return None
        name, rates = max(self.used(kpi), key=lambda one: float(np.nan_to_num(np.ptp(np.nan_to_num(one[1][0])))))
        return TOLD.get(name, "mean absolute error" if name == "loss" else name), rates[0, :, 0].tolist()

    def undefined(self, kpi: str, groups: Sequence[str]) -> list[str]:
        """Return the rates without a denominator, each with its group."""
        missing = []
        for name, rates in self.used(kpi):
            gone = np.flatnonzero(np.isnan(rates[0]).any(axis=1)).tolist()
            missing += [f"{TOLD.get(name, name)} of {groups[group]}" for group in gone]
        return missing

    def of_group(self, number: int, classes: Sequence[str]) -> dict[str, Any]:
        """Return all rates of one group, by class where there are several."""
        found: dict[str, Any] = {}
        for name in ("selection", "tpr", "fpr", "accuracy", "loss"):
            rates = getattr(self, name)
            if rates is None:
                continue
            values = rates[0, number]
            if values.ndim == 0:
                found[name] = float(values)
            elif len(classes) == 1:
                found[name] = float(values[0])
            else:
                found[name] = {one: float(value) for one, value in zip(classes, values, strict=True)}
        return found


def _counted(sums: Sums, groups: int, judged: Sequence[int]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return each rate's part and whole, (resamples, groups, classes) or (resamples, groups)."""
    n = sums["n"][:, :, None]
    said, true, hit = (sums[name].reshape(len(n), groups, -1) for name in ("said", "true", "hit"))
    right = hit.sum(axis=2)
    said, true, hit = said[:, :, judged], true[:, :, judged], hit[:, :, judged]
    return {
        "selection": (said, np.broadcast_to(n, said.shape)),
        "tpr": (hit, true),
        "fpr": (said - hit, n - true),
        "accuracy": (right, sums["n"]),
    }


def pairs_of(kpi: str, rates: Rates, levels: Sequence[int]) -> FloatArray:
    """Return how far apart every two groups are, for each rate, class and level; the KPI is the largest of all.

    Args:
        kpi: its name says which rates are compared, and how.
        rates: of all groups.
        levels: the level of the control feature of each group; only groups of one level are compared.

    Returns:
        (resamples, pairs): `rate_a - rate_b` in the KPI's unit, or `-rate_a / rate_b` for a ratio, of which the
        smallest counts; NaN where one of the two has no rate. Two rates of 0 are alike: their ratio is 1.
    """
    found = []
    for _, values in rates.used(kpi):
        for level in sorted(set(levels)):
            members = np.moveaxis(values[:, np.array(levels) == level], 1, 2)  # (resamples, classes, groups)
            others = ~np.eye(members.shape[2], dtype=bool)
            first, second = members[..., :, None], members[..., None, :]
            if "_ratio" in kpi:
                apart = -_ratio(first, second)
            else:
                apart = (first - second) * (1 if kpi.startswith("group_loss") else 100)
            found.append(apart[..., others].reshape(len(members), -1))
    return np.concatenate(found, axis=1)


def _ratio(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return `first / second`, cut at 2: of a ratio and its inverse only the one below 1 can be the smallest."""
    first, second = np.broadcast_arrays(first, second)
    unbounded = np.where(first > 0, MOST_RATIO, 1.0)
    found = np.clip(np.divide(first, second, out=unbounded, where=second > 0), -MOST_RATIO, MOST_RATIO)
    return np.where(np.isnan(first) | np.isnan(second), np.nan, found)


def frame_rates(
    model: Predictions, codes: Array, names: Sequence[str], classes: Array, judged: Sequence[int], least: int
) -> Rates:
    """Return the rates of each group as fairlearn's MetricFrame gives them.

    It is given one row for each combination of group, target and label that occurs, weighted by how often. A rate
    whose denominator is smaller than `least` is NaN; of nothing, fairlearn says that it is 0.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score, mean_absolute_error

    def frame(metrics: dict[str, Any], y_true: Array, y_pred: Array, group: Array, weight: Array) -> dict[str, Any]:
        found = MetricFrame(
            metrics=metrics,
            y_true=y_true,
            y_pred=y_pred,
            sensitive_features=group,
            sample_params={name: {"sample_weight": weight} for name in metrics},
        )
        return {name: found.by_group[name].reindex(range(len(names))).to_numpy(dtype=float) for name in metrics}

    if not len(classes):
        inside = codes >= 0
        values, targets = model.labels[inside], targets_of(model)[inside]
        found = frame({"loss": mean_absolute_error}, targets, values, codes[inside], np.ones(len(values)))
        return Rates(loss=found["loss"][None])
    rows, weight = _combinations(model, codes, classes)
    group, true, said = rows
    accuracy = frame({"accuracy": accuracy_score}, true, said, group, weight)["accuracy"]
    rates = {"selection": selection_rate, "tpr": true_positive_rate, "fpr": false_positive_rate}
    by_class: dict[str, list[Array]] = {name: [] for name in rates}
    for positive in judged:
        y_true, y_pred = (true == positive).astype(int), (said == positive).astype(int)
        found = frame(rates, y_true, y_pred, group, weight)
        n, hits = (np.bincount(group, weight * mask, len(names)) for mask in (np.ones_like(y_true), y_true))
        found["tpr"] = np.where(hits >= least, found["tpr"], np.nan)
        found["fpr"] = np.where(n - hits >= least, found["fpr"], np.nan)
        for name in rates:
            by_class[name].append(found[name])
    stacked = {name: np.stack(values, axis=1)[None] for name, values in by_class.items()}
    return Rates(**stacked, accuracy=accuracy[None])


def _combinations(model: Predictions, codes: Array, classes: Array) -> tuple[tuple[Array, ...], Array]:
    """Return the combinations of group, target and label that occur, and the number of samples of each."""
    many = len(classes)
    counts: dict[int, int] = {}
    for part in slices(len(model)):
        said, true = positions(model.labels[part], classes), positions(targets_of(model)[part], classes)
        known = (codes[part] >= 0) & (said >= 0) & (true >= 0)
        keys = (codes[part].astype(np.int64) * many + true) * many + said
        for key, count in zip(*np.unique(keys[known], return_counts=True), strict=True):
            counts[int(key)] = counts.get(int(key), 0) + int(count)
    keys = np.array(sorted(counts), dtype=np.int64)
    weight = np.array([counts[int(key)] for key in keys], dtype=float)
    return (keys // many**2, keys // many % many, keys % many), weight
