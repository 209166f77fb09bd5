"""What is known of one shard once it was read: how many samples, which ids, the form of inputs and targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arguments import named_leaves
from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.data.missing import as_values
from pytest_modelbench.data.sample_hashes import Hashes, hashes_of
from pytest_modelbench.errors import DataError, ModelbenchError

MOST_CLASSES = 4096
MOST_NAMED = 3
CLASSES = ("multiclass", "binary")
KINDS = {"i": "integers", "u": "integers", "f": "floats", "b": "booleans", "U": "texts", "S": "texts"}
Shape = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One input: its name, the shape of a row with None where rows differ, and its type of numbers."""

    name: str
    shape: Shape | None
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a shard; equal for the same samples in another order.

    Attributes:
        name: what the shard is called.
        n: how many samples it has.
        ids: the wrapped sum and the exclusive or of the hashes of all ids, 16 hexadecimal digits each.
        inputs: the form of the inputs.
        targets: the kind of the targets, such as integers or texts; empty where there are none.
        classes: the classes among the targets; None where the task has none, or for too many.
        repeated: some ids that are there more than once.
        kind: of the ids, such as integers or texts.
    """

    name: str
    n: int
    ids: str
    inputs: tuple[Part, ...] = ()
    targets: str = ""
    classes: tuple[Any, ...] | None = None
    repeated: tuple[str, ...] = ()
    kind: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self) | {
            "inputs": [
                [part.name, None if part.shape is None else list(part.shape), part.dtype] for part in self.inputs
            ],
            "classes": None if self.classes is None else list(self.classes),
            "repeated": list(self.repeated),
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Self:
        """Return the facts that `to_json` gave."""
        parts = ((name, None if shape is None else tuple(shape), dtype) for name, shape, dtype in known["inputs"])
        classes = known["classes"]
        return cls(
            **{name: known[name] for name in ("name", "n", "ids", "targets", "kind")},
            inputs=tuple(Part(name=name, shape=shape, dtype=dtype) for name, shape, dtype in parts),
            classes=None if classes is None else tuple(classes),
            repeated=tuple(known["repeated"]),
        )


def digest_of(hashes: Hashes) -> str:
    """Return the wrapped sum and the exclusive or of hashes, 16 hexadecimal digits each.

    >>> digest_of(np.array([1, 2, 3], dtype=np.uint64))
    '00000000000000060000000000000000'
    """
    total = int(hashes.sum(dtype=np.uint64)) if len(hashes) else 0
    return f"{total:016x}{int(np.bitwise_xor.reduce(hashes)) if len(hashes) else 0:016x}"


def joined_digest(digests: Sequence[str]) -> str:
    """Return the digest of all samples of several shards.

    >>> joined_digest(["ffffffffffffffff0000000000000001", "00000000000000020000000000000003"])
    '00000000000000010000000000000002'
    """
    total = sum(int(digest[:16], 16) for digest in digests) % 2**64
    either = 0
    for digest in digests:
        either ^= int(digest[16:], 16)
    return f"{total:016x}{either:016x}"


def facts_of(data: EvalData, name: str) -> Facts:
    """Read the data of a shard once, and return what is known of them.

    Args:
        data: those of the shard.
        name: what the shard is called.

    Raises:
        DataError: the ids are missing, or neither whole numbers nor texts; the message names the shard.
    """
    return gather(data, name).facts()


def gather(data: EvalData, name: str) -> Gathered:
    """Read the data of a shard once; as `facts_of`, with the hashes of ids.

    Raises:
        DataError: as for `facts_of`.
    """
    gathered = Gathered(name, data.task)
    try:
        if data.ids is None:
            raise DataError("it has no ids. Write EvalData(..., ids=...)")
        for batch in data.batches():
            gathered.add(batch)
    except ModelbenchError as error:
        raise DataError(f"shard {name}: {error}") from error
    return gathered


class Gathered:
    """Facts of a shard while its batches are read, in any place that reads them.

    Args:
        name: what the shard is called.
        task: of the data.
    """

    def __init__(self, name: str, task: str | None) -> None:
        self.name, self.task = name, task
        self._hashes: list[Hashes] = []
        self._ids: list[Sequence[Any]] = []
        self._parts: dict[str, Part] = {}
        self._kinds: set[str] = set()
        self._id_kinds: set[str] = set()
        self._classes: set[Any] | None = set() if task in CLASSES else None

    def add(self, batch: Batch) -> None:
        """Take a batch.

        Raises:
            DataError: an id is missing, or is neither a whole number nor a text.
        """
        self._hashes.append(hashes_of(batch.ids))
        self._id_kinds.update(_kinds_of_ids(batch.ids))
        self._ids.append(batch.ids)
        for part in _parts_of(batch.inputs):
            self._parts[part.name] = part if part.name not in self._parts else _both(self._parts[part.name], part)
        if batch.targets is not None:
            self._add_targets(batch.targets)

    @property
    def hashes(self) -> Hashes:
        """The hashes of all ids so far, in the order of reading."""
        return np.concatenate(self._hashes) if self._hashes else np.empty(0, dtype=np.uint64)

    def facts(self) -> Facts:
        """Return what is known."""
        hashes = self.hashes
        return Facts(
            name=self.name,
            n=len(hashes),
            ids=digest_of(hashes),
            inputs=tuple(self._parts.values()),
            targets=" or ".join(sorted(self._kinds)),
            classes=None if self._classes is None else tuple(sorted(self._classes, key=_in_order)),
            repeated=tuple(self._repeated(hashes)),
            kind=" and ".join(sorted(self._id_kinds)),
        )

    def _repeated(self, hashes: Hashes) -> Iterator[str]:
        """Yield some ids that occur more than once: ids of equal hashes are compared themselves."""
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        alike = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])[:MOST_NAMED]
        if not len(alike):
            return
        ids = [_plain(sample) for part in self._ids for sample in part]
        for twice in alike:
            found = [ids[at] for at in np.flatnonzero(hashes == twice)]
            if len(set(found)) < len(found):
                yield str(found[0])

    def _add_targets(self, targets: Any) -> None:
        values = _values(targets)
        if values is None:
            self._kinds.add(f"a {type(targets[0]).__name__} for each sample")
            return
        width = "" if values.ndim == 1 or values.shape[1:] == (1,) else f" of shape {values.shape[1:]}"
        self._kinds.add(f"{KINDS.get(values.dtype.kind, str(values.dtype))}{width}")
        if self._classes is not None and values.dtype.kind in "iufbU":
            self._classes.update(np.unique(values).tolist())
            if len(self._classes) > MOST_CLASSES:
                self._classes = None


def _kinds_of_ids(ids: Sequence[Any]) -> set[str]:
    """Return whether ids are integers or texts; `hashes_of` has refused anything else."""
    if isinstance(ids, range):
        return {"integers"}
    return {"texts" if issubclass(kind, str | bytes) else "integers" for kind in {type(sample) for sample in ids}}


def _values(targets: Any) -> npt.NDArray[Any] | None:
    """Return targets as an array; None for lists of arrays or of mappings, which other tasks have."""
    if is_tensor(targets):
        values = as_array(targets)
    else:
        try:
            values = as_values(targets)
        except ValueError:
            return None
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.ravel().tolist()):
        values = values.astype(str)
    return None if values.dtype.kind == "O" else values


def _parts_of(inputs: Any) -> Iterator[Part]:
    for place, leaf in named_leaves(inputs):
        if hasattr(leaf, "columns"):
            for column, dtype in zip(leaf.columns, leaf.dtypes, strict=True):
                yield Part(name=f"{place}[{str(column)!r}]", shape=(), dtype=str(dtype))
        elif hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            yield Part(name=place, shape=tuple(map(int, leaf.shape[1:])), dtype=_told(leaf.dtype))
        else:
            yield _of_list(place, leaf)


def _of_list(place: str, rows: Sequence[Any]) -> Part:
    """Return the form of a list: of texts, numbers, or arrays that may differ in shape."""
    if not hasattr(rows[0], "shape"):
        kinds = sorted({type(row).__name__ for row in rows})
        return Part(name=place, shape=None, dtype=f"list of {' and '.join(kinds)}")
    parts = (Part(name=place, shape=tuple(map(int, row.shape)), dtype=_told(row.dtype)) for row in rows)
    both = next(parts)
    for part in parts:
        both = _both(both, part)
    return both


def _told(dtype: Any) -> str:
    """Return a type of numbers; texts of any width are one type."""
    return "str" if getattr(dtype, "kind", "") == "U" else str(dtype)


def _both(one: Part, other: Part) -> Part:
    """Return what two batches have in common."""
    shape = common_shape(one.shape, other.shape)
    same = one.dtype == other.dtype
    return Part(name=one.name, shape=shape, dtype=one.dtype if same else f"{one.dtype} and {other.dtype}")


def common_shape(one: Shape | None, other: Shape | None) -> Shape | None:
    """Return a shape with None where two differ; None where they have another number of axes.

    >>> common_shape((3, 32), (3, 48)), common_shape((3,), (3, 1))
    ((3, None), None)
    """
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))


def _in_order(value: Any) -> tuple[str, Any]:
    return ("", value) if not isinstance(value, str) else ("text", value)


def _plain(sample: Any) -> Any:
    return sample.item() if hasattr(sample, "item") else sample


def is_count(value: Any) -> bool:
    """Whether a value of a file is a number of samples."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and value >= 0 and math.isfinite(value)
