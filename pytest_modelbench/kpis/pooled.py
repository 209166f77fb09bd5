"""Evidence from what is counted within samples, such as boxes: shares of all of them together, by sample or group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import Grouped, by_slice, groups_of, plural, refuse_worthless_teacher
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray
from pytest_modelbench.stats.pooled_shares import Pooled, pooled_difference, pooled_ratio, pooled_share

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What is counted, thing by thing.

    Attributes:
        sample: the position of the sample that each is in, (things,).
        kind: its class, (things,).
        value: how much of it counts, from 0 to 1, (things,).
        samples: how many samples there are.
    """

    sample: IntArray
    kind: IntArray
    value: FloatArray
    samples: int

    def __add__(self, other: Self) -> Counted:
        """Return the things of both."""
        parts = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("sample", "kind", "value")
        }
        return Counted(**parts, samples=self.samples)

    @property
    def by_sample(self) -> Pooled:
        """How much counts in each sample, and of how many, two arrays (samples,)."""
        wholes = np.bincount(self.sample, minlength=self.samples).astype(np.float64)
        return np.bincount(self.sample, self.value, self.samples).astype(np.float64), wholes

    @property
    def total(self) -> float:
        """How many things there are."""
        return float(len(self.value))

    def share(self, mask: Mask) -> float:
        """Return the share of some things in percent, NaN of none."""
        return 100 * float(self.value[mask].mean()) if mask.any() else float("nan")

    def share_of(self, members: Mask) -> float:
        """Return the share of the things of some samples in percent, NaN of none."""
        return self.share(members[self.sample])


@dataclass(frozen=True, kw_only=True)
class Tallied:
    """Things that are already counted by sample, such as the pixels of an image.

    Attributes:
        parts: how many count in each sample, (samples,).
        wholes: of how many, (samples,).
    """

    parts: FloatArray
    wholes: FloatArray

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.wholes)

    @property
    def by_sample(self) -> Pooled:
        """How much counts in each sample, and of how many, two arrays (samples,)."""
        return self.parts, self.wholes

    @property
    def total(self) -> float:
        """How many things there are."""
        return float(self.wholes.sum())

    def share_of(self, members: Mask) -> float:
        """Return the share of the things of some samples in percent, NaN of none."""
        whole = self.wholes[members].sum()
        return 100 * float(self.parts[members].sum() / whole) if whole else float("nan")


def pooled_evidence(
    question: Question,
    data: Grouped,
    counted: Mapping[str, Counted] | Mapping[str, Tallied],
    method: str,
    *,
    nothing: str,
    least: float = 0.0,
) -> Evidence:
    """Return the share of all things that count as evidence, in percent.

    Args:
        question: of the gate.
        data: whose groups, or samples, are independent.
        counted: the things, by role.
        method: how they are counted, in words.
        nothing: why a share may be undefined: of what there is nothing.
        least: the least value of a thing.

    Raises:
        MeasurementError: a model has nothing that could count.
    """
    for role, things in counted.items():
        if not things.total:
            raise MeasurementError(f"{question.kpi.name} of the {role} is undefined: {nothing}")
    everything = np.ones(counted["student"].samples, dtype=bool)
    refuse_worthless_teacher(question, {role: things.share_of(everything) for role, things in counted.items()})
    pooled = {role: _grouped(things.by_sample, data) for role, things in counted.items()}
    units = len(next(iter(pooled.values()))[0])
    readings = {
        role: Reading(
            estimate=pooled_share(pooled[role], question.alpha, least).map(lambda share: 100 * share),
            unit="%",
            n=things.samples,
            confidence=question.confidence,
            method=f"{method}: of {things.total:,.0f} in {_units(data, units, things.samples)}, Wilson interval "
            "of the linearised share",
        )
        for role, things in counted.items()
    }
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=_compared(pooled, question.alpha) if "teacher" in pooled else None,
        sampled=question.asked,
        breakdown=by_slice(data, counted["student"].samples, _of_members(counted)),
    )


def _units(data: Grouped, units: int, samples: int) -> str:
    several = plural(data.UNIT)
    return f"{units:,} {several}" if units == samples else f"{units:,} groups of {samples:,} {several}"


def _grouped(pooled: Pooled, data: Grouped) -> Pooled:
    groups = groups_of(data.group, len(pooled[0]))
    parts, wholes = (np.bincount(groups, side).astype(np.float64) for side in pooled)
    return parts, wholes


def _compared(pooled: Mapping[str, Pooled], alpha: float) -> Comparison:
    both = pooled["student"], pooled["teacher"]
    return Comparison(
        ratio=pooled_ratio(*both, alpha),
        difference=pooled_difference(*both, alpha).map(lambda share: 100 * share),
        method="linearised, paired",
    )


def _of_members(counted: Mapping[str, Counted] | Mapping[str, Tallied]) -> Callable[[Mask], dict[str, float]]:
    return lambda members: {role: things.share_of(members) for role, things in counted.items()}


def by_kind(counted: Mapping[str, Counted], names: Mapping[int, str]) -> tuple[dict[str, Any], ...]:
    """Return a row for each class: its name, how many things both have of it, and the models' shares in percent."""
    kinds = np.unique(np.concatenate([things.kind for things in counted.values()]))
    return tuple(
        {
            "name": f"class={names.get(kind, kind)}",
            "n": int((counted["student"].kind == kind).sum()),
            **{
                role: None if np.isnan(share := things.share(things.kind == kind)) else share
                for role, things in counted.items()
            },
        }
        for kind in kinds.tolist()
    )


def worst_first(counted: Mapping[str, Counted] | Mapping[str, Tallied], better: str) -> IntArray:
    """Return the samples that lose most, more than with the teacher if it is compared, the worst first."""
    sides = {role: things.by_sample for role, things in counted.items()}
    losses = {role: parts if better == "lower" else wholes - parts for role, (parts, wholes) in sides.items()}
    lost = losses["student"] - losses.get("teacher", 0.0)
    order = np.argsort(-lost, kind="stable")
    return order[lost[order] > 0]
