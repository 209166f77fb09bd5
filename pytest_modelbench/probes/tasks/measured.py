"""The answers of a model in a task's own form, sample by sample, and how workers share them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ragged:
    """An array for each sample, all in one: sample i has `values[offsets[i]:offsets[i + 1]]`.

    >>> ragged = Ragged.of([np.array([1, 2]), np.array([], dtype=int), np.array([3])])
    >>> ragged[0].tolist(), len(ragged), ragged.owner.tolist()
    ([1, 2], 3, [0, 0, 2])
    """

    values: Array
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Sequence[Array]) -> Self:
        """Join arrays along their first axis; their other axes are alike."""
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays], dtype=np.int64)])
        return cls(np.concatenate(list(arrays)) if len(arrays) else np.empty(0), offsets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, sample: int) -> Array:
        return self.values[self.offsets[sample] : self.offsets[sample + 1]]

    @functools.cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many entries each sample has, (n,)."""
        return np.diff(self.offsets)

    @functools.cached_property
    def owner(self) -> npt.NDArray[np.int64]:
        """The sample of each entry, (entries,)."""
        return np.repeat(np.arange(len(self)), self.sizes)


@dataclass(frozen=True, kw_only=True)
class TaskAnswers:
    """What a model answered for all samples, in the data's order.

    Attributes:
        model: its name.
        task: of the data.
        answers: named parts, as `TaskData.answers_of` gives them.
        targets: named parts, as `TaskData.targets_of` gives them.
        ids: of the samples.
        nonfinite: how many NaN and infinite values each sample's output has, (n,).
        classes: the names of the model's classes in the order of their numbers, where it states them.
        infinite_inputs: the positions of samples with such outputs whose inputs have such values, too.
        derived: what KPIs have derived from these answers, for other KPIs.
    """

    model: str
    task: str
    answers: Mapping[str, Ragged]
    targets: Mapping[str, Ragged]
    ids: Sequence[Any]
    nonfinite: npt.NDArray[np.int64]
    classes: tuple[str, ...] | None = None
    infinite_inputs: Sequence[int] = ()
    derived: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.nonfinite)

    @property
    def plain_ids(self) -> list[Any]:
        """The ids as they are shared and recorded, which tell the same of both models."""
        return [_plain(sample) for sample in self.ids]


def pack(measured: TaskAnswers) -> dict[str, Array]:
    """Return answers as arrays."""
    ids = None if isinstance(measured.ids, range) else measured.plain_ids
    rest = {
        "model": measured.model,
        "task": measured.task,
        "ids": ids,
        "classes": measured.classes,
        "infinite": list(measured.infinite_inputs),
    }
    arrays = {"text": np.array(json.dumps(rest)), "nonfinite": measured.nonfinite}
    for kind, parts in (("answers", measured.answers), ("targets", measured.targets)):
        for name, ragged in parts.items():
            arrays |= {f"{kind}/{name}/values": ragged.values, f"{kind}/{name}/offsets": ragged.offsets}
    return arrays


def _plain(sample: Any) -> str | int | float | None:
    """Return an id as JSON has it: numbers of numpy as those of Python, anything else as reports show it."""
    value = sample.item() if hasattr(sample, "item") else sample
    return value if value is None or isinstance(value, str | int | float) else str(sample)


def unpack(arrays: Mapping[str, Any]) -> TaskAnswers:
    """Return what `pack` packed."""
    rest = json.loads(str(arrays["text"]))
    classes = rest.get("classes")
    return TaskAnswers(
        model=rest["model"],
        task=rest["task"],
        ids=range(len(arrays["nonfinite"])) if rest["ids"] is None else rest["ids"],
        nonfinite=arrays["nonfinite"],
        classes=None if classes is None else tuple(classes),
        infinite_inputs=rest["infinite"],
        answers=_parts(arrays, "answers"),
        targets=_parts(arrays, "targets"),
    )


def _parts(arrays: Mapping[str, Any], kind: str) -> dict[str, Ragged]:
    names = [name.split("/")[1] for name in arrays if name.startswith(f"{kind}/") and name.endswith("/values")]
    return {name: Ragged(arrays[f"{kind}/{name}/values"], arrays[f"{kind}/{name}/offsets"]) for name in names}
