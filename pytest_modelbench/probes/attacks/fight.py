"""One model against several attacks, block by block; what two measurements have in common runs once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.errors import MeasurementError, cause_of
from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball
from pytest_modelbench.probes.attacks.gradient import aimed, climb, descended
from pytest_modelbench.probes.attacks.guessing import noise, square
from pytest_modelbench.probes.attacks.outcome import PAIRS, Pair
from pytest_modelbench.probes.attacks.soundness import CHECKED, STEPS, doubts_about, too_few
from pytest_modelbench.probes.kinds import Taking

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
FGSM, PGD, TRANSFER = ("fgsm",), ("pgd",), ("transfer",)
ALL = ("fgsm", "pgd", "targeted", "surrogate", "noise", "attack")
"""Squares are added where the gradient is in doubt."""
WHERE: tuple[str, ...] = ("eps", "range", "norm", "mean", "std", "samples")
"""The options on which everything depends."""
_DEPENDS = {"fgsm": WHERE, "pgd": (*WHERE, "steps")}
"""Attacks that several measurements share, with the options that they depend on."""


@dataclass(frozen=True)
class Lost:
    """Which samples of a block an attack loses, and the first pairs."""

    mask: Mask
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some of the attacked samples.

    Attributes:
        number: of the block.
        start: the position of its first sample among all.
        inputs: (n, ...).
        truth: the position of each true class, (n,).
    """

    number: int
    start: int
    inputs: Array
    truth: IntArray


