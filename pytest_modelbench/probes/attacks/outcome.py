"""What attacks left of a model's right answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Assault:
    """What attacks left of a model's right answers.

    Attributes:
        ids: of the attacked samples.
        right: which of them the model gets right as they are.
        lost: by attack, for which of them it found an input inside the ball with another answer.
        doubts: why the share that survives is only an upper bound; none if the attacks passed all checks.
        chance: the share that a constant answer gets right.
        method: how they were attacked.
    """

    ids: tuple[Any, ...]
    right: Mask
    lost: Mapping[str, Mask]
    doubts: tuple[str, ...]
    chance: float
    method: str

    def surviving(self, *attacks: str) -> Mask:
        """Return which samples are right as they are and under each of some attacks, all of them by default."""
        gone = [self.lost[attack] for attack in attacks or self.lost]
        return self.right & ~np.logical_or.reduce(gone) if gone else self.right

    def first(self, count: int) -> Assault:
        """Return the same for the first samples only, to be paired with a model that fewer were attacked of."""
        lost = {name: mask[:count] for name, mask in self.lost.items()}
        return replace(self, ids=self.ids[:count], right=self.right[:count], lost=lost)
