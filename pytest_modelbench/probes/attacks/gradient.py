"""Attacks along a gradient: one step (FGSM) or many (PGD), on the margin, accepted by the model that ships.

Sources: Goodfellow et al., Explaining and Harnessing Adversarial Examples (2015); Madry et al., Towards Deep Learning
Models Resistant to Adversarial Attacks (2018); the margin as the loss: Carlini and Wagner (2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
REACH = 2.5
"""All steps of PGD together may go this many times the radius (Madry et al.)."""


def climb(  # noqa: PLR0913 - an attack's settings
    judge: Attacked, guide: Attacked, inputs: Array, truth: IntArray, ball: Ball, *, steps: int, start: Array | None = None
) -> Array:
    """Follow the gradient of the guide's margin, and keep for each sample the iterate that the judge rates worst.

    Samples that are lost already are not moved any further.

    Args:
        judge: the model that ships.
        guide: whose gradient is followed: the same model, or one that it was made from.
        inputs: (n, ...).
        truth: the position of each true class, (n,).
        ball: where the iterates may be.
        steps: of the gradient; one is FGSM.
        start: where to begin; at the inputs by default.

    Returns:
        The worst iterates, (n, ...); the inputs themselves where no gradient comes back.
    """
    worst = inputs.copy()
    current = inputs.copy() if start is None else start
    reached = np.full(len(inputs), -np.inf)
    left = np.arange(len(inputs))
    share = 1.0 if steps == 1 else REACH / steps
    for step in range(steps + 1):
        at, of = current[left], truth[left]
        last = step == steps
        apart, gradient = (None, None) if last else guide.margins_and_gradient(at, of)
        if not last and gradient is None:
            return worst
        if apart is None or guide is not judge:
            apart = judge.margins(at, of)
        better = apart > reached[left]
        reached[left[better]], worst[left[better]] = apart[better], at[better]
        if last:
            break
        going = reached[left] <= 0
        left = left[going]
        if not len(left):
            break
        assert gradient is not None  # noqa: S101 - returned above
        direction = np.nan_to_num(gradient[going])
        current[left] = ball.stepped(inputs[left], current[left], direction, share)
    return worst
