"""The inputs that are timed: a few batches that represent the whole evaluation set, drawn at random and by size."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import duplicate, leaves, rows, take
from pytest_modelbench.data.chunks import guarded
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError

MOST_ALIKE = 16
MOST_BY_SIZE = 256
FEWEST = 4
HELD_BYTES = 256 * 2**20
LARGEST_BATCH = 256

Sizes = npt.NDArray[np.int64]


def _silent() -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Inputs of some full batches, each of which represents equally many of all.

    `batches` begin with one of median size, and any few in a row are spread over all sizes. `sizes` are theirs: the
    numbers of elements, or of characters. `of` counts the full batches that they are drawn from, and `largest` is the
    largest that was seen among those. `whole` is False if reading all of the data would have taken too long.
    """

    batches: Sequence[Any]
    sizes: Sequence[int]
    of: int
    largest: Any
    largest_size: int
    whole: bool = True

    @property
    def differ(self) -> bool:
        """Whether the batches are of different sizes."""
        return min(self.sizes) != self.largest_size

    def copies(self) -> list[Any]:
        """Return the batches with arrays of their own, for a model may write into what it is given."""
        return [duplicate(batch) for batch in self.batches]

    def some(self, most: int = MOST_ALIKE) -> list[Any]:
        """Return copies of a few batches, the largest among them."""
        copies = [duplicate(batch) for batch in self.batches[:most]]
        if self.largest_size > max(self.sizes[:most]):
            copies[-1 if len(copies) == most and most > 1 else len(copies) :] = [duplicate(self.largest)]
        return copies

    def told(self) -> dict[str, Any]:
        """Return what the report says of the draw, as JSON types."""
        sizes = {"smallest": min(self.sizes), "median": self.sizes[0], "largest": self.largest_size}
        return {"batches": len(self.batches), "of": self.of, "whole": self.whole, "sizes": sizes}


