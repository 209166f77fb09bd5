"""Small torch models, each with one property that matters to an exporter, and what their exports are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_modelbench.exports.steps import Exported

Export = Callable[..., Exported]


def floats(*sizes: int, seed: int = 0) -> Any:
    """Return a batch of normal numbers."""
    return np.random.default_rng(seed).normal(size=sizes).astype(np.float32)


def assert_ready(found: Exported) -> None:
    """Fail with the step at which an export stopped."""
    assert found.ready, found.stopped_at


def mlp() -> nn.Sequential:
    """Two layers with dropout between them, in training mode."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4)).train()


def cnn() -> nn.Module:
    """A convolution with batch normalisation."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


class Lstm(nn.Module):
    """The last step of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    """A layer of a transformer over sequences of any length, with a mask, that returns two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(50, 16)
        self.key = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.embed(ids)
        scores = self.key(found) @ found.transpose(1, 2) / 4
        scores = scores.masked_fill(mask[:, None, :] == 0, -1e9)
        hidden = scores.softmax(-1) @ found
        return {"score": self.head(hidden[:, 0]), "box": hidden[:, 0]}


class Sized(nn.Module):
    """Makes a constant of the batch size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(x).reshape(int(x.shape[0]), 4)


class Branching(nn.Module):
    """Branches on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> Any:
        if x.sum() > 0:
            return self.head(x)
        return -self.head(x)


class Pair(nn.Module):
    """Returns a tuple of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.one(x), self.two(x)
