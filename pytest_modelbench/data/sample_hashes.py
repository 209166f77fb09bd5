"""A number of 64 bits for each sample's id: it says which sample this is in any order, process and engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, shown

Hashes = npt.NDArray[np.uint64]
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
TEXT_ROWS = 1 << 14
_BITS_64 = 2**64 - 1


def mixed(numbers: Hashes) -> Hashes:
    """Return SplitMix64's output for each number: every bit depends on every bit, and no two are alike.

    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (OOPSLA 2014).

    >>> hex(int(mixed(np.zeros(1, dtype=np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):
        mixing: Hashes = numbers + _GAMMA
        mixing = (mixing ^ (mixing >> np.uint64(30))) * _FIRST
        mixing = (mixing ^ (mixing >> np.uint64(27))) * _SECOND
    return mixing ^ (mixing >> np.uint64(31))


def hashes_of(ids: Sequence[Any] | npt.NDArray[Any]) -> Hashes:
    """Return the hash of each id, (samples,): equal for equal ids, whether they are in a list or in an array.

    Whole numbers get a hash of their own; the hashes of two texts are equal once in 2**64 pairs.

    Args:
        ids: whole numbers or texts; a range is hashed without a list of it.

    Raises:
        DataError: an id is missing, or is neither a whole number nor a text.

    >>> bool((hashes_of([1, 2]) == hashes_of(range(1, 3))).all())
    True
    >>> bool((hashes_of(["a", "bc"]) == hashes_of(np.array(["a", "bc"], dtype="U9"))).all())
    True
    """
    array: npt.NDArray[Any] = np.arange(ids.start, ids.stop, ids.step) if isinstance(ids, range) else _array(ids)
    if array.dtype.kind in "iu" and array.ndim == 1:
        return mixed(array.astype(np.int64).view(np.uint64) if array.dtype != np.uint64 else array)
    if array.dtype.kind == "U" and array.ndim == 1:
        parts = range(0, len(array), TEXT_ROWS)
        return np.concatenate([_of_texts(array[start : start + TEXT_ROWS]) for start in parts])
    return _of_objects(array)


def _array(ids: Any) -> npt.NDArray[Any]:
    if hasattr(ids, "to_numpy"):
        ids = ids.to_numpy()
    if hasattr(ids, "detach"):
        ids = ids.detach().cpu().numpy()
    if isinstance(ids, np.ndarray):
        return ids
    kinds = {type(name) for name in ids}
    whole = bool not in kinds and all(issubclass(kind, int | np.integer) for kind in kinds)
    if not whole and not kinds <= {str, np.str_}:
        return np.array([*ids, None], dtype=object)[:-1]
    array = np.asarray(ids)
    if array.dtype.kind == "f":  # some are below 2**63 and some not, which have no common type of whole numbers
        return np.array([int(name) & _BITS_64 for name in ids], dtype=np.uint64)
    return array


def _of_texts(texts: npt.NDArray[np.str_]) -> Hashes:
    """Return hashes of texts: each character is mixed in, so that how wide the array is makes no difference."""
    width = texts.dtype.itemsize // 4
    letters = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), width)
    hashes = np.full(len(texts), len("text"), dtype=np.uint64)
    for column in letters.T:
        there = column != 0
        hashes[there] = mixed(hashes[there] ^ column[there].astype(np.uint64))
    return hashes


def _of_objects(ids: npt.NDArray[Any]) -> Hashes:
    """Return hashes of ids that are mixed, one by one."""
    hashes = np.empty(len(ids), dtype=np.uint64)
    for at, given in enumerate(ids.tolist() if ids.ndim == 1 else ids):
        plain = given.item() if isinstance(given, np.generic) else given
        name = plain.decode("utf-8", "backslashreplace") if isinstance(plain, bytes) else plain
        if isinstance(name, bool) or not isinstance(name, int | str):
            raise DataError(f"id {at} is {shown(name)}; expected a whole number or a text for each sample")
        fits = isinstance(name, str) or -(2**63) <= name < 2**64
        hashes[at] = hashes_of(np.array([name if fits else str(name)]))[0]
    return hashes
