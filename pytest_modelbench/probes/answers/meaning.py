"""What a model's outputs mean: labels, probabilities or values, as the data say or as only one reading fits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.missing import missing_of
from pytest_modelbench.errors import DataError, DoesNotFit, shown
from pytest_modelbench.probes.answers.anchoring import doubt_about, order_of_classes
from pytest_modelbench.probes.answers.columns import Column, in_chunks, narrow, release
from pytest_modelbench.probes.answers.predictions import NARROWED_BYTES, Outputs, shown_ids
from pytest_modelbench.probes.answers.tasks import infer_task

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Outputs with their meaning.

    `labels` are predicted labels (classification) or values (regression). `scores` are the outputs with one
    column per label of `columns`, in sorted order, or None for models that return labels; like the outputs they may
    be mapped from a file. `task` and `meaning` are stated in every reading that depends on them. `memo` keeps what
    several KPIs derive from them.
    """

    outputs: Outputs
    task: str
    meaning: str
    labels: Array
    targets: Array | None
    scores: Array | None = None
    columns: Array | None = None
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def ids(self) -> Sequence[Any]:
        """The samples' ids."""
        return self.outputs.ids

    def __len__(self) -> int:
        return len(self.outputs)

    @functools.cached_property
    def doubt(self) -> str:
        """Why nothing can be relative to this model, or "" (see `probes.anchoring`)."""
        return doubt_about(self.outputs, self.task, self.labels, self.targets)

    @functools.cached_property
    def class_order(self) -> str:
        """What tells that the classes are in another order than the targets', or ""."""
        return order_of_classes(self.outputs, self.task, self.labels, self.targets)

    def release(self) -> None:
        """Give back the memory of rows that were read from a file."""
        release(self.outputs.array)
        if self.scores is not None:
            release(self.scores)

    def probabilities(self, part: slice | IntArray) -> FloatArray:
        """Return the probability of each class for some samples, (samples, classes): softmax applied to logits.

        Raises:
            DoesNotFit: the model gives labels or values.
        """
        scores = self._scores(part)
        chances = scores if self.meaning == "probabilities" else scipy.special.softmax(scores, axis=1)
        normalised: FloatArray = chances / chances.sum(axis=1, keepdims=True)
        return normalised

    def log_probabilities(self, part: slice | IntArray) -> FloatArray:
        """Return the logarithm of each probability, from logits by log-softmax in float32.

        A probability of 0 counts as the smallest number that float32 holds.

        Raises:
            DoesNotFit: as for `probabilities`.
        """
        if self.meaning == "probabilities":
            return np.log(np.maximum(self.probabilities(part), np.finfo(np.float32).tiny))
        scores = self._scores(part).astype(np.float32)
        logarithms: FloatArray = scipy.special.log_softmax(scores, axis=1).astype(np.float64)
        return logarithms

    def _scores(self, part: slice | IntArray) -> FloatArray:
        if self.scores is None or self.columns is None:
            raise DoesNotFit(
                f"{self.outputs.model} gives {self.meaning} for task {self.task}, and one score for each class is "
                "needed"
            )
        return np.asarray(self.scores[part], dtype=np.float64)


def same_answers(student: Predictions, teacher: Predictions) -> bool:
    """Whether two models' outputs have one meaning, in any shape: one logit or two, (n, 1) or (n,)."""
    if student.task != teacher.task or student.labels.shape != teacher.labels.shape:
        return False
    if student.columns is None or teacher.columns is None:
        return student.columns is teacher.columns
    return np.array_equal(student.columns, teacher.columns)


