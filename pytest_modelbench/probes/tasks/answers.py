"""One forward pass over data of a task, whose outputs are read in the task's own form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import duplicate, number_parts, rows, shapes
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.task_data import Samples, TaskData, task_data
from pytest_modelbench.errors import DataError, ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.predictions import answer
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers

Array = npt.NDArray[Any]


def take(taking: Taking) -> TaskAnswers:
    """Run a model once over all samples.

    Raises:
        DoesNotFit: the data are of another task.
        DataError: the data have no targets, or in another form; another number of groups than of samples.
        ModelError: the model raised, or its outputs have another form.
    """
    data, model = task_data(taking.data), taking.model
    answers: dict[str, list[Array]] = {}
    targets: dict[str, list[Array]] = {}
    nonfinite: list[int] = []
    infinite_inputs: list[int] = []
    ids: list[Any] = []
    with model.running():
        for batch in data.batches():
            first = not nonfinite
            output = _answer(model, duplicate(batch.inputs) if first else batch.inputs, first=first)
            _extend(targets, data.targets_of(batch), batch, "the targets have")
            _extend(answers, _read(data, output, batch, model.name), batch, f"{model.name} returned")
            bad = nonfinite_of(output, rows(batch.inputs))
            infinite_inputs.extend(len(nonfinite) + position for position in _explained(bad, batch))
            nonfinite.extend(bad)
            ids.extend(batch.ids)
            taking.beat()
    if data.group is not None and len(data.group) != len(ids):
        raise DataError(
            f"there are {len(ids)} samples and {len(data.group)} groups; expected one for each sample, in their order"
        )
    return TaskAnswers(
        model=model.name,
        task=data.TASK,
        answers={name: Ragged.of(arrays) for name, arrays in answers.items()},
        targets={name: Ragged.of(arrays) for name, arrays in targets.items()},
        ids=range(len(ids)) if data.ids is None else ids,
        nonfinite=np.array(nonfinite, dtype=np.int64),
        classes=classes_of(model, data.select),
        infinite_inputs=infinite_inputs,
    )


def _answer(model: Model, inputs: Any, *, first: bool) -> Any:
    """Return what a model answers.

    Raises:
        ModelError: it raised; of a list of arrays, the message says how the model could get something else.
    """
    try:
        return answer(model, inputs, first=first)
    except ModelError as error:
        if not isinstance(inputs, list):
            raise
        raise ModelError(
            f"{error}. The model gets a list with the input of each sample. If it takes something else, write "
            "EvalData(..., collate=...), a function that makes it of such a list"
        ) from error


def _read(data: TaskData, output: Any, batch: Batch, model: str) -> Samples:
    """Return what a model answered, and name the model where what is not an array does not tell whose it is."""
    try:
        return data.answers_of(output, batch, model)
    except ModelError as error:
        if model in str(error):
            raise
        raise ModelError(f"{model} returned {shapes(output)}: {error}") from error


def classes_of(model: Model, select: str | int | None) -> tuple[str, ...] | None:
    """Return the names of a model's classes in the order of their numbers; None where it does not state them.

    Those of a module of Hugging Face are in the `id2label` of its configuration; LABEL_0, LABEL_1 ... name nothing.
    """
    stated = model.classes_of(select)
    if stated is not None:
        return tuple(map(str, stated))
    labels = getattr(getattr(getattr(model, "module", None), "config", None), "id2label", None)
    if not isinstance(labels, Mapping) or set(labels) != set(range(len(labels))):
        return None
    names = tuple(str(labels[number]) for number in range(len(labels)))
    return None if all(name.startswith("LABEL_") for name in names) else names


def _extend(parts: dict[str, list[Array]], samples: Samples, batch: Batch, what: str) -> None:
    count = rows(batch.inputs)
    for name, arrays in samples.items():
        if len(arrays) != count:
            error = ModelError if what.endswith("returned") else DataError
            raise error(f"{what} {len(arrays)} for {count} samples with inputs of shape {shapes(batch.inputs)}")
        parts.setdefault(name, []).extend(arrays)


def nonfinite_of(output: Any, count: int) -> list[int]:
    """Return how many NaN and infinite values the output has for each sample of a batch.

    Args:
        output: arrays with a row for each sample, or a list with an output for each; a mapping, a tuple or an object
            of such.
        count: of samples.
    """
    if isinstance(output, list) and len(output) == count:
        return [_bad(sample) for sample in output]
    parts = _values(output)
    each = parts if isinstance(parts, tuple | list) else [parts]
    bad = np.zeros(count, dtype=np.int64)
    for part in each:
        for array in number_parts(part):
            if array.dtype.kind == "f" and len(array) == count:
                bad += (~np.isfinite(array)).reshape(count, -1).sum(axis=1)
    return bad.tolist()


def _values(output: Any) -> Any:
    """Return the values of a mapping, or of an object with attributes; anything else as it is."""
    if isinstance(output, Mapping):
        return list(output.values())
    plain = isinstance(output, tuple | list) or hasattr(output, "shape") or not hasattr(output, "__dict__")
    return output if plain else list(vars(output).values())


def _explained(bad: Sequence[int], batch: Batch) -> list[int]:
    """Return the positions of samples in a batch that have non-finite outputs and non-finite inputs."""
    if not any(bad):
        return []
    inputs = nonfinite_of(batch.inputs, len(bad))
    return [position for position, pair in enumerate(zip(bad, inputs, strict=True)) if all(pair)]


def _bad(sample: Any) -> int:
    parts = _values(sample)
    parts = parts if isinstance(parts, tuple | list) else [parts]
    arrays = [array for part in parts for array in number_parts(part) if array.dtype.kind == "f"]
    return sum(int((~np.isfinite(array)).sum()) for array in arrays)
