"""Attacks one model on a subset of the samples, and says whether what they leave is more than an upper bound.

No attack proves that a model is robust: an example that was checked on the shipping model proves that a sample is
lost, and a sample that no attack lost may still be. `Assault.doubts` says where attacks were too weak to tell.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.grammar.radius import read_radius
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.meaning import interpret
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.answers.scores import reader_of
from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.ball import Array, Ball, Scale, ball_for
from pytest_modelbench.probes.attacks.fight import ALL, FGSM, PGD, TRANSFER, Block, Fight, Lost
from pytest_modelbench.probes.attacks.ground import Ground, ground_of
from pytest_modelbench.probes.attacks.outcome import PAIRS, Assault, Pair
from pytest_modelbench.probes.kinds import Taking

IntArray = npt.NDArray[np.intp]
BLOCK = 100
"""How many samples are attacked before the clock is looked at."""


def assault(taking: Taking, attacks: tuple[str, ...]) -> Assault:
    """Attack a model on `samples=` samples, chosen by the seed and the same for every model.

    Args:
        taking: the model, the data, and `eps`, `range`, `norm`, `mean`, `std`, `steps`, `queries`, `samples`,
            `attack` and `surrogate` among the options.
        attacks: their names.

    Raises:
        DoesNotFit: the inputs or the task are not what attacks are for, or a suite states no `eps`.
        DataError: the range of the inputs is unknown or wrong.
        MeasurementError: the model does not answer twice alike, or an attack went wrong.
        ModelError: the model raised.
    """
    assert taking.data is not None  # noqa: S101 - the kind needs data
    if taking.options["eps"] is None:
        raise DoesNotFit(NO_EPS)
    ground = ground_of(taking.data, int(taking.options["samples"]), taking.seed)
    fight = _fight(taking, ground, attacks)
    if attacks == TRANSFER and fight.parent is None and taking.role != "teacher":
        raise DoesNotFit(NO_TEACHER)
    truth = fight.judge.reader.positions(ground.targets)
    margins = fight.judge.margins(ground.inputs, truth)
    if not np.array_equal(margins, fight.judge.margins(ground.inputs, truth)):
        raise MeasurementError(
            f"{taking.model.name} does not answer twice alike: what survives an attack would be luck. Is dropout "
            "left on?"
        )
    doubts = fight.doubts(ground.inputs, truth)
    blocks = _blocks(fight, ground.inputs, truth, doubted=bool(doubts))
    lost = {name: np.concatenate([block[name].mask for block in blocks]) for name in blocks[0]}
    done = len(next(iter(lost.values())))
    return Assault(
        ids=ground.ids[:done],
        right=margins[:done] <= 0,
        lost=lost,
        doubts=tuple(doubts),
        chance=float(np.unique(ground.targets[:done], return_counts=True)[1].max() / done),
        method=_method(taking, fight.ball, fight.judge, lost),
        pairs=_first_pairs(blocks),
    )


NO_TEACHER = "it attacks the teacher, and only the teacher's contract is there. Define teacher_model"
NO_EPS = (
    "eps= is not stated: how far an attack may go. Write a table in modelbench.toml for each KPI, such as "
    "[kpi.robust_accuracy] with eps = '8/255', which judges it, or reports it where it has no limits"
)


def _fight(taking: Taking, ground: Ground, attacks: tuple[str, ...]) -> Fight:
    options = taking.options
    limits, mean, std = options["range"], options.get("mean"), options.get("std")
    ball = ball_for(
        ground.inputs,
        read_radius(options["eps"], options.get("norm", "linf")),
        None if limits is None else (float(limits[0]), float(limits[1])),
        options.get("norm", "linf"),
        None if mean is None or std is None else Scale(mean=mean, std=std),
    )
    other, judge = _other(taking), _attacked(taking, taking.model, ground)
    return Fight(
        taking=taking,
        judge=judge,
        parent=None if other is None else _attacked(taking, other, ground).guiding(judge, ground.targets),
        ball=ball,
        attacks=attacks,
    )


def _other(taking: Taking) -> Model | None:
    """Return the model whose gradient serves where the attacked one has none."""
    if taking.options.get("surrogate") is None:
        return None if taking.role == "teacher" else taking.other("teacher")
    return taking.other("surrogate")


def _blocks(fight: Fight, inputs: Array, truth: IntArray, *, doubted: bool) -> list[dict[str, Lost]]:
    """Attack block by block until all are attacked or the time is over; one block at least."""
    started, blocks = time.monotonic(), []
    for number, start in enumerate(range(0, len(truth), BLOCK)):
        part = slice(start, start + BLOCK)
        block = Block(number=number, start=start, inputs=inputs[part], truth=truth[part])
        blocks.append(fight.lost_in(block, doubted=doubted))
        if time.monotonic() - started > fight.taking.budget_s:
            break
    return blocks


def _first_pairs(blocks: list[dict[str, Lost]]) -> tuple[Pair, ...]:
    """Return the first samples that some attack lost, each once."""
    pairs = {pair.row: pair for block in reversed(blocks) for lost in reversed(block.values()) for pair in lost.pairs}
    return tuple(pairs[row] for row in sorted(pairs)[:PAIRS])


def _attacked(taking: Taking, model: Model, ground: Ground) -> Attacked:
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


def _method(taking: Taking, ball: Ball, judge: Attacked, lost: Mapping[str, object]) -> str:
    options = taking.options
    steps = f", {options['steps']} steps" if {"pgd", "surrogate", "transfer"} & set(lost) else ""
    queries = f", {options['queries']} queries" if "square" in lost else ""
    return (
        f"attacks {', '.join(lost)} on the margin, eps {options['eps']} ({ball.norm}), {_span(taking, ball)}{steps}"
        f"{queries}, batch size {judge.batch_size}, seed {taking.seed}; each example is asked for once more"
    )


def _span(taking: Taking, ball: Ball) -> str:
    """Return the range in words, of values before normalisation where that is stated."""
    options = taking.options
    if not np.isfinite(ball.high).all():
        return "no range"
    if options.get("mean") is None:
        return f"range {float(ball.low):g} to {float(ball.high):g}"
    mean, std = (np.asarray(options[name], np.float64).ravel() for name in ("mean", "std"))
    low, high = (float(end.ravel()[0] * std[0] + mean[0]) for end in (ball.low, ball.high))
    return f"range {low:g} to {high:g} before normalisation by mean {options['mean']} and std {options['std']}"


fgsm = functools.partial(assault, attacks=FGSM)
pgd = functools.partial(assault, attacks=PGD)
robustness = functools.partial(assault, attacks=ALL)
transfer = functools.partial(assault, attacks=TRANSFER)
