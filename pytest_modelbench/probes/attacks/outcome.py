"""What attacks left of a model's right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
PAIRS = 8
"""How many samples are kept as they were and as an attack left them."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One sample that an attack lost, as it was and as the attack left it.

    Attributes:
        row: its position among the attacked samples.
        attack: which one lost it.
        clean: the input as it is in the data.
        adversarial: as the attack left it, in the same shape.
        before: the model's label for the one.
        after: for the other.
    """

    row: int
    attack: str
    clean: Array
    adversarial: Array
    before: Any
    after: Any


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
        pairs: the first samples that were right and were lost, at most `PAIRS`.
        kept: the folder that the lost samples are kept in; empty where none is asked for.
    """

    ids: tuple[Any, ...]
    right: Mask
    lost: Mapping[str, Mask]
    doubts: tuple[str, ...]
    chance: float
    method: str
    pairs: Sequence[Pair] = ()
    kept: str = ""

    def surviving(self, *attacks: str) -> Mask:
        """Return which samples are right as they are and under each of some attacks, all of them by default."""
        gone = [self.lost[attack] for attack in attacks or self.lost]
        return self.right & ~np.logical_or.reduce(gone) if gone else self.right

    def first(self, count: int) -> Assault:
        """Return the same for the first samples only, to be paired with a model that fewer were attacked of."""
        lost = {name: mask[:count] for name, mask in self.lost.items()}
        return replace(self, ids=self.ids[:count], right=self.right[:count], lost=lost)