def answers_of(predictions: Predictions) -> Callable[[Array], Array] | None:
    """Return what raw outputs say as labels, (n,) or (n, labels); None where outputs are labels or values already."""
    if predictions.meaning in {"labels", "values"}:
        return None
    single = predictions.outputs.array.ndim == 1 or predictions.outputs.array.shape[1] == 1
    if predictions.task == "multilabel" or single:
        threshold = 0.5 if predictions.meaning == "probabilities" else 0.0
        return lambda outputs: outputs > threshold
    return lambda outputs: outputs.argmax(axis=1)


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
    _check_finite_targets(targets, outputs.ids, data.classes)
    task = data.task or infer_task(outputs.model, array, targets)
    if task == "regression":
        _expect_one_value(outputs.model, array, targets)
        return Predictions(outputs=outputs, task=task, meaning="values", labels=array, targets=targets)
    meaning = data.outputs or _infer_meaning(outputs.model, array, task)
    if task == "multilabel":
        return _multilabel(outputs, array, targets, meaning)
    if meaning == "labels" or array.ndim == 1:
        return _one_column(outputs, array, targets, task, meaning, data.classes)
    return _many_columns(outputs, array, targets, task, meaning, data.classes)


def _check_finite_targets(targets: Array | None, ids: Sequence[Any], classes: Sequence[Any] | None) -> None:
    """Refuse targets that are missing; a text such as 'nan' is none if the data name a class so."""
    if targets is None or targets.dtype.kind not in "fUO":
        return
    if targets.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(axis=1))
    else:
        named = [] if classes is None else [name for name in classes if isinstance(name, str)]
        gone = missing_of(targets.ravel()) & ~np.isin(targets.ravel().astype(str), named)
        bad = np.flatnonzero(gone.reshape(len(targets), -1).any(axis=1))
    if len(bad):
        samples = f"{len(bad)} of {len(targets)} samples (ids {', '.join(shown_ids(ids, bad))})"
        listed = (
            "" if targets.dtype.kind == "f" else ". If a class has such a name, list it: EvalData(..., classes=[...])"
        )
        raise DataError(f"the targets hold NaN for {samples}{listed}")


def _check_labels(model: str, labels: Array, targets: Array | None, classes: Sequence[Any] | None) -> None:
    """Refuse labels of another kind than the targets: they would never be equal, for any model."""
    texts = [array.dtype.kind in "USO" for array in (labels, targets)] if targets is not None else [True, True]
    if targets is None or (texts[0] == texts[1] and np.isin(labels, targets).any()):
        return
    if classes is not None and np.isin(labels, np.asarray(classes)).any():
        return  # of few samples, such as those of a shard, none need be right
    raise DataError(
        f"{model} predicts labels such as {_plainly(labels)} ({labels.dtype}), and none of them is among the "
        f"targets, such as {_plainly(targets)} ({targets.dtype}). Give both in the same form"
    )


def _plainly(labels: Array) -> str:
    """Return the first label as Python has it, not as NumPy does."""
    return shown(labels[:1].tolist()[0])


class _Range(NamedTuple):
    """What all rows without NaN and infinite values have in common."""

    low: float = math.inf
    high: float = -math.inf
    add_up: bool = True

    @property
    def inside(self) -> bool:
        return self.low >= 0 and self.high <= 1


def _range_of(array: Array) -> _Range:
    span = _Range()
    for chunk in in_chunks(array):
        rows = chunk[np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)]
        if len(rows):
            add_up = rows.ndim == 2 and bool(np.all(np.abs(rows.sum(axis=1, dtype=np.float64) - 1) < 1e-3))
            span = _Range(min(span.low, rows.min()), max(span.high, rows.max()), span.add_up and add_up)
    return span


def _infer_meaning(model: str, array: Array, task: str) -> str:
    if array.dtype.kind in "iubUSO":
        return "labels"
    span = _range_of(array)
    if array.ndim == 2 and task != "multilabel":
        return "probabilities" if span.inside and span.add_up and span.high >= 0 else "logits"
    if not span.inside:
        return "logits"  # a probability is never outside of 0..1
    raise DataError(
        f"{model} gives one number in 0..1 per label: logits or probabilities? "
        "Write EvalData(..., outputs='logits') or outputs='probabilities'"
    )


