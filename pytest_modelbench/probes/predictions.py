"""One forward pass of a model over the evaluation data, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.errors import DataError, ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.outputs import as_array, content, duplicate, is_tensor, leaves, select_output, shapes

Array = npt.NDArray[Any]
SHOWN_SAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A model's raw outputs over the whole data, in its order.

    `array` has one row per sample; `targets` and `ids` likewise. `nonfinite` counts the NaN and infinite values
    of each row, `input_finite` is False for rows that were fed NaN or Inf. `calls` counts forward passes.
    """

    model: str
    array: Array
    targets: Array | None
    ids: Sequence[Any]
    nonfinite: npt.NDArray[np.intp]
    input_finite: npt.NDArray[np.bool_]
    classes: Sequence[Any] | None
    calls: int

    def __len__(self) -> int:
        return len(self.array)


def collect_outputs(model: Model, data: EvalData) -> Outputs:
    """Run a model once over all samples.

    Raises:
        ModelError: the model raised, or the shape of its outputs does not fit the batch.
        DataError: the data are empty or inconsistent.
    """
    arrays: list[Array] = []
    targets: list[Array] = []
    ids: list[Any] = []
    finite: list[npt.NDArray[np.bool_]] = []
    with model.running():
        for batch in data.batches():
            inputs = batch.inputs if arrays else duplicate(batch.inputs)  # the first call may write into a copy
            try:
                output = model.bind(inputs)()
            except Exception as error:
                raise model.failure(inputs, error) from error
            if not arrays and content(inputs) != content(batch.inputs):
                raise model.wrote_into(inputs)
            array = _rows_of(output, batch, model, data, arrays)
            arrays.append(array)
            if batch.targets is not None:
                targets.append(as_array(batch.targets))
            ids.extend(batch.ids)
            finite.append(_finite_rows(batch) if _nonfinite(array).any() else np.ones(len(array), dtype=bool))
    whole = np.concatenate(arrays)
    return Outputs(
        model=model.name,
        array=whole,
        targets=np.concatenate(targets) if targets else None,
        ids=ids,
        nonfinite=_nonfinite(whole),
        input_finite=np.concatenate(finite),
        classes=model.classes,
        calls=len(arrays),
    )


def _rows_of(output: Any, batch: Batch, model: Model, data: EvalData, earlier: list[Array]) -> Array:
    selected = select_output(output, data.select, model.name)
    try:
        array = as_array(selected)
    except ModelError as error:
        raise ModelError(f"{model.name} returned {shapes(output)}: {error}") from error
    count = len(batch.ids)
    if array.ndim == 0 or len(array) != count:
        raise ModelError(
            f"{model.name} returned an output of shape {tuple(array.shape)} for a batch of {count} samples "
            f"(inputs {shapes(batch.inputs)}); expected {count} rows"
        )
    if earlier and array.shape[1:] != earlier[0].shape[1:]:
        raise ModelError(
            f"{model.name} changed the shape of its output from (*, {_tail(earlier[0])}) to (*, {_tail(array)}) "
            f"at sample {batch.ids[0]}"
        )
    return array


def _tail(array: Array) -> str:
    return ", ".join(map(str, array.shape[1:]))


def _nonfinite(array: Array) -> npt.NDArray[np.intp]:
    if array.dtype.kind not in "fc":
        return np.zeros(len(array), dtype=np.intp)
    return np.asarray(np.sum(~np.isfinite(array.reshape(len(array), -1)), axis=1), dtype=np.intp)


def _finite_rows(batch: Batch) -> npt.NDArray[np.bool_]:
    finite = np.ones(len(batch.ids), dtype=bool)
    for leaf in leaves(batch.inputs):
        if is_tensor(leaf) or hasattr(leaf, "dtype") or hasattr(leaf, "dtypes"):
            array = as_array(leaf)
            if array.dtype.kind in "fc":
                finite &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    return finite


def in_common(outputs: Outputs, index: npt.NDArray[np.intp]) -> str:
    """Say what samples with non-finite outputs have in common, which is often the cause; empty if nothing."""
    parts = []
    targets = outputs.targets
    if targets is not None and targets.ndim == 1 and targets.dtype.kind in "iubUSO":
        found = np.unique(targets[index])
        if len(found) == 1:
            parts.append(f"all of class {found[0]}")
    if outputs.array.ndim == 2 and outputs.array.shape[1] > 1:
        columns = np.flatnonzero(~np.isfinite(outputs.array[index]).all(axis=0))
        if len(columns) < outputs.array.shape[1]:
            parts.append(f"in output column {', '.join(map(str, columns[:3].tolist()))}")
    return f", {', '.join(parts)}" if parts else ""


