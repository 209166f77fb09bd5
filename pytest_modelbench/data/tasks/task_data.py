"""`TaskData`: what the data of all these tasks have in common."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arguments import check_sequence, refuse_unknown
from pytest_modelbench.data.arrays import rows, shapes
from pytest_modelbench.data.chunks import Chunk, Source
from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.data.text_checks import group_of
from pytest_modelbench.errors import DataError, DoesNotFit, ModelError, message_of, shown

Array = npt.NDArray[Any]
Samples = Mapping[str, Sequence[Array]]
"""What is read of some samples: named parts, each with one array for each sample, whose first axis may vary."""
COMMON = (
    *("inputs", "targets", "target", "columns", "task", "outputs", "select", "ids", "classes", "batch_size"),
    *("sensitive", "slices", "dtype", "missing", "bins", "collate", "group"),
)


class TaskData(EvalData):
    """Samples whose outputs are read in a form of the task's own.

    Args:
        inputs: as of `EvalData`; a list may hold arrays of different shapes, one for each sample.
        targets: one for each sample, in the form of the task.
        task: the task.
        collate: makes the model's inputs of a list of samples, as `collate_fn` of a `DataLoader` does: it gets inputs
            and returns a tensor, a tuple or a mapping with a row for each sample. Of a `Dataset` it gets the samples
            as the dataset returns them, and returns `(inputs, targets)`.
        group: what each sample belongs to, such as a video, a document or a subject: intervals resample groups. By
            default each sample is by itself.
        classes: the names of the classes in the order of their numbers from 0, or a mapping of numbers to names.
        own: the arguments of the task alone, by name.
        common: the arguments of `EvalData`.

    Raises:
        DataError: as for `EvalData`; another number of groups than of samples; `collate` that cannot be called.
    """

    TASK: ClassVar[str]
    UNIT: ClassVar[str] = "sample"
    """What is independent, in the words of the field: an image, a sentence, a series."""
    KPIS: ClassVar[str] = ""
    """The KPIs to write in the place of one that does not fit."""

    PAIRS: ClassVar[bool] = True
    """Whether a tuple of two without `targets` is inputs and targets, since no KPI does without targets."""

    def __init__(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        task: str | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        group: Sequence[Hashable] | None = None,
        classes: Any = None,
        own: Mapping[str, Any] | None = None,
        **common: Any,
    ) -> None:
        self.own = dict(own or {})
        takes = (*COMMON, *self.own)
        refuse_unknown(f"EvalData(task={self.TASK!r})", [name for name in common if name not in takes], takes, {})
        if task not in {None, self.TASK}:
            raise DataError(f"task: found {shown(task)}, expected {self.TASK!r}")
        if collate is not None and not callable(collate):
            raise DataError(f"collate: found {shown(collate)}, expected a function of a list of samples")
        inputs, targets = self._pair(inputs, targets)
        inputs, collated = _datasets_collated(inputs, collate)
        super().__init__(inputs, _listed(targets), **common)
        if collate is not None and not collated:
            self.source = CollatedSource(self.source, collate)
        self.task = self.TASK
        self.names = class_names(classes)
        self.classes = list(self.names.values()) or None
        self.group = None if group is None else membership("group", group)
        if self.group is not None and self.source.length not in {None, len(self.group)}:
            raise DataError(
                f"there are {self.source.length} samples and {len(self.group)} groups; expected one for each sample"
            )

    def _pair(self, inputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return inputs and targets, also where both came as one tuple."""
        if targets is None and self.PAIRS and isinstance(inputs, tuple) and len(inputs) == 2:
            inputs, targets = inputs
        return inputs, targets

    @abstractmethod
    def targets_of(self, batch: Batch) -> Samples:
        """Return the targets of a batch in the task's own form.

        Raises:
            DataError: they are in another form; the message names the sample.
        """

    @abstractmethod
    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return what a model answered for a batch in the task's own form, as small as the KPIs allow.

        Args:
            output: what the model returned.
            batch: what it was asked.
            model: its name, for messages.

        Raises:
            ModelError: the output is in another form, or does not fit the batch.
        """

    def place(self, batch: Batch, position: int) -> str:
        """Name a sample of a batch for messages."""
        return f"the sample {shown(batch.ids[position])}"

    def readable(self, parts: Samples) -> list[Any]:
        """Return parts of targets or answers as a user's metric gets them: one entry for each sample.

        Returns:
            The array of each sample if there is one part, else a dict of its arrays by the names of parts.
        """
        if len(parts) == 1:
            return list(next(iter(parts.values())))
        return [dict(zip(parts, arrays, strict=True)) for arrays in zip(*parts.values(), strict=True)]

    @property
    def does_not_fit(self) -> str:
        """What to say of a KPI of labels and numbers."""
        return f"it is for one label or number for each sample, and the task is {self.TASK}. Write {self.KPIS}"

    @property
    def reading(self) -> str:
        """How outputs are read, with the arguments of the task."""
        return f"{super().reading}|{sorted(self.names.items())}|{sorted(self.own.items())}"


class CollatedSource(Source):
    """Another source's samples, of whose inputs a function makes what the model takes."""

    def __init__(self, source: Source, collate: Callable[[list[Any]], Any]) -> None:
        self._source = source
        self._collate = collate
        self.notes = source.notes

    @property
    def length(self) -> int | None:
        """As of the other source."""
        return self._source.length

    @property
    def picks(self) -> bool:  # type: ignore[override] # a constant elsewhere
        """As of the other source."""
        return self._source.picks

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield the other source's batches, collated.

        Raises:
            DataError: the function raised, or gave another number of samples.
        """
        return map(self._collated, self._source.batches(batch_size))

    def batches_at(self, starts: Sequence[int], batch_size: int) -> Iterator[Chunk]:
        """Yield the other source's batches at some samples, collated."""
        return map(self._collated, self._source.batches_at(starts, batch_size))

    def _collated(self, chunk: Chunk) -> Chunk:
        inputs, targets = chunk
        name = getattr(self._collate, "__name__", type(self._collate).__name__)
        try:
            collated = self._collate(list(inputs))
            count = rows(collated)
        except Exception as error:
            raise DataError(f"collate {name} raised {type(error).__name__}: {message_of(error)}") from error
        if count != rows(inputs):
            raise DataError(
                f"collate {name} makes {shapes(collated)} of {rows(inputs)} samples; expected a row for each"
            )
        return collated, targets


