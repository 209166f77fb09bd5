"""How the zeros of a module's weights lie: anywhere, in whole rows, or two of every four."""

from __future__ import annotations

import torch


class ZeroCount:
    """Counts parameters and their zeros over tensors.

    Attributes:
        total: parameters.
        zeros: those that are zero.
        in_zero_rows: zeros in output channels or inputs of a matrix or kernel that are zero as a whole.
        in_two_of_four: parameters of matrices and kernels of which every four neighbours of a row hold two zeros.
    """

    def __init__(self) -> None:
        self.total = self.zeros = self.in_zero_rows = self.in_two_of_four = 0

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor; one that packs another representation is unpacked for it."""
        self.total += tensor.numel()
        plain = tensor.dequantize() if hasattr(tensor, "__tensor_flatten__") else tensor
        zero = (plain if plain.layout == torch.strided else plain.to_dense()) == 0
        self.zeros += int(zero.sum())
        if zero.dim() < 2 or not zero.any():
            return
        matrix = zero.reshape(len(zero), -1)
        rows, columns = matrix.all(dim=1), zero.transpose(0, 1).reshape(zero.shape[1], -1).all(dim=1)
        per_row, per_column = matrix.shape[1], zero.numel() // zero.shape[1]
        both = int(rows.sum()) * int(columns.sum()) * (per_row // zero.shape[1])
        self.in_zero_rows += int(rows.sum()) * per_row + int(columns.sum()) * per_column - both
        if per_row % 4 == 0 and bool((matrix.reshape(-1, 4).sum(dim=1) >= 2).all()):
            self.in_two_of_four += zero.numel()
