"""Five students that break the agreement, each in one way."""

from __future__ import annotations

import warnings

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


def int8_hides_its_gradient() -> nn.Module:
    """Return the distilled student with its linear layers in dynamic int8, which has no gradient to attack along."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of an old interface that is still deployed
        return torch.ao.quantization.quantize_dynamic(load("distilled"), {nn.Linear}, torch.qint8)


def float_parent() -> nn.Module:
    """Return the float model that `int8_hides_its_gradient` was made from."""
    return load("distilled")
