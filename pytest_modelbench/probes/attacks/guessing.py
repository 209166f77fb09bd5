"""Attacks that ask for outputs only: random corners of the ball, and squares (Andriushchenko et al., 2020).

The paper's attack in l2 moves what was reached from one square to another; here a random square is added instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
DRAWS = 50
"""How many random corners are tried."""
_FIRST_SHARE = 0.8
_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""After which parts of the queries the square's share of the input is halved, as in the paper."""


def noise(judge: Attacked, inputs: Array, truth: IntArray, ball: Ball, rng: np.random.Generator) -> Array:
    """Return the worst of some random corners of the ball around each input, (n, ...)."""
    worst, left = inputs.copy(), np.arange(len(inputs))
    reached = np.full(len(inputs), -np.inf)
    for _ in range(DRAWS):
        if not len(left):
            break
        tried = ball.random(inputs[left], rng)
        left = _kept(judge, tried, truth, worst, reached, left)
    return worst


def square(
    judge: Attacked, inputs: Array, truth: IntArray, ball: Ball, rng: np.random.Generator, *, queries: int
) -> Array:
    """Return inputs with squares (of tables: columns) moved to the edge of the ball where that raised the margin.

    Args:
        judge: the model that ships.
        inputs: (n, channels, height, width), (n, height, width), or anything else as columns.
        truth: the position of each true class.
        ball: where the inputs may be.
        rng: chooses squares and signs.
        queries: how often each sample is asked for.
    """
    worst, left = inputs.copy(), np.arange(len(inputs))
    reached = np.full(len(inputs), -np.inf)
    left = _kept(
        judge, ball.project(inputs, inputs + ball.radius * _stripes(inputs, rng)), truth, worst, reached, left
    )
    for query in range(1, queries):
        if not len(left):
            break
        share = _FIRST_SHARE / 2 ** sum(query > part * queries for part in _HALVED_AT)
        mask = _masks(inputs[left].shape, share, rng)
        signs = rng.choice([-1.0, 1.0], _sign_shape(inputs[left].shape))
        moved = _moved(ball, inputs[left], worst[left], mask, signs)
        left = _kept(judge, ball.project(inputs[left], moved), truth, worst, reached, left)
    return worst


def _moved(ball: Ball, inputs: Array, worst: Array, mask: npt.NDArray[np.bool_], signs: Array) -> Array:
    """Return inputs with squares at the edge of the ball; of l2 a square is added, and all come back to the ball."""
    if ball.norm == "linf":
        return np.where(mask, inputs + ball.radius * signs, worst)
    squares = np.where(mask, signs, np.zeros(inputs.shape))
    counts = np.abs(squares).reshape(len(squares), -1).sum(axis=1).reshape(-1, *(1 for _ in inputs.shape[1:]))
    return np.asarray(worst + ball.radius * squares / np.sqrt(counts))


def _kept(judge: Attacked, tried: Array, truth: IntArray, worst: Array, reached: Array, left: IntArray) -> IntArray:
    """Keep what is worse than all before, and return which samples are not lost yet."""
    apart = judge.margins(tried, truth[left])
    better = apart > reached[left]
    reached[left[better]], worst[left[better]] = apart[better], tried[better]
    return left[reached[left] <= 0]


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in {3, 4} and min(shape[-2:]) > 1


def _sign_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One sign for each channel of a square; of tables one for each value."""
    return (*shape[:-2], 1, 1) if _is_image(shape) else shape


def _stripes(inputs: Array, rng: np.random.Generator) -> Array:
    if not _is_image(inputs.shape):
        return rng.choice([-1.0, 1.0], inputs.shape)
    return np.broadcast_to(rng.choice([-1.0, 1.0], (*inputs.shape[:-2], 1, inputs.shape[-1])), inputs.shape)


def _masks(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which values of each sample are moved: a square of this share of the image, or that share of values."""
    if not _is_image(shape):
        mask = rng.random(shape) < share
        flat = mask.reshape(len(mask), -1)
        flat[np.arange(len(flat)), rng.integers(0, flat.shape[1], len(flat))] = True
        return mask
    height, width = shape[-2:]
    side = max(1, min(height, width, round(math.sqrt(share * height * width))))
    top = rng.integers(0, height - side + 1, shape[0]).reshape(-1, 1, 1)
    left = rng.integers(0, width - side + 1, shape[0]).reshape(-1, 1, 1)
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    return inside if len(shape) == 3 else inside[:, None]
