"""The rates of each group, from counts and sums, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    def of_counts(cls, seen: Sums, least: int) -> Rates:
        """Return the rates of the counts of each group and judged class, as fairlearn's MetricFrame has them.

        A rate whose denominator is smaller than `least` is NaN; of nothing, fairlearn says that it is 0.
        """
        rates = {
            name: np.where(whole >= (least if name in {"tpr", "fpr"} else 0), share_of(part, whole), np.nan)
            for name, (part, whole) in _counted(seen).items()
        }
        return cls(**rates)

    @classmethod
    def of_resamples(cls, drawn: Sums, seen: Sums, kpi: str, rng: np.random.Generator) -> Rates:
        """Return the rates that a KPI compares, of resampled counts."""
        parts, seen_parts = _counted(drawn), _counted(seen)
        return cls(
            **{
                name: share_of(*parts[name]) + noise_of_few(*seen_parts[name], len(parts[name][0]), rng)
                for name in used_rates(kpi)
            }
        )

    @classmethod
    def of_losses(cls, sums: Sums) -> Rates:
        """Return the mean loss of each group."""
        return cls(loss=share_of(sums["loss"], sums["n"]))

    def filled(self, seen: Rates, kpi: str) -> Rates:
        """Return rates in which a resample without a rate has the one of all samples."""
        filled = {}
        for name in used_rates(kpi):
            rates = getattr(self, name)
            filled[name] = np.where(np.isfinite(rates), rates, getattr(seen, name))
        return Rates(**filled)

    def used(self, kpi: str) -> list[tuple[str, FloatArray]]:
        """Return the rates that a KPI compares, each of shape (resamples, groups, classes)."""
        named_rates = [(name, getattr(self, name)) for name in used_rates(kpi)]
        return [(name, rates if rates.ndim == 3 else rates[:, :, None]) for name, rates in named_rates]

    def shown(self, kpi: str, judged: Sequence[int]) -> tuple[str, list[float]] | None:
        """Return the name and the values of the rate whose groups are furthest apart; None for several classes."""
        if len(judged) > 1 and not kpi.startswith("group_"):
            return None
        name, rates = max(
            self.used(kpi), key=lambda named_rates: float(np.nan_to_num(np.ptp(np.nan_to_num(named_rates[1][0]))))
        )
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
        row: dict[str, Any] = {}
        for name in ("selection", "tpr", "fpr", "accuracy", "loss"):
            rates = getattr(self, name)
            if rates is None:
                continue
            values = rates[0, number]
            if values.ndim == 0:
                row[name] = float(values)
            elif len(classes) == 1:
                row[name] = float(values[0])
            else:
                row[name] = {label: float(value) for label, value in zip(classes, values, strict=True)}
        return row


def used_rates(kpi: str) -> tuple[str, ...]:
    """Return the names of the rates that a KPI compares."""
    if kpi.startswith("demographic_parity"):
        return ("selection",)
    if kpi.startswith("equalized_odds"):
        return "tpr", "fpr"
    if kpi.startswith("equal_opportunity"):
        return ("tpr",)
    return ("loss" if kpi.startswith("group_loss") else "accuracy",)


def _counted(sums: Sums) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return each rate's part and whole, (resamples, groups, classes) or (resamples, groups)."""
    said, true, hit = (sums[name] for name in ("said", "true", "hit"))
    n = np.broadcast_to(sums["n"][:, :, None], said.shape)
    return {
        "selection": (said, n),
        "tpr": (hit, true),
        "fpr": (said - hit, n - true),
        "accuracy": (sums["right"], sums["n"]),
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
    pairs = []
    for _, values in rates.used(kpi):
        for level in sorted(set(levels)):
            members = np.moveaxis(values[:, np.array(levels) == level], 1, 2)  # (resamples, classes, groups)
            others = ~np.eye(members.shape[2], dtype=bool)
            first, second = members[..., :, None], members[..., None, :]
            if "_ratio" in kpi:
                apart = -_ratio(first, second)
            else:
                apart = (first - second) * (1 if kpi.startswith("group_loss") else 100)
            pairs.append(apart[..., others].reshape(len(members), -1))
    return np.concatenate(pairs, axis=1)


def _ratio(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return `first / second`, cut at 2: of a ratio and its inverse only the one below 1 can be the smallest."""
    first, second = np.broadcast_arrays(first, second)
    unbounded = np.where(first > 0, MOST_RATIO, 1.0)
    ratio = np.clip(np.divide(first, second, out=unbounded, where=second > 0), -MOST_RATIO, MOST_RATIO)
    return np.where(np.isnan(first) | np.isnan(second), np.nan, ratio)
