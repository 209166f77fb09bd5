"""Many small operators against few large ones."""

from __future__ import annotations

import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.dispatch_bound import dispatch_bound
from pytest_modelbench.diagnosis.operators import at_few_elements, trace


class DeepAndThin(nn.Module):
    """Forty narrow residual blocks."""

    def __init__(self, width: int = 32, depth: int = 40) -> None:
        super().__init__()
        self.entry = nn.Linear(512, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.entry(x)
        for block in self.blocks:
            h = h + nn.functional.gelu(block(h))
        return h


def test_a_deep_thin_student_is_bound_by_its_operators() -> None:
    """Most of its time is left on tensors of one element, and the text names both models' operators."""
    with subject_of(DeepAndThin(), mlp(512, 1024, 1024, 64), torch.randn(1, 512)) as subject:
        found = dispatch_bound(subject)
    assert found is not None
    assert found.holds
    assert found.gives_back is not None
    assert found.gives_back.value > 0.5
    assert found.evidence["operators"] > 5 * found.evidence["teacher_operators"]


def test_a_wide_student_on_a_large_batch_is_not() -> None:
    """Its time is arithmetic."""
    with subject_of(mlp(512, 1024, 1024, 64), None, torch.randn(64, 512)) as subject:
        assert dispatch_bound(subject) is None


def test_reading_the_weights_is_not_calling_operators() -> None:
    """One sample takes as long as four where the weights must be read, and still there are few operators."""
    with subject_of(mlp(2048, 4096, 2048), None, torch.randn(1, 2048)) as subject:
        assert dispatch_bound(subject) is None


def test_usual_operators_run_on_few_elements() -> None:
    """Normalisations, splits and lookups do; at most one operator refuses (the fused encoder layer)."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    class Usual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.layer = nn.Embedding(30, 16), layer
            self.conv = nn.Conv1d(16, 32, 3, padding=1, groups=4)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            left, right = self.conv(self.layer(self.rows(ids)).transpose(1, 2)).chunk(2, dim=1)
            out: torch.Tensor = (left * right.softmax(dim=-1)).flatten(1)
            return out

    with subject_of(Usual(), None, torch.randint(30, (2, 7))) as subject:
        operators = trace(subject)
        _, kept = at_few_elements(operators)
    assert len(operators) >= 8
    assert kept >= len(operators) - 1
