"""`EvalData`: the samples both models are judged on, and what their outputs mean."""

from __future__ import annotations

import copy
import hashlib
import importlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from pytest_modelbench.data.arguments import (
    OUTPUTS,
    check_batch_size,
    check_choice,
    check_classes,
    check_named,
    check_select,
    check_sequence,
    check_task,
    refuse_missing,
    refuse_unknown,
)
from pytest_modelbench.data.arrays import rows, shapes
from pytest_modelbench.data.casting import CastSource, check_dtype
from pytest_modelbench.data.chunks import Chunk, Source, guarded
from pytest_modelbench.data.columns import Columns
from pytest_modelbench.data.groups import Grouping, check_lengths, features_of, grouping
from pytest_modelbench.data.hashing import fingerprint_of, form_of, hash_rows
from pytest_modelbench.data.missing import as_values
from pytest_modelbench.data.readings import Readings
from pytest_modelbench.data.sources import MappedSource, make_source
from pytest_modelbench.data.tasks.names import OWN_CLASSES
from pytest_modelbench.data.treatment import treatment_of
from pytest_modelbench.errors import DataError

_serial = itertools.count(1)
KNOWN = (
    *("inputs", "targets", "target", "columns", "task", "outputs", "select", "ids", "classes", "batch_size"),
    *("sensitive", "slices", "dtype", "missing", "bins", "ood"),
)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some samples: inputs as the model takes them, targets (or None), ids, and a checksum of the inputs."""

    inputs: Any
    targets: Any
    ids: Sequence[Any]
    checksum: int = 0


class EvalData:
    """The evaluation data, read in the same order for every model and never copied as a whole.

    Args:
        inputs: array, tensor, list, DataFrame, tuple or mapping of arrays (several inputs; a mapping becomes
            keyword arguments), `Dataset`, `DataLoader`, or a re-iterable of batches.
        targets: one per sample; left out where the inputs bring them (datasets, loaders, `target=`).
        target: the column of a frame, a mapping or a dataset that holds the targets. A column named `labels`,
            `label`, `targets` or `target` is recognised, and the report says so.
        columns: the columns that the model takes; by default all others. One name gives the model the values of
            that column, a list gives it a mapping (keyword arguments) or a frame.
        task: `multiclass`, `binary`, `multilabel` or `regression`, inferred where that is safe; or `text`, which
            takes the arguments of `TextData`. Where `prompts=` or `texts=` are stated, it is `text`. `detection`,
            `segmentation`, `tagging`, `forecasting`, `ranking` and `embedding` have a class of their own, too.
        outputs: `logits`, `probabilities`, `labels` or `values`; inferred where that is safe.
        select: the head to judge where a model returns several: a key, an attribute or a position.
        ids: one id per sample, for the samples that reports name; positions by default.
        classes: the labels of the output columns, in order.
        batch_size: rows per forward pass when predictions are collected.
        sensitive: whom the model must not treat worse, one group per sample: a mapping such as `{"sex": sex}`, a
            frame, names of columns of the inputs, or functions of the inputs.
        slices: kinds of samples that are judged apart, spelled in the same way; a mask is one slice, any other
            column one for each of its values.
        dtype: the number type that integer and floating inputs are cast to when a batch is made: `float16`,
            `bfloat16` (tensors only), `float32` or `float64`; or a mapping of names of inputs to types. By default
            they stay as they are.
        missing: what becomes of samples whose sensitive feature or slice is missing: `error` (the default), `exclude`
            or `group`, unless a gate says otherwise.
        ood: inputs that are none of the data's kind, by name, for the KPIs `ood_auroc` and `ood_fpr95`.
        bins: into how many groups of about equal size numbers of features are put, or at which edges; a mapping for
            some features only; unless a gate says otherwise.

    Raises:
        DataError: empty data, lengths that differ, an unknown task, a one-shot iterator.

    >>> data = EvalData(np.zeros((5, 2)), np.arange(5), batch_size=2)
    >>> [len(batch.inputs) for batch in data.batches()]
    [2, 2, 1]
    """

    def __new__(cls, _: Any = None, targets: Any = None, *, task: str | None = None, **others: Any) -> Self:
        """Make the class of the task, also where its own arguments or targets say the task."""
        named = check_task(task, others, targets) if cls is EvalData else None
        own = None if named is None else OWN_CLASSES.get(named)
        if own is None:
            return super().__new__(cls)
        module, name = own.split(":")
        data: Self = object.__new__(getattr(importlib.import_module(module), name))
        return data

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        target: str | None = None,
        columns: str | Sequence[str] | None = None,
        task: str | None = None,
        outputs: str | None = None,
        select: str | int | None = None,
        ids: Sequence[Any] | None = None,
        classes: Sequence[Any] | None = None,
        batch_size: int = 256,
        sensitive: Any = None,
        slices: Any = None,
        dtype: str | Mapping[str, str] | None = None,
        missing: str | None = None,
        bins: Any = None,
        ood: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        refuse_unknown("EvalData", others, KNOWN)
        check_choice("outputs", outputs, OUTPUTS)
        check_select(select)
        check_classes(classes)
        check_dtype(dtype)
        self._columns = Columns(target, columns, has_targets=targets is not None)
        self.source: Source = make_source(inputs, targets, self._columns)
        if dtype is not None:
            self.source = CastSource(self.source, dtype)
        length = self.source.length
        if length == 0:
            raise DataError(f"the evaluation data is empty: inputs of shape {shapes(inputs)}")
        if ids is not None:
            check_sequence("ids", ids)
        if ids is not None and length is not None and len(ids) != length:
            raise DataError(f"there are {length} samples and {len(ids)} ids; expected one id per sample")
        self.task = task
        self.outputs = outputs
        self.select = select
        self.ids = ids
        self.classes = classes
        self.batch_size = check_batch_size(batch_size)
        self.ood = check_named("ood", ood)
        self.dtype = dtype
        self._features = {"sensitive": features_of(sensitive, "sensitive"), "slice": features_of(slices, "slices")}
        for what, features in self._features.items():
            check_lengths(features, what, length)
        self._treatment = treatment_of(missing, bins)
        self._groupings: dict[tuple[Any, ...], Grouping] = {}
        self._fingerprint: str | None = None
        self._grouped_by: EvalData | None = None
        self._form: str | None = None
        self._readings = Readings(in_memory=self.source.in_memory)
        self._serial = next(_serial)

    @classmethod
    def from_shards(cls, shards: Any, **arguments: Any) -> EvalData:
        """Return data in many files (see `data.shards.sharded`), each of which may be read by another process.

        Args:
            shards: paths or URLs, or a pattern such as `data/*.parquet`, whose files are sorted.
            arguments: `load`, `ids`, `manifest`, `task` and what `EvalData` takes.

        Raises:
            DataError: as for `ShardedData`.
        """
        made = importlib.import_module("pytest_modelbench.data.shards.sharded").ShardedData
        return cast("EvalData", made(shards, **arguments))

    @property
    def inputs(self) -> Any:
        """All inputs, where they are in memory.

        Raises:
            DataError: they come from a dataset, a loader or a stream; iterate `batches()`.
        """
        return self._in_memory("inputs")

    @property
    def targets(self) -> Any:
        """All targets, where they are in memory, as `inputs` are; None where there are none."""
        return self._in_memory("targets")

    @property
    def in_parts(self) -> bool:
        """Whether the samples are in shards, each of which may be read by another process."""
        return False

    def first(self) -> EvalData:
        """Return a part of the samples, for what is not measured on all; all where they are in one part."""
        return self

    @property
    def does_not_fit(self) -> str:
        """What to say of a KPI of labels and numbers, where the task has none; else empty."""
        return ""

    def _in_memory(self, name: str) -> Any:
        if not self.source.in_memory:
            raise DataError(f"{name} are not in memory as a whole. Iterate eval_data.batches()")
        return getattr(self.source, name)

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield batches of this size (the data's own by default), the last one possibly smaller.

        Raises:
            DataError: a batch whose targets do not fit its inputs, other inputs than at the first reading, fewer or
                more samples than announced, or no sample at all.
        """
        size = batch_size or self.batch_size
        start = number = 0
        for number, (inputs, targets) in enumerate(guarded(self.source.batches(size))):
            count = self._checked(inputs, targets, start)
            ids = range(start, start + count) if self.ids is None else self.ids[start : start + count]
            if targets is not None:
                refuse_missing(targets, ids)
            checksum = self._readings.checksum(size, number, inputs, start)
            yield Batch(inputs=inputs, targets=targets, ids=ids, checksum=checksum)
            start += count
        self._check_length(start, size)
        self._readings.check_end(size, number + 1 if start else 0)

    def _checked(self, inputs: Any, targets: Any, start: int) -> int:
        """Return how many samples a batch has."""
        count = rows(inputs)
        if targets is not None:
            check_sequence("targets", targets)
            if len(targets) != count:
                raise DataError(f"a batch has {count} inputs and {len(targets)} targets; expected one per input")
        if self.ids is not None and start + count > len(self.ids):
            raise DataError(f"there are more samples than the {len(self.ids)} ids; expected one id per sample")
        return count

    def _check_length(self, count: int, size: int) -> None:
        announced = self.source.length
        if announced is not None and count != announced:
            raise DataError(
                f"the data announce {announced} samples by len(), and reading them gave {count}. Correct __len__, or "
                "look for what ends the reading early (a StopIteration raised in __getitem__ ends it silently)"
            )
        if count == 0 and not self._readings.known(size):
            raise DataError("the evaluation data is empty: reading it gave no sample")
        if self.ids is not None and count != len(self.ids):
            raise DataError(f"there are {count} samples and {len(self.ids)} ids; expected one id per sample")

    def expect(self, batch_size: int, checksums: Sequence[int]) -> None:
        """Refuse outputs of other inputs than these, such as those that another process read.

        Args:
            batch_size: of the forward pass that gave the outputs.
            checksums: of its batches.

        Raises:
            DataError: naming the first batch that differs.
        """
        if self.source.in_memory and not self._readings.known(batch_size):
            for _ in self.batches(batch_size):
                pass  # the reading is remembered
        self._readings.expect(batch_size, checksums)

    @property
    def notes(self) -> list[str]:
        """What was decided about the data that the user did not write, for the report."""
        return [*self._columns.notes, *self.source.notes]

    def mapped(self, transform: Callable[[Any], Any]) -> EvalData:
        """Return the same samples with changed inputs; they are changed batch by batch, when they are read.

        Args:
            transform: takes the inputs of a batch (a copy) and returns as many others.
        """
        return self.derived(MappedSource(self.source, transform, self._chunks))

    def derived(self, source: Source, ids: Sequence[Any] | None = None) -> EvalData:
        """Return data that are read in the same way from another source of the same samples, or of some of them.

        Args:
            source: gives the samples; groups stay those of the samples as they were.
            ids: of the samples, if these are some.
        """
        other = copy.copy(self)
        other.source = source
        other.ids = self.ids if ids is None else ids
        other._grouped_by = self._grouped_by or self  # noqa: SLF001 - a copy of this very class
        other._readings = Readings(in_memory=False)  # noqa: SLF001
        other._serial, other._fingerprint = next(_serial), None  # noqa: SLF001
        other._form = None  # noqa: SLF001
        return other

    def read_as(self, task: str, outputs: str) -> EvalData:
        """Return the same samples whose outputs mean what they meant before."""
        other = copy.copy(self)
        other.task, other.outputs = task, outputs
        return other

    def _chunks(self, batch_size: int) -> Iterator[Chunk]:
        return ((batch.inputs, batch.targets) for batch in self.batches(batch_size))

    def sensitive_names(self) -> list[str]:
        """Return the names of the sensitive features; their values are not read."""
        return list(self._features["sensitive"])

    def sensitive(self, names: Sequence[str] | None = None, missing: Any = None, bins: Any = None) -> list[Grouping]:
        """Return the groups of sensitive features, of all by default.

        Args:
            names: of the features.
            missing: what becomes of samples without a value; as the data say by default.
            bins: of numbers; as the data say by default.

        Raises:
            DataError: missing values, another length, or a column that is not there.
        """
        return self._grouped("sensitive", names, missing, bins)

    def slices(self, missing: Any = None, bins: Any = None) -> list[Grouping]:
        """Return the slices of each feature that names some.

        Raises:
            DataError: as for `sensitive`.
        """
        return self._grouped("slice", None, missing, bins)

    def kinds(self) -> list[Grouping]:
        """Return the slices that a breakdown shows: of two samples or more on average.

        Samples without a value are in no slice, unless `missing` says otherwise.

        Raises:
            DataError: as for `slices`.
        """
        groupings = self.slices(None if self._treatment.missing else "exclude")
        return [grouping for grouping in groupings if 2 * len(grouping.names) <= len(grouping.codes)]

    def _grouped(self, what: str, names: Sequence[str] | None, missing: Any, bins: Any) -> list[Grouping]:
        treatment = treatment_of(missing, bins).over(self._treatment)
        features = self._features[what]
        for name in features if names is None else names:
            if (what, name, treatment) not in self._groupings:
                self._groupings[what, name, treatment] = grouping(name, features[name], self._read, what, treatment)
        return [self._groupings[what, name, treatment] for name in (features if names is None else names)]

    def _read(self, function: Callable[[Any], Any]) -> Any:
        """Apply a function to all inputs, batch by batch where they are not in memory."""
        if self._grouped_by is not None:
            return self._grouped_by._read(function)  # noqa: SLF001 - an object of this very class
        if self.source.in_memory:
            return as_values(function(self.inputs))
        return np.concatenate([as_values(function(batch.inputs)) for batch in self.batches()])

    def fingerprint(self) -> str:
        """Hash the content, independent of batch size; datasets and loaders are read for it once.

        Returns:
            `data:` and 32 hexadecimal digits of BLAKE2b over shapes, dtypes and bytes of inputs and targets.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of((batch.inputs, batch.targets) for batch in self.batches())
        return self._fingerprint

    def row_hashes(self, wanted: Collection[str] | None = None, most: int = 64) -> dict[str, str]:
        """Hash the inputs of single samples, by id: of the first `most`, or of all that are wanted and there."""
        return hash_rows(((batch.inputs, batch.ids) for batch in self.batches()), wanted, most)

    def form(self) -> str:
        """Return the names and the shapes of the first sample's inputs, read alone: in a batch they may be padded."""
        if self._form is None:
            self._form = form_of(next(iter(self.batches(1))).inputs)
        return self._form

    def ids_hash(self) -> str | None:
        """Hash the ids of the samples, in any order; None without ids."""
        if self.ids is None:
            return None
        return hashlib.blake2b("\0".join(sorted(map(str, self.ids))).encode(), digest_size=16).hexdigest()

    @property
    def reading(self) -> str:
        """How outputs are read: what is stated of the task, their meaning, the head and the classes."""
        classes = None if self.classes is None else list(self.classes)
        return f"{self.task}|{self.outputs}|{self.select}|{classes}"

    @property
    def key(self) -> str:
        """What measurements are shared by: the content in memory, the object for datasets and loaders.

        How outputs are read is part of it, and so is the object where it brings ids.
        """
        by_content = self.source.in_memory and self.ids is None
        what = self.fingerprint() if by_content else f"object-{self._serial}"
        return f"{what}|{self.reading}"
