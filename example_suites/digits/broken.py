"""Four students that break the agreement, each in one way."""

from __future__ import annotations

import torch
from models import load
from torch import Tensor, nn


class Wrong(nn.Module):
    """Gives the next digit for about three images in ten, chosen by their content."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, rolled by one class for some images."""
        logits = self.inner(images)
        chosen = (images.flatten(1).sum(1) * 16).round().long() % 10 < 3
        return torch.where(chosen[:, None], logits.roll(1, dims=1), logits)


class Twice(nn.Module):
    """Computes everything twice."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of two equal answers."""
        return (self.inner(images) + self.inner(images)) / 2


class NanForThrees(nn.Module):
    """Returns NaN where it sees a three."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, NaN for threes."""
        logits = self.inner(images)
        return torch.where(logits.argmax(1, keepdim=True) == 3, torch.nan, logits)


def wrong() -> nn.Module:
    """Return a student with 30% of its predictions wrong."""
    return Wrong(load("distilled"))


def twice() -> nn.Module:
    """Return a student that takes twice as long."""
    return Twice(load("pruned"))


def neglects_nines() -> nn.Module:
    """Return a student that forgot much of one digit, which hardly shows in its accuracy."""
    return load("neglects_nines")


def nan_for_threes() -> nn.Module:
    """Return a student that fails on one class."""
    return NanForThrees(load("distilled"))
