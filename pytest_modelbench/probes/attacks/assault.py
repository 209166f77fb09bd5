"""Attacks one model on a subset of the samples, and says whether what they leave is more than an upper bound.

No attack proves that a model is robust: an example that was checked on the shipping model proves that a sample is
lost, and a sample that no attack lost may still be. `Assault.doubts` says where attacks were too weak to tell.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DoesNotFit, MeasurementError, cause_of
from pytest_modelbench.grammar.radius import Radius, read_radius
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.meaning import interpret
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.answers.scores import reader_of
from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Ball, ball_for
from pytest_modelbench.probes.attacks.gradient import climb, descended
from pytest_modelbench.probes.attacks.guessing import noise, square
from pytest_modelbench.probes.attacks.outcome import Assault
from pytest_modelbench.probes.attacks.soundness import CHECKED, doubts_about
from pytest_modelbench.probes.kinds import Taking

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
BLOCK = 100
"""How many samples are attacked before the clock is looked at."""


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """The samples that are attacked, all in memory."""

    inputs: Array
    targets: Array
    ids: tuple[Any, ...]
    data: EvalData


@dataclass(kw_only=True)
class _Fight:
    """One model against all attacks, block by block."""

    judge: Attacked
    parent: Attacked | None
    ball: Ball
    attacks: tuple[str, ...]
    options: Mapping[str, Any]
    seed: int
    doubts: list[str] = field(default_factory=list)

    def lost_in(self, inputs: Array, truth: IntArray, block: int) -> dict[str, Mask]:
        """Return which samples of a block each attack loses, by examples that are inside the ball."""
        return {
            name: self._checked(name, inputs, truth, attack()) for name, attack in self._attacks(inputs, truth, block)
        }

    def _attacks(self, inputs: Array, truth: IntArray, block: int) -> list[tuple[str, Callable[[], Array]]]:
        steps, queries = int(self.options.get("steps", 1)), int(self.options.get("queries", 0))
        rng = np.random.default_rng([self.seed, block])
        judge, parent, ball, targeted = self.judge, self.parent, self.ball, self.attacks == ALL
        attacks: dict[str, Callable[[], Array]] = {
            "fgsm": lambda: climb(judge, judge, inputs, truth, ball, steps=1).inputs,
            "pgd": lambda: descended(judge, judge, inputs, truth, ball, steps=steps, targeted=targeted),
            "noise": lambda: noise(judge, inputs, truth, ball, rng),
            "square": lambda: square(judge, inputs, truth, ball, rng, queries=queries),
        }
        if parent is not None:
            attacks["surrogate"] = lambda: descended(
                judge, parent, inputs, truth, ball, steps=steps, targeted=targeted
            )
            attacks["transfer"] = lambda: descended(parent, parent, inputs, truth, ball, steps=steps)
        own = self.options.get("attack")
        if own is not None:
            attacks["attack"] = lambda: self._own(own, inputs, truth, block)
        asked = (*self.attacks, "square") if self.doubts and self.attacks == ALL else self.attacks
        return [(name, attacks[name]) for name in asked if name in attacks]

    def _own(self, attack: Callable[..., Any], inputs: Array, truth: IntArray, block: int) -> Array:
        targets = self.judge.reader.columns[truth]
        bounds = (self.ball.low, self.ball.high)
        try:
            moved = as_array(
                attack(self.judge.model, inputs.copy(), targets, self.ball.radius, bounds, self.seed + block)
            )
        except Exception as error:
            raise MeasurementError(f"attack= raised {cause_of(error)}") from error
        if moved.shape != inputs.shape:
            raise MeasurementError(f"attack= returned shape {moved.shape}, expected {inputs.shape}")
        return moved.astype(inputs.dtype)

    def _checked(self, name: str, inputs: Array, truth: IntArray, moved: Array) -> Mask:
        """Ask the shipping model once more for each example, in batches of one size.

        Raises:
            MeasurementError: the attack left the ball.
        """
        inside = self.ball.holds(inputs, moved)
        if not inside.all():
            raise MeasurementError(
                f"the attack {name} left the ball or the range for {int((~inside).sum())} of {len(inside)} samples, "
                "or gave NaN: that is the attack's fault, not the model's"
            )
        return np.asarray(self.judge.margins(moved, truth) > 0)


FGSM, PGD, ALL, TRANSFER = ("fgsm",), ("pgd",), ("fgsm", "pgd", "surrogate", "noise", "attack"), ("transfer",)
"""Squares are added where the gradient is in doubt."""


def assault(taking: Taking, attacks: tuple[str, ...]) -> Assault:
    """Attack a model on `samples=` samples, chosen by the seed and the same for every model.

    Args:
        taking: the model, the data, and `eps`, `range`, `steps`, `queries`, `samples`, `attack` and `surrogate` among
            the options.
        attacks: their names.

    Raises:
        DoesNotFit: the inputs or the task are not what attacks are for.
        DataError: the range of the inputs is unknown or wrong.
        MeasurementError: the model does not answer twice alike, or an attack went wrong.
        ModelError: the model raised.
    """
    assert taking.data is not None  # noqa: S101 - the kind needs data
    ground = _ground(taking.data, int(taking.options["samples"]), taking.seed)
    radius, limits = read_radius(taking.options["eps"]), taking.options["range"]
    ball = ball_for(ground.inputs, radius, None if limits is None else (float(limits[0]), float(limits[1])))
    judge = _attacked(taking, taking.model, ground)
    truth = judge.reader.positions(ground.targets)
    other = _other(taking)
    parent = None if other is None else _attacked(taking, other, ground)
    margins = judge.margins(ground.inputs, truth)
    if not np.array_equal(margins, judge.margins(ground.inputs, truth)):
        raise MeasurementError(
            f"{taking.model.name} does not answer twice alike: what survives an attack would be luck. Is dropout "
            "left on?"
        )
    fight = _Fight(judge=judge, parent=parent, ball=ball, attacks=attacks, options=taking.options, seed=taking.seed)
    first = slice(0, min(CHECKED, len(truth)))
    if attacks != TRANSFER:
        fight.doubts += doubts_about(judge, parent, ground.inputs[first], truth[first], ball, taking.seed)
    blocks = _blocks(fight, ground.inputs, truth, taking.budget_s)
    done = sum(len(next(iter(block.values()))) for block in blocks)
    lost = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    targets = ground.targets[:done]
    return Assault(
        ids=ground.ids[:done],
        right=margins[:done] <= 0,
        lost=lost,
        doubts=tuple(fight.doubts),
        chance=float(np.unique(targets, return_counts=True)[1].max() / done),
        method=_method(taking, radius, ball, judge, lost),
    )


def _other(taking: Taking) -> Model | None:
    """Return the model whose gradient serves where the attacked one has none."""
    if taking.options.get("surrogate") is None:
        return None if taking.role == "teacher" else taking.other("teacher")
    return taking.other("surrogate")


def _blocks(fight: _Fight, inputs: Array, truth: IntArray, budget_s: float) -> list[dict[str, Mask]]:
    """Attack block by block until all are attacked or the time is over; one block at least."""
    started, blocks = time.monotonic(), []
    for number, start in enumerate(range(0, len(truth), BLOCK)):
        part = slice(start, start + BLOCK)
        blocks.append(fight.lost_in(inputs[part], truth[part], number))
        if time.monotonic() - started > budget_s:
            break
    return blocks


def _ground(data: EvalData, samples: int, seed: int) -> _Ground:
    """Return the samples that are attacked: a random subset, the same for every model."""
    count = data.source.length
    if count is None:
        count = sum(len(batch.ids) for batch in data.batches())
    order = np.random.default_rng([seed, count]).permutation(count)[:samples]
    inputs: dict[int, Array] = {}
    targets: dict[int, Any] = {}
    ids: dict[int, Any] = {}
    wanted, start = set(order.tolist()), 0
    for batch in data.batches():
        if batch.targets is None:
            raise DoesNotFit("attacks need targets, and the evaluation data have none")
        if isinstance(batch.inputs, dict | tuple) or not hasattr(batch.inputs, "shape"):
            raise DoesNotFit(
                "attacks change one array of floating-point inputs, and the data have several, or no array"
            )
        rows = [row for row in range(len(batch.ids)) if start + row in wanted]
        if rows:
            array, labels = as_array(batch.inputs), as_array(batch.targets)
            for row in rows:
                inputs[start + row], targets[start + row] = array[row].copy(), labels[row]
                ids[start + row] = batch.ids[row]
        start += len(batch.ids)
    chosen = order.tolist()
    stacked = np.stack([inputs[row] for row in chosen])
    labels = np.asarray([targets[row] for row in chosen])
    subset = EvalData(
        stacked,
        labels.reshape(len(labels), -1)[:, 0] if labels.ndim > 1 and labels[0].size == 1 else labels,
        task=data.task,
        outputs=data.outputs,
        select=data.select,
        classes=data.classes,
        batch_size=data.batch_size,
    )
    return _Ground(
        inputs=stacked, targets=as_array(subset.targets), ids=tuple(ids[row] for row in chosen), data=subset
    )


def _attacked(taking: Taking, model: Model, ground: _Ground) -> Attacked:
    data = ground.data
    if model is not taking.model and taking.options.get("surrogate") is not None:
        data = copy.copy(data)
        data.outputs = None  # what the data state of the student's outputs need not hold for what it was made from
    predictions = interpret(collect_outputs(model, data), data)
    return Attacked(
        model=model,
        reader=reader_of(predictions, ground.data.classes),
        select=ground.data.select,
        batch_size=ground.data.batch_size,
        beat=taking.beat,
    )


def _method(taking: Taking, radius: Radius, ball: Ball, judge: Attacked, lost: Mapping[str, Mask]) -> str:
    span = f"range {ball.low:g} to {ball.high:g}" if np.isfinite(ball.high) else "no range"
    steps = f", {taking.options['steps']} steps" if {"pgd", "surrogate", "transfer"} & set(lost) else ""
    queries = f", {taking.options['queries']} queries" if "square" in lost else ""
    return (
        f"attacks {', '.join(lost)} on the margin, eps {radius} (linf), {span}{steps}{queries}, batch size "
        f"{judge.batch_size}, seed {taking.seed}; each example is asked for once more"
    )


fgsm = functools.partial(assault, attacks=FGSM)
pgd = functools.partial(assault, attacks=PGD)
robustness = functools.partial(assault, attacks=ALL)
transfer = functools.partial(assault, attacks=TRANSFER)