@dataclass(frozen=True, kw_only=True)
class Fight:
    """One model against all attacks.

    Attributes:
        taking: the measurement.
        judge: the model that ships.
        parent: whose gradient may serve in its place.
        ball: where attacks may go.
        attacks: their names.
    """

    taking: Taking
    judge: Attacked
    parent: Attacked | None
    ball: Ball
    attacks: tuple[str, ...]

    def doubts(self, inputs: Array, truth: IntArray) -> list[str]:
        """Return why attacks along a model's gradient say nothing: the model's own, or of `TRANSFER` its parent's."""
        some = slice(0, min(CHECKED, len(truth)))
        inputs, truth, ball, seed = inputs[some], truth[some], self.ball, self.taking.seed
        judge, guide, name = self.judge, self.parent, "doubts"
        options: tuple[str, ...] = (*WHERE, "surrogate")
        if self.attacks == TRANSFER and self.parent is not None:
            judge, guide, name, options = self.parent, None, "doubts about the parent", WHERE
        measure = functools.partial(doubts_about, judge, guide, inputs, truth, ball, seed)
        doubts = self.taking.shared((name,), options, measure)
        steps = int(self.taking.options.get("steps", STEPS))
        if self.attacks == FGSM or steps >= STEPS:
            return doubts
        measure = functools.partial(too_few, judge, inputs, truth, ball, steps)
        return [*doubts, *self.taking.shared((name, "by steps"), (*WHERE, "steps"), measure)]

    def lost_in(self, block: Block, *, doubted: bool) -> dict[str, Lost]:
        """Return which samples of a block each attack loses, by examples that are inside the ball."""
        lost: dict[str, Lost] = {}
        functions = self._functions(block, lost)
        for name in (*self.attacks, "square") if doubted and self.attacks == ALL else self.attacks:
            if name in functions:
                measure = functools.partial(self._checked, name, block, functions[name])
                shared = name in _DEPENDS
                lost[name] = (
                    self.taking.shared((name, block.number), _DEPENDS[name], measure) if shared else measure()
                )
        return lost

    def _functions(self, block: Block, lost: Mapping[str, Lost]) -> Mapping[str, Callable[[], Array]]:
        judge, parent, ball, inputs, truth = self.judge, self.parent, self.ball, block.inputs, block.truth
        options = self.taking.options
        steps, queries, own = int(options.get("steps", 1)), int(options.get("queries", 0)), options.get("attack")
        rng = np.random.default_rng([self.taking.seed, block.number])
        functions: dict[str, Callable[[], Array]] = {
            "fgsm": lambda: climb(judge, judge, inputs, truth, ball, steps=1).inputs,
            "pgd": lambda: descended(judge, judge, inputs, truth, ball, steps=steps).inputs,
            "targeted": lambda: self._aimed(block, np.flatnonzero(~lost["pgd"].mask), steps),
            "noise": lambda: noise(judge, inputs, truth, ball, rng),
            "square": lambda: square(judge, inputs, truth, ball, rng, queries=queries),
        }
        if parent is not None:
            functions["surrogate"] = lambda: _both(judge, parent, inputs, truth, ball, steps)
            functions["transfer"] = lambda: descended(parent, parent, inputs, truth, ball, steps=steps).inputs
        if own is not None:
            functions["attack"] = lambda: self._own(own, block)
        return functions

    def _aimed(self, block: Block, left: IntArray, steps: int) -> Array:
        """Aim at the runners-up for the samples that are left."""
        moved, judge = block.inputs.copy(), self.judge
        if len(left):
            moved[left] = aimed(judge, judge, moved[left], block.truth[left], self.ball, steps=steps).inputs
        return moved

    def _own(self, attack: Callable[..., Any], block: Block) -> Array:
        targets, inputs = self.judge.reader.columns[block.truth], block.inputs
        ball, seed = self.ball, self.taking.seed + block.number
        bounds = (ball.low, ball.high) if ball.low.ndim else (float(ball.low), float(ball.high))
        try:
            moved = as_array(attack(self.judge.model, inputs.copy(), targets, ball.radius, bounds, seed))
        except Exception as error:
            raise MeasurementError(f"attack= raised {cause_of(error)}") from error
        if moved.shape != inputs.shape:
            raise MeasurementError(f"attack= returned shape {moved.shape}, expected {inputs.shape}")
        return moved.astype(inputs.dtype)

    def _checked(self, name: str, block: Block, attack: Callable[[], Array]) -> Lost:
        """Attack a block, and ask the shipping model once more for each example, in batches of one size.

        Raises:
            MeasurementError: the attack left the ball.
        """
        moved = attack()
        inside = self.ball.holds(block.inputs, moved)
        if not inside.all():
            raise MeasurementError(
                f"the attack {name} left the {self.ball.norm} ball or the range for {int((~inside).sum())} of "
                f"{len(inside)} samples, or gave NaN: that is the attack's fault, not the model's"
            )
        mask = np.asarray(self.judge.margins(moved, block.truth) > 0)
        return Lost(mask, tuple(self._pairs(name, block, moved, mask)))

    def _pairs(self, name: str, block: Block, moved: Array, lost: Mask) -> list[Pair]:
        """Return the first samples that were right and are lost: some of the first block, one of each other."""
        right = self.judge.margins(block.inputs, block.truth) <= 0
        rows = np.flatnonzero(right & lost)[: 1 if block.number else PAIRS]
        if not len(rows):
            return []
        before, after = self.judge.labels(block.inputs[rows]), self.judge.labels(moved[rows])
        return [
            Pair(
                row=block.start + int(row),
                attack=name,
                clean=block.inputs[row].copy(),
                adversarial=moved[row].copy(),
                before=before[at],
                after=after[at],
            )
            for at, row in enumerate(rows)
        ]


def _both(judge: Attacked, guide: Attacked, inputs: Array, truth: IntArray, ball: Ball, steps: int) -> Array:
    """Follow another model's gradient, and aim at the runners-up for the samples that are left."""
    climbed = descended(judge, guide, inputs, truth, ball, steps=steps)
    left = climbed.left
    if not np.isfinite(climbed.margins).any() or not len(left):
        return climbed.inputs
    return climbed.worse_of(aimed(judge, guide, inputs[left], truth[left], ball, steps=steps), left).inputs
