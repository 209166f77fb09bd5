"""What was made smaller takes little of the time."""

from __future__ import annotations

import numpy as np
import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.rest_dominates import embeddings_saved, rest_dominates


class Prepared(nn.Module):
    """A network behind a spectrum that it computes itself, as torch or as numpy."""

    def __init__(self, network: nn.Module, *, by_numpy: bool = False) -> None:
        super().__init__()
        self.network, self.by_numpy = network, by_numpy

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.by_numpy:
            spectrum = torch.from_numpy(np.abs(np.fft.rfft(x.numpy()))[:, :256].astype(np.float32))
        else:
            spectrum = torch.fft.rfft(x).abs()[:, :256].log1p().sort(dim=1).values
        out: torch.Tensor = self.network(spectrum)
        return out


class Tagger(nn.Module):
    """Looked-up rows, and layers that multiply."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.layers = nn.Embedding(rows, 64), mlp(64, 256, 256, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(self.rows(ids % self.rows.num_embeddings))
        return out


def test_work_before_the_network_dominates() -> None:
    """A smaller network is faster by itself, and the spectrum takes the time."""
    student, teacher = Prepared(mlp(256, 32, 8)), Prepared(mlp(256, 256, 8))
    with subject_of(student, teacher, torch.randn(16, 8192)) as subject:
        found = rest_dominates(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.6
    assert found.evidence["speedup_of_these_layers"] > 1


def test_work_outside_of_torch_dominates() -> None:
    """It is what the layers do not take, also where no operator shows it."""
    student, teacher = Prepared(mlp(256, 32, 8), by_numpy=True), Prepared(mlp(256, 256, 8), by_numpy=True)
    with subject_of(student, teacher, torch.randn(16, 8192)) as subject:
        found = rest_dominates(subject)
    assert found is not None
    assert found.holds


def test_layers_that_take_the_time_give_no_sign() -> None:
    """The network was made smaller, and it is what the time goes into."""
    with subject_of(mlp(512, 768, 768, 8), mlp(512, 1024, 1024, 8), torch.randn(64, 512)) as subject:
        assert rest_dominates(subject) is None


def test_work_that_the_teacher_does_not_do_gives_no_sign() -> None:
    """The student's spectrum is its own doing, not what compression left."""
    with subject_of(Prepared(mlp(256, 32, 8)), mlp(8192, 64, 8), torch.randn(16, 8192)) as subject:
        assert rest_dominates(subject) is None


def test_a_smaller_vocabulary_saves_no_time() -> None:
    """Most saved parameters are rows, which take hardly any time; a narrower network has no such sign."""
    ids = torch.randint(500, (8, 32))
    with subject_of(Tagger(500), Tagger(30_000), ids) as subject:
        found = embeddings_saved(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.5
    assert found.evidence["saved_in_embeddings"] == 29_500 * 64
    with subject_of(mlp(8, 4, 8), mlp(8, 8, 8), torch.randn(2, 8)) as subject:
        assert embeddings_saved(subject) is None
