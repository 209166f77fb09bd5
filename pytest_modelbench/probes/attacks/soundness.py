"""Whether a model hides its gradient from attacks: then what survives them is only an upper bound.

Sources: Athalye et al., Obfuscated Gradients Give a False Sense of Security (2018); Carlini et al., On Evaluating
Adversarial Robustness (2019); Croce et al. (2022), the warnings of AutoAttack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball
from pytest_modelbench.probes.attacks.gradient import climb
from pytest_modelbench.probes.attacks.guessing import noise, square

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
CHECKED = 100
"""How many samples the checks use at most."""
STEPS = 20
"""How many steps the checks go along a gradient."""
_QUERIES = 100
_MOST_WITHOUT_GRADIENT, _LEAST_UPHILL, _MOST_LEFT, _MORE = 0.01, 0.9, 0.05, 0.02
_QUARTER = 0.25


def doubts_about(
    judge: Attacked, parent: Attacked | None, inputs: Array, truth: IntArray, ball: Ball, seed: int
) -> list[str]:
    """Return why attacks along the model's gradient say nothing, one text for each check that it fails.

    Args:
        judge: the model.
        parent: a model whose gradient may serve in its place.
        inputs: some samples.
        truth: the position of each true class.
        ball: in which they are attacked.
        seed: of random directions.
    """
    right = judge.margins(inputs, truth) <= 0
    inputs, truth = inputs[right], truth[right]
    if not len(truth):
        return []
    _, gradient = judge.margins_and_gradient(inputs, truth)
    if gradient is None:
        return [f"no gradient comes back from {judge.model.name}"]
    return list(_failed(judge, parent, inputs, truth, ball, gradient, seed))


def too_few(judge: Attacked, inputs: Array, truth: IntArray, ball: Ball, steps: int) -> list[str]:
    """Return why so few steps say nothing, if `STEPS` of them lose more; see `doubts_about`."""
    few, many = (climb(judge, judge, inputs, truth, ball, steps=count).inputs for count in (steps, STEPS))
    lost = [float((judge.margins(moved, truth) > 0).mean()) for moved in (few, many)]
    if lost[1] - lost[0] <= _MORE:
        return []
    return [f"steps={steps} is too few: {STEPS} steps lose {lost[1] - lost[0]:.0%} of samples more"]


def _failed(
    judge: Attacked, parent: Attacked | None, inputs: Array, truth: IntArray, ball: Ball, gradient: Array, seed: int
) -> Iterator[str]:
    rng = np.random.default_rng([seed, 0])
    flat = gradient.reshape(len(gradient), -1)
    blind = float((~np.isfinite(flat).all(axis=1) | (flat == 0).all(axis=1)).mean())
    if blind > _MOST_WITHOUT_GRADIENT:
        yield (
            f"the gradient of {judge.model.name} is zero or not finite for {blind:.0%} of samples (does it round, or "
            "return labels only?)"
        )
    direction = np.nan_to_num(gradient)
    uphill = judge.margins(ball.stepped(inputs, inputs, direction, _QUARTER), truth)
    sideways = judge.margins(ball.stepped(inputs, inputs, rng.choice([-1.0, 1.0], inputs.shape), _QUARTER), truth)
    better = float((uphill > sideways).mean())
    if better < _LEAST_UPHILL:
        yield f"a step along the gradient is no better than a random one for {1 - better:.0%} of samples"
    freely = climb(judge, judge, inputs, truth, ball.whole(), steps=STEPS).inputs
    left = float((judge.margins(freely, truth) <= 0).mean())
    if left > _MOST_LEFT:
        yield f"{left:.0%} of samples survive an attack that may change everything"
    stepwise = judge.margins(climb(judge, judge, inputs, truth, ball, steps=STEPS).inputs, truth) > 0
    others = {
        "one step of it": climb(judge, judge, inputs, truth, ball, steps=1).inputs,
        "noise": noise(judge, inputs, truth, ball, rng),
        "the square attack": square(judge, inputs, truth, ball, rng, queries=_QUERIES),
    }
    if parent is not None:
        others[f"the gradient of {parent.model.name}"] = climb(judge, parent, inputs, truth, ball, steps=STEPS).inputs
    for what, moved in others.items():
        more = float(((judge.margins(moved, truth) > 0) & ~stepwise).mean())
        if more > _MORE:
            yield f"{what} loses {more:.0%} of samples that its own gradient did not"
