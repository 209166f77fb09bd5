"""Batches smaller than the one size that a file takes: padded before the call, and the outputs cut back after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.models.adapters.ports import Port

Array = npt.NDArray[Any]


def size_to_pad_to(ports: Sequence[Port], feeds: Mapping[str, Array]) -> int | None:
    """Return the batch size of a file that takes only one, if a batch is smaller; None if it needs no padding.

    Args:
        ports: the inputs of the file. It takes one size only if all of them state the same first dimension.
        feeds: the arrays of a batch by the names of the ports.

    Returns:
        None also where padding cannot help: the inputs have different numbers of rows, no row, or rows of another
        shape than the file takes.
    """
    shapes = [port.shape for port in ports]
    stated = {shape[0] for shape in shapes if shape}
    counts = {array.shape[:1] for array in feeds.values()}
    if len(stated) != 1 or None in stated or not all(shapes) or len(counts) != 1 or () in counts:
        return None
    (size,), ((count,),) = stated, counts
    if size is None or not 0 < count < size:
        return None
    fit = all(_rows_fit(port, feeds[port.name]) for port in ports)
    return size if fit else None


def _rows_fit(port: Port, array: Array) -> bool:
    wanted = (port.shape or ())[1:]
    return len(wanted) == array.ndim - 1 and all(
        size in {None, found} for size, found in zip(wanted, array.shape[1:], strict=True)
    )


def padded(array: Array, size: int) -> Array:
    """Return an array with its last row repeated until it has `size` rows.

    >>> padded(np.array([1, 2]), 4).tolist()
    [1, 2, 2, 2]
    """
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def cut_back(outputs: Any, size: int, count: int) -> Any:
    """Return the first `count` rows of all outputs of a padded batch.

    Args:
        outputs: a mapping or tuple of arrays, or one array.
        size: the rows of the padded batch.
        count: the rows that were asked for.

    Raises:
        ValueError: an output has not one row for each sample; the text names it and its shape.
    """

    def cut(name: object, array: Any) -> Any:
        shape = np.shape(array)
        if shape[:1] != (size,):
            raise ValueError(f"the output {name!r} has shape {shape}, not {size} rows")
        return array[:count]

    if isinstance(outputs, Mapping):
        return {name: cut(name, array) for name, array in outputs.items()}
    if isinstance(outputs, tuple):
        return tuple(cut(index, array) for index, array in enumerate(outputs))
    return cut(0, outputs)
