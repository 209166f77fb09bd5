"""What users say of missing values and of numbers before a feature's values are groups. Standard library only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from pytest_modelbench.errors import DataError, shown

Bins = int | tuple[float, ...]
MISSING = ("error", "exclude", "group")
BINS_EXPECTED = (
    "a number of groups of about equal size, such as 4, a list of rising edges, such as [30, 50], or a mapping of "
    "features to these"
)


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """How features are read: `missing` is one of `MISSING`, `bins` are those of every numeric feature or of some."""

    missing: str | None = None
    bins: Bins | tuple[tuple[str, Bins], ...] | None = None

    def bins_of(self, feature: str) -> Bins | None:
        """Return a feature's bins."""
        if isinstance(self.bins, tuple) and self.bins and isinstance(self.bins[0], tuple):
            return dict(self.bins).get(feature)
        return self.bins  # type: ignore[return-value]

    def over(self, other: Treatment) -> Treatment:
        """Return this treatment, with another's where this one says nothing."""
        return Treatment(
            missing=other.missing if self.missing is None else self.missing,
            bins=other.bins if self.bins is None else self.bins,
        )


def treatment_of(missing: Any, bins: Any) -> Treatment:
    """Return what a user wrote.

    Raises:
        DataError: neither bins nor a word for missing values.
    """
    if missing is not None and not is_missing_word(missing):
        raise DataError(f"missing: found {shown(missing)}, expected one of {', '.join(MISSING)}")
    if not are_bins(bins):
        raise DataError(f"bins: found {shown(bins)}, expected {BINS_EXPECTED}")
    if isinstance(bins, Mapping):
        by_feature = tuple((str(name), _kept(own_bins)) for name, own_bins in bins.items())
        return Treatment(missing=missing, bins=by_feature or None)
    return Treatment(missing=missing, bins=None if bins is None else _kept(bins))


def _kept(bins: Any) -> Bins:
    return int(bins) if _is_number(bins) else tuple(float(edge) for edge in bins)


def are_bins(value: Any) -> bool:
    """Say whether a value is None, a number of bins, edges, or a mapping of features to these."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _are_bins(bins) for name, bins in value.items())
    return value is None or _are_bins(value)


def is_missing_word(value: Any) -> bool:
    """Say whether a value is one of `MISSING`."""
    return isinstance(value, str) and value in MISSING


def _are_bins(value: Any) -> bool:
    if _is_number(value):
        return isinstance(value, Integral) and int(value) >= 2
    edges = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(edges, list | tuple) or not edges or not all(map(_is_number, edges)):
        return False
    return all(map(math.isfinite, edges)) and all(a < b for a, b in itertools.pairwise(edges))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