class Draws:
    """Draws from one evaluation set: each batch size once, for data may have to be read for it.

    Args:
        data: the evaluation set.
        seed: of the draw.
        seconds: how long data that can only be read through are read.
        beat: called after each batch that is read.
        guard: makes the context that ends a batch which never comes.
    """

    def __init__(
        self,
        data: EvalData,
        *,
        seed: int = 0,
        seconds: float = math.inf,
        beat: Callable[[], None] = _silent,
        guard: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self._data = data
        self._seed = seed
        self._seconds = seconds
        self._beat = beat
        self._guard = guard
        self._known: dict[int, Drawn] = {}

    def of(self, batch_size: int) -> Drawn:
        """Return batches of a size.

        Raises:
            DataError: there are fewer samples than one batch needs, or they cannot be read.
        """
        if batch_size not in self._known:
            drawn = self._drawn(batch_size, MOST_BY_SIZE)
            if drawn is None:
                samples = sum(len(batch.ids) for batch in self._data.batches(batch_size))
                raise DataError(
                    f"a timed batch has {batch_size} samples, and the evaluation data only {samples}. "
                    f"Write batch_size={samples} or less"
                )
            self._known[batch_size] = drawn
        return self._known[batch_size]

    def few(self, batch_size: int, most: int) -> list[Any]:
        """Return copies of very few batches of a size, none where there is no full one."""
        if not self._can_pick and batch_size <= LARGEST_BATCH:
            wide = self._known.get(LARGEST_BATCH) or self._drawn(LARGEST_BATCH, MOST_BY_SIZE)
            if wide is not None:  # cut from one reading: to read the data for each size takes too long
                self._known[LARGEST_BATCH] = wide
                return [duplicate(take(batch, 0, batch_size)) for batch in wide.batches[:most]]
        drawn = self._drawn(batch_size, most)
        return [] if drawn is None else drawn.copies()[:most]

    @property
    def _can_pick(self) -> bool:
        source = self._data.source
        return source.in_memory or (source.picks and source.length is not None)

    def _drawn(self, batch_size: int, most: int) -> Drawn | None:
        rng = np.random.default_rng(self._seed)
        if self._data.source.in_memory:
            return _from_memory(self._data, batch_size, most, rng)
        with self._guard():
            if self._can_pick:
                return self._picked(batch_size, most, rng)
            return self._read_through(batch_size, rng)

    def _picked(self, batch_size: int, most: int, rng: np.random.Generator) -> Drawn | None:
        """Read batches here and there: more of them where they turn out to be of different sizes."""
        source = self._data.source
        count = (source.length or 0) // batch_size
        if not count:
            return None

        def read(wanted: int) -> list[Any]:
            starts = [int(at) * batch_size for at in _one_of_each(count, wanted, rng)]
            picked = []
            for inputs, _ in guarded(source.batches_at(starts, batch_size)):
                picked.append(inputs)
                self._beat()
            return picked

        batches = read(min(most, FEWEST))
        wanted = _affordable(most, batches)
        if wanted > len(batches) and count > len(batches):
            batches = read(min(wanted, MOST_ALIKE))
        if wanted > len(batches) and count > len(batches) and len({size_of(batch) for batch in batches}) > 1:
            batches = read(wanted)
        return _arranged(batches, [size_of(batch) for batch in batches], count)

    def _read_through(self, batch_size: int, rng: np.random.Generator) -> Drawn | None:
        """Read all batches once and keep a uniform sample of them (reservoir sampling, Vitter's algorithm R)."""
        kept: list[tuple[int, Any]] = []
        largest: tuple[int, Any] = (-1, None)
        count, most, end, whole = 0, MOST_BY_SIZE, time.monotonic() + self._seconds, True
        for batch in self._data.batches(batch_size):
            self._beat()
            if len(batch.ids) < batch_size:
                break
            size = size_of(batch.inputs)
            if size > largest[0]:
                largest = (size, duplicate(batch.inputs))
            at = count if count < most else int(rng.integers(0, count + 1))
            count += 1
            if at < len(kept):
                kept[at] = (size, duplicate(batch.inputs))
            elif at < most:
                kept.append((size, duplicate(batch.inputs)))
                most = max(len(kept), _affordable(MOST_BY_SIZE, [inputs for _, inputs in kept[:FEWEST]]))
            if time.monotonic() > end:
                whole = False
                break
        if not count:
            return None
        if len({size for size, _ in kept}) == 1:
            kept = kept[:MOST_ALIKE]
        drawn = _arranged([inputs for _, inputs in kept], [size for size, _ in kept], count, largest)
        return Drawn(**{**vars(drawn), "whole": whole})


def _from_memory(data: EvalData, batch_size: int, most: int, rng: np.random.Generator) -> Drawn | None:
    """Draw from arrays, whose sizes are known without a copy of any."""
    inputs = data.inputs
    count = rows(inputs) // batch_size
    if not count:
        return None
    by_row = row_sizes(inputs)
    if by_row is None:
        sizes = np.full(count, size_of(take(inputs, 0, batch_size)))
    else:
        sizes = by_row[: count * batch_size].reshape(count, batch_size).sum(axis=1)
    differ = bool((sizes != sizes[0]).any())
    order = np.argsort(sizes, kind="stable")
    (widest,) = _batches(data, [int(order[-1])], batch_size)
    wanted = _affordable(most if differ else min(most, MOST_ALIKE), [widest])
    chosen = order[_one_of_each(count, wanted, rng)]
    batches = _batches(data, chosen.tolist(), batch_size)
    return _arranged(batches, sizes[chosen].tolist(), count, (int(sizes[order[-1]]), widest))


def _batches(data: EvalData, numbers: Sequence[int], batch_size: int) -> list[Any]:
    starts = [number * batch_size for number in numbers]
    return [inputs for inputs, _ in guarded(data.source.batches_at(starts, batch_size))]


def _one_of_each(count: int, most: int, rng: np.random.Generator) -> Sizes:
    """Return the positions of at most `most` of `count`, one at random from each of as many equal parts."""
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most + 1)
    return np.floor(edges[:-1] + rng.random(most) * np.diff(edges)).astype(np.int64)