def _check_meaning(model: str, array: Array, meaning: str, one_of_many: bool) -> None:
    values = _range_of(array)
    if values.low > values.high:
        return
    inside, sums = values.inside, values.add_up if one_of_many else values.inside
    if meaning == "probabilities" and not (inside and sums):
        observed = (
            f"values range from {values.low:.3g} to {values.high:.3g}" if not inside else "rows do not add up to 1"
        )
        raise DataError(f"{model}: you declared outputs='probabilities', but {observed}. Use outputs='logits'")
    if meaning == "logits" and one_of_many and inside and sums:
        raise DataError(
            f"{model}: you declared outputs='logits', but every row is in 0..1 and adds up to 1: these are "
            "probabilities. Use outputs='probabilities'"
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
        _check_labels(outputs.model, array, targets, classes)
        return Predictions(outputs=outputs, task=task, meaning=meaning, labels=array, targets=targets)
    if task != "binary":
        raise DataError(
            f"{outputs.model}: task {task!r} needs one column per class, found outputs of shape {tuple(array.shape)}"
        )
    _check_meaning(outputs.model, array, meaning, one_of_many=False)
    if classes is None and targets is not None and targets.dtype.kind in "USO":
        pair = np.unique(targets)[:2].tolist()
        raise DataError(
            f"{outputs.model} gives one number per sample for the classes {', '.join(map(shown, pair))}: which one "
            f"does a high number mean? Write EvalData(..., classes=[low, high]), such as classes={pair!r}"
        )
    columns = np.asarray(classes if classes is not None else [0, 1])
    if len(columns) != 2:
        raise DataError(f"task 'binary' has two classes, found {len(columns)}: {list(columns)}")
    _check_targets(outputs.model, targets, columns)
    by_column, order = _small(columns, len(array)), np.argsort(columns, kind="stable")
    scores, labels = Column(), Column()
    for chunk in in_chunks(array):
        labels.append(by_column[(chunk > (0.5 if meaning == "probabilities" else 0)).astype(int)])
        negative = 1 - chunk if meaning == "probabilities" else np.zeros_like(chunk)
        scores.append(np.stack([negative, chunk], axis=1)[:, order])
    return Predictions(
        outputs=outputs,
        task=task,
        meaning=meaning,
        labels=labels.array(),
        targets=targets,
        scores=scores.array(),
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
    named = outputs.classes if outputs.classes is not None else classes
    columns = np.asarray(named if named is not None else range(array.shape[1]))
    if targets is not None and targets.dtype.kind in "iu" and columns.dtype.kind in "US":
        columns = np.arange(len(columns))  # targets are positions of named classes
    if len(columns) != array.shape[1]:
        raise DataError(f"{outputs.model}: {array.shape[1]} output columns and {len(columns)} classes")
    _check_targets(outputs.model, targets, columns)
    order = np.argsort(columns, kind="stable")
    columns, in_order = columns[order], np.array_equal(order, np.arange(len(order)))
    by_column, labels, scores = _small(columns, len(array)), Column(), Column()
    for chunk in in_chunks(array):
        ordered = chunk if in_order else chunk[:, order]
        if not in_order:
            scores.append(ordered)
        finite = ordered if np.isfinite(ordered).all() else np.where(np.isfinite(ordered), ordered, -np.inf)
        labels.append(by_column[np.argmax(finite, axis=1)])
    return Predictions(
        outputs=outputs,
        task=task,
        meaning=meaning,
        labels=labels.array(),
        targets=targets,
        scores=array if in_order else scores.array(),
        columns=columns,
    )


def _small(columns: Array, rows: int) -> Array:
    """Return the classes in a type that takes few bytes for each of many rows."""
    return narrow(columns) if rows * columns.itemsize > NARROWED_BYTES else columns


def _check_targets(model: str, targets: Array | None, columns: Array) -> None:
    if targets is None:
        return
    if targets.dtype == bool and len(columns) != 2:
        raise DataError(
            f"the targets are booleans, such as {targets[0]} of the first sample, and {model} has {len(columns)} "
            f"outputs, for the classes {', '.join(map(str, columns[:10]))}. Give one of these classes for each sample"
        )
    outside = ~np.isin(targets, columns)
    if outside.any():
        raise DataError(
            f"targets outside the classes: found {np.unique(targets[outside])[:5].tolist()} in {int(outside.sum())} "
            f"of {len(targets)} samples, and {model} has {len(columns)} outputs, for the classes "
            f"{', '.join(map(str, columns[:10]))}{', ...' if len(columns) > 10 else ''}"
        )
