"""2:4 sparsity: which matrices the kernels of a GPU take, and why not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.semi_structured import _wrong_form, sparse_matrices, with_sparse_kernels


def pruned(rows: int = 64, columns: int = 128) -> nn.Module:
    first = nn.Linear(columns, rows)
    module = nn.Sequential(first, nn.ReLU(), nn.Linear(rows, 10)).eval()
    with torch.no_grad():
        first.weight[:, ::2] = 0.0
    return module


def test_matrices_are_found_by_their_zeros() -> None:
    """Only the first layer has the pattern; half of the zeros elsewhere is none."""
    (matrix,) = sparse_matrices(pruned())
    assert (matrix.path, matrix.shape, matrix.dtype) == ("0", (64, 128), "float32")
    assert matrix.why_not == "they run on NVIDIA GPUs, and it is on cpu"
    dense = nn.Linear(8, 4)
    with torch.no_grad():
        dense.weight[:, :4] = 0.0  # as many zeros, and not two of each four
    assert sparse_matrices(dense) == []


@pytest.mark.parametrize(
    ("dtype", "rows", "columns", "words"),
    [
        (torch.float16, 64, 128, ""),
        (torch.float16, 50, 128, "its 50 rows and 128 columns are not multiples of 16x16"),
        (torch.float64, 64, 128, "they do not take float64; convert it to float16"),
        (torch.float32, 64, 64, ""),
        (torch.int8, 32, 32, ""),
    ],
)
def test_types_and_shapes(dtype: torch.dtype, rows: int, columns: int, words: str) -> None:
    """The limits are torch's own."""
    found = _wrong_form(dtype, rows, columns)
    assert found.startswith(words) if words else found == ""


def test_nothing_to_use_the_kernels_for() -> None:
    """Each case says which it is."""
    with pytest.raises(NotApplicable, match="no linear layer has weights with two zeros in every four"):
        with_sparse_kernels(nn.Linear(8, 8))
    with pytest.raises(
        NotApplicable, match="1 matrices are 2:4 sparse, and the kernels take none: they run on NVIDIA"
    ):
        with_sparse_kernels(pruned())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU of compute capability 8.0")
def test_outputs_stay() -> None:
    """The compressed copy computes what the module does; the module itself stays dense."""
    module = pruned().half().cuda()
    copied = with_sparse_kernels(module)
    inputs = torch.randn(32, 128, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        assert torch.allclose(copied(inputs), module(inputs), atol=1e-2)
    assert type(module[0].weight) is nn.Parameter  # type: ignore[index]