def task_data(data: EvalData | None) -> TaskData:
    """Return data of one of these tasks.

    Raises:
        DoesNotFit: they are of another task.
    """
    if not isinstance(data, TaskData):
        raise DoesNotFit("it needs data of another task. Write EvalData(..., task=...)")
    return data


def class_names(classes: Any) -> dict[int, str]:
    """Return the names of classes by their numbers; none where none are stated.

    Raises:
        DataError: neither a list of names nor a mapping of whole numbers to names, or a name twice.
    """
    if classes is None:
        return {}
    listed = isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str | bytes)
    if not listed and not isinstance(classes, Mapping):
        raise DataError(f"classes: found {shown(classes)}, expected a list of names, or numbers mapped to names")
    named = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(classes))
    whole = all(isinstance(number, int | np.integer) and not isinstance(number, bool) for number in named)
    if not whole or not named:
        raise DataError(f"classes: found {shown(classes)}, expected whole numbers with a name each")
    names = {int(number): str(name) for number, name in named.items()}
    if len(set(names.values())) < len(names):
        raise DataError(f"classes: a name stands twice in {shown(list(names.values()))}")
    return names


def membership(name: str, values: Any) -> list[Hashable]:
    """Return what each sample belongs to, as plain values: two tensors of one number are not equal as keys.

    Raises:
        DataError: one is missing, or cannot name a group.
    """
    check_sequence(name, values)
    return [group_of(value, f"sample {position}", name) for position, value in enumerate(values)]


def _listed(targets: Any) -> Any:
    """Return targets in a tuple or in an array of objects as a list: they are one for each sample, not heads."""
    of_objects = isinstance(targets, np.ndarray) and targets.dtype == object and targets.ndim == 1
    return list(targets) if of_objects or isinstance(targets, tuple) else targets


def count_of(output: Any, model: str, what: str) -> int:
    """Return of how many samples an output is.

    Raises:
        ModelError: it is a single value.
    """
    if not hasattr(output, "__len__") or getattr(output, "ndim", 1) == 0:
        raise ModelError(f"{model} returned {shown(output)}, expected {what} for each sample")
    return len(output)


def _datasets_collated(inputs: Any, collate: Callable[[list[Any]], Any] | None) -> tuple[Any, bool]:
    """Return a dataset as a loader whose samples may have different shapes, and whether `collate` is in it."""
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is None or not isinstance(inputs, torch_data.Dataset):
        return inputs, False
    return torch_data.DataLoader(inputs, collate_fn=collate or side_by_side), collate is not None


def side_by_side(samples: list[Any]) -> Any:
    """Return samples of a dataset as a batch: stacked where all have one shape, else as lists, targets always so."""
    from torch.utils.data import default_collate

    if not all(isinstance(sample, tuple | list) and len(sample) == 2 for sample in samples):
        return default_collate(samples)
    inputs, targets = [sample[0] for sample in samples], [sample[1] for sample in samples]
    alike = len({shapes(value) for value in inputs}) == 1 and hasattr(inputs[0], "shape")
    if alike or isinstance(inputs[0], Mapping):
        return default_collate(inputs), targets
    return tuple(inputs), tuple(targets)
