"""Arrays on their way to and from the backends TensorFlow and JAX."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pytest_modelbench.data.arrays import as_array, map_tree


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array of a backend's weights as a tensor on the same memory; bfloat16 keeps its type."""
    if not array.flags.writeable:  # such a view warns, and what is only read does not need it
        array = np.array(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(numbers(array)))


def numbers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of ml_dtypes' types, which numpy does not know, as one of float32; others as they are."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def cast_floats(tree: Any, dtype: str, casts: set[str]) -> Any:
    """Return a batch with floats of one type; other types stay.

    Args:
        tree: arrays, tensors or frames.
        dtype: of floats, as numpy names it.
        casts: gets the types that were cast.
    """

    def cast(leaf: Any) -> Any:
        array = as_array(leaf)
        if array.dtype.kind != "f" or array.dtype == dtype:
            return array
        casts.add(array.dtype.name)
        return array.astype(dtype)

    return map_tree(cast, tree)
