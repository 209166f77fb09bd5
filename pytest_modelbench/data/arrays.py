"""Batches and outputs as trees of arrays: slice, join, measure, select one head, turn into numpy.

Works on torch tensors, numpy arrays, sparse matrices, frames and series of pandas and polars, lists, and tuples,
lists and mappings of them, without importing any of these libraries.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import ModelError, message_of


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_tree(value: Any) -> bool:
    """Whether a value is a mapping or a tuple of arrays rather than an array."""
    return isinstance(value, Mapping | tuple)


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every array of a tree and keep its form (mappings become dicts).

    >>> map_tree(len, {"a": [1, 2], "b": ([3], [4])})
    {'a': 2, 'b': (1, 1)}
    """
    if isinstance(tree, Mapping):
        return {key: map_tree(function, item) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_tree(function, item) for item in tree)
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """Return the arrays of a tree, in a fixed order."""
    if isinstance(tree, Mapping):
        return [leaf for key in tree for leaf in leaves(tree[key])]
    if isinstance(tree, tuple):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


def of_unlike_shapes(leaf: Any) -> bool:
    """Whether a batch is a list of arrays of different shapes, which is what a detector takes."""
    return isinstance(leaf, list) and len({tuple(getattr(sample, "shape", ())) for sample in leaf}) > 1


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse matrix of scipy or a sparse tensor of torch."""
    if is_tensor(value):
        return bool(value.layout != sys.modules["torch"].strided)
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def sparse_parts(value: Any) -> list[npt.NDArray[Any]]:
    """Return the number of entries of each row, then the places and the values of the entries, row by row."""
    if not is_tensor(value):
        ordered = value.tocsr()
        return [np.diff(ordered.indptr), ordered.indices, ordered.data]
    ordered = value.detach().to_sparse_coo().coalesce()
    places, entries = ordered.indices().cpu().numpy(), as_array(ordered.values())
    return [np.bincount(places[0], minlength=len(value)), places[1:].T, entries]


def count_rows(leaf: Any) -> int:
    """Return the number of rows of one array."""
    return int(leaf.shape[0]) if is_sparse(leaf) else len(leaf)


def rows(tree: Any) -> int:
    """Return the number of rows of a batch: the length of its first array."""
    return count_rows(leaves(tree)[0])


def take(tree: Any, start: int, stop: int) -> Any:
    """Return rows `start` to `stop` of a batch; views where the library gives views."""
    return map_tree(lambda leaf: _sliced(leaf, start, stop), tree)


def _sliced(leaf: Any, start: int, stop: int) -> Any:
    if is_tensor(leaf) and is_sparse(leaf):
        return _picked(leaf, np.arange(*slice(start, stop).indices(len(leaf))))
    return leaf.iloc[start:stop] if hasattr(leaf, "iloc") else leaf[start:stop]


def pick(tree: Any, index: npt.NDArray[np.intp]) -> Any:
    """Return the rows of a batch at some positions, in their order."""
    return map_tree(lambda leaf: _picked(leaf, index), tree)


def _picked(leaf: Any, index: npt.NDArray[np.intp]) -> Any:
    if is_tensor(leaf) and is_sparse(leaf):
        at = sys.modules["torch"].as_tensor(index, device=leaf.device)
        return leaf.to_sparse_coo().index_select(0, at).to_sparse(layout=leaf.layout)
    if hasattr(leaf, "iloc"):
        return leaf.iloc[index]
    picked = [leaf[i] for i in index] if isinstance(leaf, list) else leaf[index]
    return Prompts(picked, leaf.settings) if isinstance(leaf, Prompts) else picked


def join(parts: Sequence[Any]) -> Any:
    """Join batches of the same form along the first axis."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Mapping):
        return {key: join([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(join(list(column)) for column in zip(*parts, strict=True))
    if is_tensor(first):
        return sys.modules["torch"].cat(list(parts))
    if hasattr(first, "iloc"):
        return sys.modules["pandas"].concat(list(parts))
    if isinstance(first, list):
        joined = [item for part in parts for item in part]
        return Prompts(joined, first.settings) if isinstance(first, Prompts) else joined
    if is_sparse(first):
        return sys.modules["scipy.sparse"].vstack(list(parts), format="csr")
    if hasattr(first, "with_columns") or hasattr(first, "to_frame"):
        return sys.modules["polars"].concat(list(parts))
    return np.concatenate([np.asarray(part) for part in parts])


def duplicate(tree: Any) -> Any:
    """Return a batch with arrays of its own, for a model that may write into what it is given."""
    return map_tree(_copied, tree)


def _copied(leaf: Any) -> Any:
    if is_tensor(leaf):
        return leaf.clone()
    if is_sparse(leaf):
        return leaf.copy()
    holds_objects = isinstance(leaf, list) or getattr(getattr(leaf, "dtype", None), "kind", "") == "O"
    return copy.deepcopy(leaf) if holds_objects else copy.copy(leaf)


def content(tree: Any) -> list[bytes]:
    """Return the bytes of a batch's numeric arrays, to detect later writes into them."""
    arrays = [
        part for leaf in leaves(tree) if hasattr(leaf, "dtype") or hasattr(leaf, "dtypes") for part in _parts(leaf)
    ]
    return [array.tobytes() for array in arrays if array.dtype != object]


def _parts(leaf: Any) -> list[npt.NDArray[Any]]:
    if is_sparse(leaf):
        return sparse_parts(leaf)
    return number_parts(leaf) if hasattr(leaf, "columns") else [as_array(leaf)]


def shapes(tree: Any) -> str:
    """Return the shapes of a batch or an output, for messages.

    >>> shapes({"ids": np.zeros((2, 3)), "mask": np.zeros(2)})
    '{ids: (2, 3), mask: (2,)}'
    """
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{key}: {shapes(item)}" for key, item in tree.items()) + "}"
    if isinstance(tree, tuple):
        return "(" + ", ".join(shapes(item) for item in tree) + ")"
    try:
        shape = getattr(tree, "shape", None)
    except RuntimeError:  # a nested tensor of torch has none
        return f"[{tree.size(0)} items]"
    if shape is not None:
        return str(tuple(shape))
    return f"[{len(tree)} items]" if isinstance(tree, Sequence) and not isinstance(tree, str) else repr(tree)[:40]


def as_array(value: Any) -> npt.NDArray[Any]:
    """Return an array in numpy; half-precision and eight-bit floats of torch and ml_dtypes become float32.

    Sparse ones become dense.

    Raises:
        ModelError: the value is not an array, or has no values.
    """
    if is_tensor(value):
        return _tensor_array(value)
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        value = value.toarray()
    try:
        array: npt.NDArray[Any] = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except ValueError as error:
        raise ModelError(f"expected an array, found {type(value).__name__}: {message_of(error)}") from error
    if array.dtype.kind == "V" and "float" in array.dtype.name:  # of ml_dtypes, as TensorFlow and JAX give them
        array = array.astype(np.float32)
    if array.dtype == object and not all(isinstance(item, str) for item in array.ravel()[:100]):
        raise ModelError(f"expected an array of numbers or labels, found {type(value).__name__}")
    return array


def _tensor_array(value: Any) -> npt.NDArray[Any]:
    torch = sys.modules["torch"]
    tensor = value.detach()
    if tensor.is_meta:
        raise ModelError("expected an array, found a tensor on the meta device, which holds no values")
    try:
        if tensor.is_nested:
            tensor = torch.stack(tensor.unbind())
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if tensor.layout != torch.strided:
            tensor = tensor.to_dense()
        if tensor.is_floating_point() and tensor.element_size() < 4:
            tensor = tensor.float()
        array: npt.NDArray[Any] = tensor.cpu().resolve_conj().resolve_neg().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ModelError(f"expected an array, found a tensor without numbers: {message_of(error)}") from error
    return array


def output_array(output: Any) -> npt.NDArray[Any]:
    """Return the array of an output, whose values can be compared.

    Raises:
        ModelError: as for `as_array`; complex numbers, which have no order; dates and records; values that are
            masked out.
    """
    if isinstance(output, np.ma.MaskedArray) and np.ma.is_masked(output):
        raise ModelError("expected an array, found a masked array with masked values. Fill them: output.filled(0)")
    array = as_array(output)
    if array.dtype.kind == "c":
        raise ModelError("expected real numbers, found complex ones, which have no order. Return abs(output)")
    if array.dtype.kind in "mMV":
        raise ModelError(
            f"expected numbers or labels, found values of type {array.dtype}. Return one number or label each"
        )
    return array


def number_parts(leaf: Any) -> list[npt.NDArray[Any]]:
    """Return the numbers in a leaf of a batch: one array, one for each numeric column of a frame, none for texts."""
    if hasattr(leaf, "columns"):
        return [part for column in leaf.columns for part in number_parts(leaf[column])]
    if is_sparse(leaf) or not (is_tensor(leaf) or hasattr(leaf, "dtype") or isinstance(leaf, list)):
        return []
    try:
        array = np.asarray(leaf) if isinstance(leaf, list) else as_array(leaf)
    except (ValueError, ModelError):
        return []  # ragged lists, objects
    return [array] if array.dtype.kind in "fiu" else []


def like(leaf: Any, values: npt.NDArray[Any]) -> Any:
    """Return new values in the form of a leaf (tensor, array, series or list) with its dtype."""
    if is_tensor(leaf):
        return sys.modules["torch"].as_tensor(np.ascontiguousarray(values)).to(dtype=leaf.dtype, device=leaf.device)
    if isinstance(leaf, list):
        return values.tolist()
    if hasattr(leaf, "iloc"):
        return type(leaf)(values, index=leaf.index, dtype=leaf.dtype)
    if hasattr(leaf, "to_numpy"):
        return type(leaf)(leaf.name, values).cast(leaf.dtype)
    return values.astype(leaf.dtype)


def select_output(output: Any, select: str | int | None, model: str) -> Any:
    """Return the one array of a model's output that is judged.

    A bare array is taken as it is, a mapping (or a Hugging Face style output object) gives `select` by its name or
    position, or `logits` where it has one, or its only entry; a tuple gives `select` or its only entry.

    Raises:
        ModelError: several heads and no `select`, or a `select` that is not there; the heads are named.
    """
    if isinstance(output, Mapping):
        keys = list(output)
        chosen = select if select is not None else ("logits" if "logits" in output else None)
        if chosen is None and len(keys) == 1:
            chosen = keys[0]
        if isinstance(chosen, int) and chosen not in output and -len(keys) <= chosen < len(keys):
            chosen = keys[chosen]
        if chosen in output:
            return select_output(output[chosen], None, model) if is_tree(output[chosen]) else output[chosen]
        of_skl2onnx = tuple(keys) in _OF_SKL2ONNX  # a position fits the estimator's bare array too
        example = "1" if of_skl2onnx else repr(keys[0]) if keys else "0"
        note = _ZIPMAP if of_skl2onnx else ""
        raise _no_head(model, f"a mapping with {', '.join(map(repr, keys))}", select, example, note)
    if isinstance(output, tuple):
        chosen = 0 if select is None and len(output) == 1 else select
        if isinstance(chosen, int) and -len(output) <= chosen < len(output):
            return output[chosen]
        if isinstance(chosen, str) and hasattr(output, chosen):
            return getattr(output, chosen)
        raise _no_head(model, f"a tuple of {len(output)}", select, "0")
    name = select if isinstance(select, str) else ("logits" if _is_output_object(output) else None)
    if name is not None:
        if hasattr(output, name):
            return getattr(output, name)
        if _has_shape(output):
            raise ModelError(
                f"{model} returned one array, which has no head {select!r}. Remove select=, or write the position of "
                "the other model's output, such as select=0"
            )
        raise _no_head(model, f"{type(output).__name__}", select, "'logits'")
    return output


def _is_output_object(output: Any) -> bool:
    """Whether an output is an object with named heads (a dataclass, say) rather than an array."""
    return not _has_shape(output) and hasattr(output, "logits")


def _has_shape(output: Any) -> bool:
    return is_tensor(output) or hasattr(output, "shape")  # a nested tensor raises when it is asked for


_OF_SKL2ONNX = (("output_label", "output_probability"), ("label", "probabilities"))
"""The outputs of a classifier that skl2onnx exports, with and without its operator ZipMap."""
_ZIPMAP = (
    " for the probabilities (parity: outputs=['NAME']). To get them as one array, export with "
    "options={id(model): {'zipmap': False}}"
)


def _no_head(model: str, output: str, select: str | int | None, example: str, note: str = "") -> ModelError:
    wanted = f"which has no head {select!r}" if select is not None else "and none was selected"
    return ModelError(f"{model} returned {output}, {wanted}. Write EvalData(..., select={example}){note}")
