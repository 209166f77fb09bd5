"""One forward pass of a model over the evaluation data."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import (
    as_array,
    duplicate,
    is_sparse,
    is_tensor,
    leaves,
    number_parts,
    output_array,
    select_output,
    shapes,
    sparse_parts,
)
from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.data.hashing import contents
from pytest_modelbench.data.missing import as_values
from pytest_modelbench.data.sample_hashes import Hashes, hashes_of
from pytest_modelbench.errors import DataError, ModelError, message_of
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.columns import Column, Flags, narrow, slices
from pytest_modelbench.probes.timing.watchdog import beat

Array = npt.NDArray[Any]
SHOWN_SAMPLES = 10
NARROWED_BYTES = 8 * 2**20


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A model's raw outputs over the whole data, in its order.

    `array` has one row per sample; `targets` and `ids` likewise. Large ones are mapped from a temporary file: read
    them in chunks (`probes.columns`). `nonfinite` counts the NaN and infinite values of each row, `input_finite` is
    False for rows that were fed NaN or Inf. `calls` counts forward passes. `checksums` are those of the inputs of
    each batch of `batch_size` samples, to see whether another model answered the same inputs.
    """

    model: str
    array: Array
    targets: Array | None
    ids: Sequence[Any]
    nonfinite: npt.NDArray[np.int32]
    input_finite: npt.NDArray[np.bool_]
    classes: Sequence[Any] | None
    calls: int
    batch_size: int = 0
    checksums: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.array)

    @functools.cached_property
    def _distinct(self) -> bool:
        """Whether every sample has an id of its own, a whole number or a text."""
        if isinstance(self.ids, range):
            return True
        try:
            hashes = np.concatenate([hashes_of(self.ids[part]) for part in slices(len(self))])
        except DataError:  # such as dates, which data in one piece may have
            return False
        hashes.sort()
        return not bool((hashes[1:] == hashes[:-1]).any())

    def hashes(self, part: slice) -> Hashes:
        """Return the hash of the id of some samples; of their position where ids have none, or several one."""
        return hashes_of(self.ids[part] if self._distinct else range(len(self))[part])


def collect_outputs(model: Model, data: EvalData) -> Outputs:
    """Run a model once over all samples.

    Raises:
        ModelError: the model raised, or the shape of its outputs does not fit the batch.
        DataError: the data are empty or inconsistent.
    """
    recorded, targets, finite, nonfinite = Column(), Targets(), Flags(True), Flags(0)
    ids: list[Any] = []
    checksums: list[int] = []
    first: Array | None = None
    calls = 0
    with model.running():
        for batch in data.batches():
            inputs = batch.inputs if calls else duplicate(batch.inputs)  # the first call may write into a copy
            output = answer(model, inputs, first=not calls)
            array = rows_of(output, batch, model, data, first)
            first = array[:1] if first is None else first
            recorded.append(array)
            targets.append(batch.targets)
            if data.ids is not None:
                ids.extend(batch.ids)
            bad = nonfinite_values(array)
            nonfinite.append(bad)
            finite.append(_finite_rows(batch) if bad.any() else np.ones(len(array), dtype=bool))
            checksums.append(batch.checksum)
            calls += 1
            beat()
    whole = recorded.array()
    return Outputs(
        model=model.name,
        array=whole,
        targets=targets.array(),
        ids=range(len(whole)) if data.ids is None else ids,
        nonfinite=nonfinite.array(),
        input_finite=finite.array(),
        classes=model.classes_of(data.select),
        calls=calls,
        batch_size=data.batch_size,
        checksums=tuple(checksums),
    )


def answer(model: Model, inputs: Any, *, first: bool) -> Any:
    """Return a model's output for a batch, and refuse a model that writes into it.

    Args:
        model: in the context `running()`.
        inputs: the batch.
        first: whether to look at what the adapter made of the batch, too: a copy in another type protects the data,
            and a call that is timed over and over would get other inputs each time.

    Raises:
        ModelError: the model raised, or wrote into its inputs.
    """
    try:
        call = model.bind(inputs)
        held = (inputs, *held_by(call)) if first else inputs
        before = contents(held)
        output = call()
    except BaseException as error:
        raise _failure(model, inputs, error) from error
    if contents(held) != before:
        raise model.wrote_into(inputs)
    return output


def _failure(model: Model, inputs: Any, error: BaseException) -> ModelError:
    """Return the error that tells of a call that raised, with advice where a column is too many."""
    failure = model.failure(inputs, error)
    if isinstance(inputs, Mapping) and "unexpected keyword argument" in message_of(error):
        failure.args = (f"{failure}. Say which columns the model takes: EvalData(..., columns={[*inputs][:1]!r})",)
    return failure


def held_by(call: Any) -> tuple[Any, ...]:
    """Return the arrays that a bound call passes to its model, where that can be seen."""
    if not isinstance(call, functools.partial):
        return ()
    arguments = leaves((*call.args, *call.keywords.values()))
    return tuple(leaf for leaf in arguments if is_tensor(leaf) or hasattr(leaf, "dtype"))


def samples_hash(outputs: Outputs) -> str:
    """Hash what samples these are: their number, ids and targets, but not how inputs were prepared."""
    digest = hashlib.blake2b(str(len(outputs)).encode(), digest_size=16)
    if not isinstance(outputs.ids, range):
        digest.update("\0".join(map(str, outputs.ids)).encode())
    if outputs.targets is not None:
        for part in slices(len(outputs.targets)):
            targets = outputs.targets[part]
            whole = targets.dtype.kind in "iub"  # few bytes or many say the same
            digest.update(targets.astype("<i8").tobytes() if whole else repr(targets.tolist()).encode())
    return digest.hexdigest()


