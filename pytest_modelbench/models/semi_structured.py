"""Which matrices of a module the 2:4 sparse kernels of NVIDIA GPUs take, and the module that uses them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pytest_modelbench.errors import NotApplicable, cause_of

OLDEST_CAPABILITY = (8, 0)
_GROUP, _ZEROS = 4, 2


@dataclass(frozen=True, kw_only=True)
class SparseMatrix:
    """The weight of a linear layer that holds two zeros in every four neighbours of a row.

    Attributes:
        path: of the layer in the module.
        shape: rows and columns.
        dtype: such as "float16".
        why_not: why the kernels do not take it; "" if they do.
    """

    path: str
    shape: tuple[int, int]
    dtype: str
    why_not: str = ""


def sparse_matrices(module: nn.Module) -> list[SparseMatrix]:
    """Return the weights of linear layers that are 2:4 sparse, in the module's order."""
    return [
        SparseMatrix(
            path=path,
            shape=(layer.weight.shape[0], layer.weight.shape[1]),
            dtype=str(layer.weight.dtype).removeprefix("torch."),
            why_not=_why_not(layer.weight),
        )
        for path, layer in _sparse_layers(module)
    ]


def with_sparse_kernels(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose 2:4 sparse matrices are multiplied by the kernels for them.

    Raises:
        NotApplicable: there is no such matrix, or the kernels take none; the message says why.
    """
    matrices = sparse_matrices(module)
    taken = [matrix for matrix in matrices if not matrix.why_not]
    if not matrices:
        raise NotApplicable("no linear layer has weights with two zeros in every four neighbours of a row (2:4)")
    if not taken:
        raise NotApplicable(
            f"{len(matrices)} matrices are 2:4 sparse, and the kernels take none: {matrices[0].why_not}"
        )
    copied = copy.deepcopy(module)
    for matrix in taken:
        weight = copied.get_parameter(f"{matrix.path}.weight")
        try:
            sparse = torch.sparse.to_sparse_semi_structured(weight.detach())
        except RuntimeError as error:
            raise NotApplicable(f"torch cannot compress the weight of {matrix.path}: {cause_of(error)}") from error
        copied.get_submodule(matrix.path).weight = nn.Parameter(sparse, requires_grad=False)
    return copied


def _sparse_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for path, layer in module.named_modules():
        if type(layer) is nn.Linear and _is_two_of_four(layer.weight):
            yield path, layer


def _is_two_of_four(weight: torch.Tensor) -> bool:
    if weight.layout != torch.strided or hasattr(weight, "__tensor_flatten__") or weight.shape[1] % _GROUP:
        return False
    return bool(((weight.detach() == 0).reshape(-1, _GROUP).sum(dim=1) >= _ZEROS).all())


def _why_not(weight: torch.Tensor) -> str:
    """Say why torch's kernels do not take a matrix: its device, type or shape, by the limits that torch states."""
    if weight.device.type != "cuda":
        return f"they run on NVIDIA GPUs, and it is on {weight.device.type}"
    capability = torch.cuda.get_device_capability(weight.device)
    if capability < OLDEST_CAPABILITY:
        return f"they need compute capability 8.0, and this GPU has {capability[0]}.{capability[1]}"
    return _wrong_form(weight.dtype, weight.shape[0], weight.shape[1])


def _wrong_form(dtype: torch.dtype, rows: int, columns: int) -> str:
    from torch.sparse import SparseSemiStructuredTensorCUSPARSELT, SparseSemiStructuredTensorCUTLASS

    limits = []
    for kernels in (SparseSemiStructuredTensorCUSPARSELT, SparseSemiStructuredTensorCUTLASS):
        least = kernels._DTYPE_SHAPE_CONSTRAINTS.get(dtype)  # noqa: SLF001 - torch says it nowhere else
        if least is None:
            continue
        if rows % least.sparse_min_rows == 0 and columns % least.sparse_min_cols == 0:
            return ""
        limits.append(f"{least.sparse_min_rows}x{least.sparse_min_cols} ({kernels.BACKEND})")
    if not limits:
        return f"they do not take {str(dtype).removeprefix('torch.')}; convert it to float16, bfloat16 or int8"
    return f"its {rows} rows and {columns} columns are not multiples of {' or '.join(limits)}"