def shown_ids(ids: Sequence[Any], index: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """Return the first few ids as text, and how many more there are."""
    shown = tuple(str(ids[i]) for i in index[:SHOWN_SAMPLES])
    return shown if len(index) <= SHOWN_SAMPLES else (*shown, f"and {len(index) - SHOWN_SAMPLES} more")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Outputs with their meaning.

    `labels` are predicted labels (classification) or values (regression). `scores` are the outputs with one
    column per label of `columns`, in sorted order, or None for models that return labels. `task` and `meaning`
    are stated in every reading that depends on them.
    """

    outputs: Outputs
    task: str
    meaning: str
    labels: Array
    targets: Array | None
    scores: Array | None = None
    columns: Array | None = None

    @property
    def ids(self) -> Sequence[Any]:
        """The samples' ids."""
        return self.outputs.ids

    def __len__(self) -> int:
        return len(self.outputs)


def interpret(outputs: Outputs, data: EvalData) -> Predictions:
    """Say what outputs mean: as the data states it, or inferred where only one meaning fits.

    Raises:
        DataError: the meaning is ambiguous (the message says what to write), the data states one that does not
            fit, or targets lie outside the classes.
    """
    array, targets = outputs.array, outputs.targets
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if targets is not None and targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    _check_finite_targets(targets, outputs.ids)
    task = data.task or _infer_task(outputs.model, array, targets)
    if task == "regression":
        _expect_one_value(outputs.model, array, targets)
        return Predictions(outputs=outputs, task=task, meaning="values", labels=array, targets=targets)
    meaning = data.outputs or _infer_meaning(outputs.model, array, task)
    if task == "multilabel":
        return _multilabel(outputs, array, targets, meaning)
    if meaning == "labels" or array.ndim == 1:
        return _one_column(outputs, array, targets, task, meaning, data.classes)
    return _many_columns(outputs, array, targets, task, meaning, data.classes)


def _check_finite_targets(targets: Array | None, ids: Sequence[Any]) -> None:
    if targets is None or targets.dtype.kind != "f":
        return
    bad = np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(axis=1))
    if len(bad):
        raise DataError(
            f"the targets hold NaN for {len(bad)} of {len(targets)} samples (ids {', '.join(shown_ids(ids, bad))})"
        )


def _infer_task(model: str, array: Array, targets: Array | None) -> str:
    whole = targets is None or targets.dtype.kind in "iubUSO"
    if targets is not None and targets.ndim == 2 and array.shape == targets.shape and whole and _one_hot(targets):
        raise DataError(
            f"every row of the targets {tuple(targets.shape)} has a single 1: one label per sample, or several? "
            "Write targets.argmax(axis=1), or EvalData(..., task='multilabel')"
        )
    if targets is not None and targets.ndim == 2 and array.shape == targets.shape and whole:
        return "multilabel"
    if array.ndim == 2 and whole and (targets is None or targets.ndim == 1):
        return "multiclass"
    if array.ndim == 1 and array.dtype.kind in "iubUSO" and whole:
        return "multiclass"
    if array.ndim == 1 and targets is not None and targets.ndim == 1 and not whole:
        return "regression"
    found = "no targets" if targets is None else f"targets of shape {tuple(targets.shape)} and type {targets.dtype}"
    raise DataError(
        f"{model} gives outputs of shape {tuple(array.shape)} and type {array.dtype} for {found}: several tasks fit. "
        "Write EvalData(..., task='binary', outputs='logits'), task='regression', or what they are"
    )


def _one_hot(targets: Array) -> bool:
    return targets.dtype.kind in "iub" and bool(
        np.all((targets == 0) | (targets == 1)) and np.all(targets.sum(1) == 1)
    )


def _check_labels(model: str, labels: Array, targets: Array | None) -> None:
    """Refuse labels of another kind than the targets: they would never be equal, for any model."""
    if targets is None or np.isin(labels.astype(str) if targets.dtype.kind in "USO" else labels, targets).any():
        return
    raise DataError(
        f"{model} predicts labels such as {labels[0]!r} ({labels.dtype}), and none of them is among the targets, "
        f"such as {targets[0]!r} ({targets.dtype}). Give both in the same form"
    )


def _infer_meaning(model: str, array: Array, task: str) -> str:
    if array.dtype.kind in "iubUSO":
        return "labels"
    rows = array[np.isfinite(array).reshape(len(array), -1).all(axis=1)]
    inside = bool(np.all((rows >= 0) & (rows <= 1)))
    if array.ndim == 2 and task != "multilabel":
        sums_to_one = inside and len(rows) > 0 and bool(np.all(np.abs(rows.sum(axis=1) - 1) < 1e-3))
        return "probabilities" if sums_to_one else "logits"
    if not inside:
        return "logits"  # a probability is never outside of 0..1
    raise DataError(
        f"{model} gives one number in 0..1 per label: logits or probabilities? "
        "Write EvalData(..., outputs='logits') or outputs='probabilities'"
    )