class Targets:
    """The targets of all batches, or None; whole numbers of a large set take as few bytes as they need."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._held = 0

    def append(self, targets: Any) -> None:
        """Add those of a batch."""
        if targets is None:
            return
        listed = isinstance(targets, list | tuple)  # in which NumPy would make the text 'nan' of a missing one
        array = as_values(targets) if listed else as_array(targets)
        array = array.copy()  # a loader may read into the same buffer every time
        self._held += array.nbytes
        if self._held > NARROWED_BYTES:
            if self._held - array.nbytes <= NARROWED_BYTES:
                self._parts = [narrow(part) for part in self._parts]
            array = narrow(array)
        self._parts.append(array)

    def array(self) -> Array | None:
        """Return those of all batches; None where they have none."""
        return np.concatenate(self._parts) if self._parts else None


def rows_of(output: Any, batch: Batch, model: Model, data: EvalData, first: Array | None) -> Array:
    """Return the array of an output that is judged, one row for each sample of the batch.

    Args:
        output: what the model returned.
        batch: that it was given.
        model: for messages.
        data: which says the head that is judged.
        first: a row of earlier outputs, whose shape this one must have.

    Raises:
        ModelError: another number of rows, or rows of another shape.
    """
    selected = select_output(output, data.select, model.name)
    try:
        array = output_array(selected)
    except ModelError as error:
        raise ModelError(f"{model.name} returned {shapes(output)}: {error}") from error
    count = len(batch.ids)
    if array.ndim == 0 or len(array) != count:
        raise ModelError(
            f"{model.name} returned an output of shape {tuple(array.shape)} for a batch of {count} samples "
            f"(inputs {shapes(batch.inputs)}); expected {count} rows"
        )
    if first is not None:
        refuse_other_shape(model.name, first, array, batch.ids[0])
    return array


def refuse_other_shape(model: str, first: Array, array: Array, sample: Any) -> None:
    """Refuse outputs whose rows have another shape than earlier ones.

    Args:
        model: its name.
        first: earlier outputs.
        array: these.
        sample: the id of their first sample.

    Raises:
        ModelError: they have.
    """
    if array.shape[1:] != first.shape[1:]:
        raise ModelError(
            f"{model} changed the shape of its output from (*, {_tail(first)}) to (*, {_tail(array)}) "
            f"at sample {sample}"
        )


def _tail(array: Array) -> str:
    return ", ".join(map(str, array.shape[1:]))


def nonfinite_values(array: Array) -> npt.NDArray[np.int32]:
    """Count the NaN and infinite values of each row."""
    if array.dtype.kind not in "fc":
        return np.zeros(len(array), dtype=np.int32)
    return np.asarray(np.sum(~np.isfinite(array.reshape(len(array), -1)), axis=1), dtype=np.int32)


def _finite_rows(batch: Batch) -> npt.NDArray[np.bool_]:
    finite = np.ones(len(batch.ids), dtype=bool)
    for leaf in leaves(batch.inputs):
        if is_sparse(leaf):
            lengths, *_, entries = sparse_parts(leaf)
            finite[
                np.repeat(np.arange(len(finite)), lengths)[
                    ~np.isfinite(entries.reshape(len(entries), -1)).all(axis=1)
                ]
            ] = False
        elif is_tensor(leaf) or hasattr(leaf, "dtype") or hasattr(leaf, "dtypes"):
            for array in number_parts(leaf) if hasattr(leaf, "columns") else [as_array(leaf)]:
                if array.dtype.kind in "fc":
                    finite &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    return finite


def in_common(outputs: Outputs, index: npt.NDArray[np.intp]) -> str:
    """Say what samples with non-finite outputs have in common, which is often the cause; empty if nothing."""
    return said_of_bad(classes_of_bad(outputs, index), columns_of_bad(outputs, index), outputs.array.shape)


def classes_of_bad(outputs: Outputs, index: npt.NDArray[np.intp]) -> list[Any]:
    """Return the classes of samples with non-finite outputs; none where targets name no classes."""
    targets = outputs.targets
    if targets is None or targets.ndim != 1 or targets.dtype.kind not in "iubUSO":
        return []
    classes: list[Any] = np.unique(targets[index]).tolist()
    return classes


def columns_of_bad(outputs: Outputs, index: npt.NDArray[np.intp]) -> list[int]:
    """Return the output columns in which some samples are not finite; none where there is but one."""
    if outputs.array.ndim != 2 or outputs.array.shape[1] == 1:
        return []
    columns: list[int] = np.flatnonzero(~np.isfinite(outputs.array[index]).all(axis=0)).tolist()
    return columns


def said_of_bad(classes: Sequence[Any], columns: Sequence[int], shape: Sequence[int]) -> str:
    """Say that non-finite outputs are of one class, or in some of the columns of outputs of a shape."""
    parts = [f"all of class {classes[0]}"] if len(classes) == 1 else []
    if columns and len(columns) < shape[1]:
        parts.append(f"in output column {', '.join(map(str, columns[:3]))}")
    return f", {', '.join(parts)}" if parts else ""


def shown_ids(ids: Sequence[Any], index: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """Return the first few ids as text, and how many more there are."""
    shown = tuple(str(ids[i]) for i in index[:SHOWN_SAMPLES])
    return shown if len(index) <= SHOWN_SAMPLES else (*shown, f"and {len(index) - SHOWN_SAMPLES} more")