def _affordable(most: int, batches: Sequence[Any]) -> int:
    """Return how many batches may be held."""
    widest = max(sum(_bytes_of(leaf) for leaf in leaves(batch)) for batch in batches)
    return min(most, max(FEWEST, HELD_BYTES // max(1, widest)))


def _arranged(
    batches: Sequence[Any], sizes: Sequence[int], count: int, largest: tuple[int, Any] | None = None
) -> Drawn:
    """Order batches so that any few in a row are spread over all sizes, one of median size first."""
    by_size = np.argsort(np.asarray(sizes), kind="stable")
    order = by_size[np.argsort(np.argsort(_halves(len(batches))))]
    size, widest = largest or (sizes[by_size[-1]], batches[by_size[-1]])
    return Drawn(
        batches=[batches[at] for at in order],
        sizes=[int(sizes[at]) for at in order],
        of=count,
        largest=widest,
        largest_size=int(size),
    )


def _halves(count: int) -> npt.NDArray[np.float64]:
    """Return the first numbers of van der Corput's sequence: 1/2, 1/4, 3/4, 1/8, 5/8, ..."""
    points, numbers, unit = np.zeros(count), np.arange(1, count + 1), 0.5
    while numbers.any():
        points += unit * (numbers % 2)
        numbers, unit = numbers // 2, unit / 2
    return points


def row_sizes(inputs: Any) -> Sizes | None:
    """Return how large each row is, or None where all rows are alike because they are rows of plain arrays."""
    ragged = [part for leaf in leaves(inputs) for part in _ragged_parts(leaf)]
    if not ragged:
        return None
    sizes: Sizes = np.asarray([[_size_of_item(item) for item in part] for part in ragged], dtype=np.int64).sum(axis=0)
    return sizes


def _ragged_parts(leaf: Any) -> Iterator[Iterable[Any]]:
    """Yield lists, and arrays and columns of objects."""
    if hasattr(leaf, "columns"):
        for at in range(len(leaf.columns)):
            yield from _ragged_parts(leaf.iloc[:, at])
    elif isinstance(leaf, list):
        yield leaf
    elif getattr(getattr(leaf, "dtype", None), "kind", "") in {"O", "U", "S"}:
        yield leaf.tolist() if hasattr(leaf, "tolist") else list(leaf)


def size_of(tree: Any) -> int:
    """Return the number of elements of a batch; a text has as many as it has characters.

    >>> size_of({"ids": np.zeros((2, 8)), "texts": ["ab", "cde"]})
    21
    """
    total = 0
    for leaf in leaves(tree):
        ragged = list(_ragged_parts(leaf))
        total += sum(_size_of_item(item) for part in ragged for item in part)
        columns = len(ragged) if hasattr(leaf, "columns") else 0
        if not ragged or columns:
            shape = getattr(leaf, "shape", None)
            total += (math.prod(shape) if shape is not None else len(leaf)) - columns * len(leaf)
    return total


def _size_of_item(item: Any) -> int:
    """Return the number of elements of a row: characters of a text, cells of an array, pixels of an image."""
    try:
        if isinstance(item, str | bytes):
            return len(item)
        shape = getattr(item, "shape", None)
        if shape is None and isinstance(getattr(item, "size", None), tuple):
            shape = item.size
        if shape is not None:
            return math.prod(shape)
        if isinstance(item, Mapping):
            return sum(_size_of_item(value) for value in item.values())
        if isinstance(item, list | tuple) and item and not isinstance(item[0], int | float):
            return sum(_size_of_item(value) for value in item)
        return len(item) if isinstance(item, Sized) else 1
    except Exception:  # noqa: BLE001 - an object of the user's that has no size counts as one
        return 1


def _bytes_of(leaf: Any) -> int:
    size = getattr(leaf, "nbytes", None)
    return size if isinstance(size, int) else 8 * size_of(leaf)