def _check_meaning(model: str, array: Array, meaning: str, one_of_many: bool) -> None:
    rows = array[np.isfinite(array).reshape(len(array), -1).all(axis=1)]
    if len(rows) == 0:
        return
    inside = bool(np.all((rows >= 0) & (rows <= 1)))
    sums = bool(np.all(np.abs(rows.sum(axis=1) - 1) < 1e-3)) if one_of_many else inside
    if meaning == "probabilities" and not (inside and sums):
        found = f"values from {rows.min():.3g} to {rows.max():.3g}" if not inside else "rows that do not add up to 1"
        raise DataError(f"{model}: outputs='probabilities' was said, and {found} were found. Write outputs='logits'")
    if meaning == "logits" and one_of_many and inside and sums:
        raise DataError(
            f"{model}: outputs='logits' was said, and every row is in 0..1 and adds up to 1: these are "
            "probabilities. Write outputs='probabilities'"
        )


def _expect_one_value(model: str, array: Array, targets: Array | None) -> None:
    if array.dtype.kind not in "fiu":
        raise DataError(f"{model}: task 'regression' needs numbers, found outputs of type {array.dtype}")
    if targets is not None and array.shape != targets.shape:
        raise DataError(
            f"{model}: outputs of shape {tuple(array.shape)} do not fit targets of shape {tuple(targets.shape)}; "
            "task 'regression' expects one value for each target"
        )


def _multilabel(outputs: Outputs, array: Array, targets: Array | None, meaning: str) -> Predictions:
    if targets is not None and array.shape != targets.shape:
        raise DataError(
            f"{outputs.model}: outputs of shape {tuple(array.shape)} do not fit targets {tuple(targets.shape)}"
        )
    if meaning != "labels":
        _check_meaning(outputs.model, array, meaning, one_of_many=False)
    labels = array if meaning == "labels" else array > (0.5 if meaning == "probabilities" else 0)
    return Predictions(
        outputs=outputs,
        task="multilabel",
        meaning=meaning,
        labels=labels.astype(np.int64),
        targets=targets,
        scores=None if meaning == "labels" else array,
    )


def _one_column(
    outputs: Outputs, array: Array, targets: Array | None, task: str, meaning: str, classes: Sequence[Any] | None
) -> Predictions:
    if meaning == "labels":
        if array.ndim != 1:
            raise DataError(f"{outputs.model}: outputs='labels' needs one label per sample, found {array.shape}")
        _check_labels(outputs.model, array, targets)
        return Predictions(outputs=outputs, task=task, meaning=meaning, labels=array, targets=targets)
    if task != "binary":
        raise DataError(
            f"{outputs.model}: task {task!r} needs one column per class, found outputs of shape {tuple(array.shape)}"
        )
    _check_meaning(outputs.model, array, meaning, one_of_many=False)
    columns = np.asarray(classes if classes is not None else [0, 1])
    if len(columns) != 2:
        raise DataError(f"task 'binary' has two classes, found {len(columns)}: {list(columns)}")
    _check_targets(outputs.model, targets, columns)
    positive = array > (0.5 if meaning == "probabilities" else 0)
    scores = np.stack([1 - array if meaning == "probabilities" else np.zeros_like(array), array], axis=1)
    labels, order = columns[positive.astype(int)], np.argsort(columns, kind="stable")
    return Predictions(
        outputs=outputs,
        task=task,
        meaning=meaning,
        labels=labels,
        targets=targets,
        scores=scores[:, order],
        columns=columns[order],
    )


def _many_columns(
    outputs: Outputs, array: Array, targets: Array | None, task: str, meaning: str, classes: Sequence[Any] | None
) -> Predictions:
    if array.ndim != 2:
        raise DataError(
            f"{outputs.model}: task {task!r} needs one row of scores per sample, found outputs of shape "
            f"{tuple(array.shape)}"
        )
    _check_meaning(outputs.model, array, meaning, one_of_many=True)
    known = outputs.classes if outputs.classes is not None else classes
    columns = np.asarray(known if known is not None else range(array.shape[1]))
    if targets is not None and targets.dtype.kind in "iu" and columns.dtype.kind in "US":
        columns = np.arange(len(columns))  # targets are positions of named classes
    if len(columns) != array.shape[1]:
        raise DataError(f"{outputs.model}: {array.shape[1]} output columns and {len(columns)} classes")
    _check_targets(outputs.model, targets, columns)
    order = np.argsort(columns, kind="stable")
    columns = columns[order]
    scores = array if np.array_equal(order, np.arange(len(order))) else array[:, order]
    best = np.argmax(np.where(np.isfinite(scores), scores, -np.inf), axis=1)
    return Predictions(
        outputs=outputs,
        task=task,
        meaning=meaning,
        labels=columns[best],
        targets=targets,
        scores=scores,
        columns=columns,
    )


def _check_targets(model: str, targets: Array | None, columns: Array) -> None:
    if targets is None:
        return
    outside = ~np.isin(targets, columns)
    if outside.any():
        raise DataError(
            f"targets outside the classes: found {np.unique(targets[outside])[:5].tolist()} in {int(outside.sum())} "
            f"of {len(targets)} samples, and {model} has {len(columns)} outputs, for the classes "
            f"{', '.join(map(str, columns[:10]))}{', ...' if len(columns) > 10 else ''}"
        )
