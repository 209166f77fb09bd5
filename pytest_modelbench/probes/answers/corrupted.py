"""What a model answers to corrupted inputs: a row that it cannot answer is wrong, and ends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import take
from pytest_modelbench.data.corruptions.names import Cell
from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.data.missing import as_values
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.meaning import Predictions, interpret
from pytest_modelbench.probes.answers.predictions import Outputs, answer, nonfinite_values, rows_of
from pytest_modelbench.probes.timing.watchdog import beat

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class CorruptedAnswers:
    """A model's answers to some samples under one corruption.

    Attributes:
        labels: predicted labels, or values of a regression; where it did not answer, anything.
        answered: for which samples it gave a finite answer.
        checksums: of the batches that it was given, by which two models' inputs are compared.
        calls: how many forward passes that took.
        failure: what it raised for the first sample that it raised for, "" if for none.
    """

    labels: Array
    answered: Mask
    checksums: tuple[int, ...]
    calls: int
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class CorruptedPasses:
    """A model's answers under every corruption of a gate.

    Attributes:
        cells: corruptions with their severity and seed.
        answers: to each of them, in the same order.
        chosen: the positions of the samples among all, in order.
        notes: what was decided about the corruptions that the user did not write.
    """

    cells: tuple[Cell, ...]
    answers: tuple[CorruptedAnswers, ...]
    chosen: IntArray
    notes: tuple[str, ...] = ()


def answers_to(model: Model, data: EvalData, clean: Predictions) -> CorruptedAnswers:
    """Run a model over corrupted data.

    A batch that it raises for is given to it one row at a time, so that only rows which it cannot answer count so.

    Args:
        model: the model.
        data: the corrupted data.
        clean: its predictions for the data as they are, whose outputs have the same form and meaning.

    Raises:
        DataError: the data cannot be corrupted or read.
    """
    parts: list[Array] = []
    checksums: list[int] = []
    answered: list[Mask] = []
    targets: list[Array] = []
    calls, failure = 0, ""
    with model.running():
        for batch in data.batches():
            array, ok, told, count = _answered(model, batch, data, clean.outputs.array[:1])
            parts.append(array)
            answered.append(ok)
            checksums.append(batch.checksum)
            if batch.targets is not None:
                targets.append(as_values(batch.targets))
            calls, failure = calls + count, failure or told
            beat()
    whole, good = np.concatenate(parts), np.concatenate(answered)
    return CorruptedAnswers(
        labels=_labels(whole, np.concatenate(targets) if targets else None, data, clean),
        answered=good & (nonfinite_values(whole) == 0),
        checksums=tuple(checksums),
        calls=calls,
        failure=failure,
    )


def _answered(model: Model, batch: Batch, data: EvalData, like: Array) -> tuple[Array, Mask, str, int]:
    """Return a batch's outputs, which rows were answered, what the model raised for another, and how many calls."""
    count = len(batch.ids)
    try:
        return _outputs(model, batch, data, like), np.ones(count, dtype=bool), "", 1
    except ModelError as error:
        failure = str(error)
    if count == 1:
        return like.copy(), np.zeros(1, dtype=bool), failure, 1
    parts, answered = [], np.ones(count, dtype=bool)
    for at in range(count):
        row = Batch(inputs=take(batch.inputs, at, at + 1), targets=None, ids=batch.ids[at : at + 1])
        try:
            parts.append(_outputs(model, row, data, like))
        except ModelError as error:
            failure = failure if answered.sum() < count else str(error)
            answered[at] = False
            parts.append(like)
        beat()
    return np.concatenate(parts), answered, failure if not answered.all() else "", count + 1


def _outputs(model: Model, batch: Batch, data: EvalData, like: Array) -> Array:
    return rows_of(answer(model, batch.inputs, first=False), batch, model, data, like)


def _labels(array: Array, targets: Array | None, data: EvalData, clean: Predictions) -> Array:
    """Return what outputs say, read as the clean ones were."""
    if clean.meaning in {"labels", "values"}:
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    outputs = Outputs(
        model=clean.outputs.model,
        array=array,
        targets=targets,
        ids=range(len(array)),
        nonfinite=nonfinite_values(array),
        input_finite=np.ones(len(array), dtype=bool),
        classes=clean.outputs.classes,
        calls=0,
    )
    return interpret(outputs, data.read_as(clean.task, clean.meaning)).labels


def same_inputs(first: Sequence[CorruptedAnswers], second: Sequence[CorruptedAnswers]) -> bool:
    """Whether two models were given the same corrupted inputs."""
    return [one.checksums for one in first] == [one.checksums for one in second]
