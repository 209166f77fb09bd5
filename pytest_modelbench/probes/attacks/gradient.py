"""Attacks along a gradient: one step (FGSM) or many (PGD), accepted by the model that ships.

Sources: Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015); Madry et al., Towards Deep Learning
Models Resistant to Adversarial Attacks (2018); the margin as the loss: Carlini and Wagner (2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.answers.scores import Loss, cross_entropy_weights, margin_weights
from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
RUNNERS_UP = 3
"""How many other classes a targeted attack aims at, one after the other."""
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Climbed:
    """The worst inputs that an attack reached, and the shipping model's margin at each."""

    inputs: Array
    margins: FloatArray

    def worse_of(self, other: Climbed, rows: IntArray) -> Climbed:
        """Return the worse inputs of both, where the other has these rows only."""
        inputs, margins = self.inputs.copy(), self.margins.copy()
        better = other.margins > margins[rows]
        inputs[rows[better]], margins[rows[better]] = other.inputs[better], other.margins[better]
        return Climbed(inputs, margins)

    @property
    def left(self) -> IntArray:
        """The positions of samples that are not lost."""
        return np.flatnonzero(self.margins <= 0)


def descended(judge: Attacked, guide: Attacked, inputs: Array, truth: IntArray, ball: Ball, *, steps: int) -> Climbed:
    """Follow the gradient of the margin, then that of the cross entropy for the samples that are left.

    Args:
        judge: the model that ships.
        guide: whose gradient is followed: the same model, or one that it was made from.
        inputs: (n, ...).
        truth: the position of each true class, (n,).
        ball: where the iterates may be.
        steps: of each climb.

    Returns:
        The worst inputs, (n, ...); the inputs themselves where no gradient comes back.
    """
    climbed = climb(judge, guide, inputs, truth, ball, steps=steps)
    left = climbed.left
    if not np.isfinite(climbed.margins).any():
        return climbed
    again = climb(judge, guide, inputs[left], truth[left], ball, steps=steps, loss=cross_entropy_weights)
    return climbed.worse_of(again, left)


def aimed(judge: Attacked, guide: Attacked, inputs: Array, truth: IntArray, ball: Ball, *, steps: int) -> Climbed:
    """Aim at each of the runners-up, for the samples that are still left; see `descended`."""
    climbed = Climbed(inputs.copy(), np.full(len(inputs), -np.inf))
    for aim in guide.runners_up(inputs, truth, RUNNERS_UP).T:
        left = climbed.left
        if len(left):
            again = climb(judge, guide, inputs[left], truth[left], ball, steps=steps, aims=aim[left])
            climbed = climbed.worse_of(again, left)
    return climbed


def climb(
    judge: Attacked,
    guide: Attacked,
    inputs: Array,
    truth: IntArray,
    ball: Ball,
    *,
    steps: int,
    loss: Loss = margin_weights,
    aims: IntArray | None = None,
) -> Climbed:
    """Follow the gradient of one loss, and keep for each sample the iterate that the judge rates worst.

    Steps go from the whole radius down to nothing by half a cosine. Samples that are lost are not moved any further.
    Margins are minus infinity where no gradient came back. One step is FGSM.
    """
    worst, current = inputs.copy(), inputs.copy()
    reached, left = np.full(len(inputs), -np.inf), np.arange(len(inputs))
    for step in range(steps + 1):
        if not len(left):
            break
        at, of, aim = current[left], truth[left], None if aims is None else aims[left]
        if step == steps:
            apart, gradient = judge.margins(at, of), None
        else:
            apart, gradient = guide.margins_and_gradient(at, of, loss, aim)
            if gradient is None:
                break
            apart = apart if guide is judge else judge.margins(at, of)
        better = apart > reached[left]
        reached[left[better]], worst[left[better]] = apart[better], at[better]
        going = reached[left] <= 0
        left = left[going]
        if gradient is not None:
            share = max((1 + math.cos(math.pi * step / steps)) / 2, _LEAST_SHARE)
            current[left] = ball.stepped(inputs[left], current[left], np.nan_to_num(gradient[going]), share)
    return Climbed(worst, reached)
