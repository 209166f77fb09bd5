"""Four students that keep the agreement in Python, and whose exported file is another model or none."""

from __future__ import annotations

import torch
from models import load
from torch import Tensor, nn
from torch.nn import functional


class Branches(nn.Module):
    """Scales images to 0..1 if they look as if they were not, by an `if` on their values."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        if images.max() > 1:
            images = images / 16
        logits: Tensor = self.inner(images)
        return logits


class FixesBatch(nn.Module):
    """Reshapes by the number of images as an integer, which an exporter keeps as a constant."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.inner(images)
        return logits.reshape(int(images.shape[0]), 10)


class NanOnceExported(nn.Module):
    """Has code of its own for exporters, and this code returns NaN where it sees a three."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.inner(images)
        if torch.compiler.is_exporting():
            threes = functional.one_hot(logits.argmax(1), 10)[:, 3:4]
            return logits / (1 - threes) * (1 - threes)
        return logits


class SwapsOnceExported(nn.Module):
    """Returns two outputs by name, and to exporters in another order: they name outputs by their position."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits of the images, and of the same images with less ink."""
        outputs = {"logits": self.inner(images), "faint_logits": self.inner(images / 2)}
        return dict(reversed(outputs.items())) if torch.compiler.is_exporting() else outputs


def branches() -> nn.Module:
    """Return a student that no exporter can follow."""
    return Branches(load("distilled"))


def fixes_batch() -> nn.Module:
    """Return a student whose file takes one batch size only."""
    return FixesBatch(load("distilled"))


def nan_once_exported() -> nn.Module:
    """Return a student whose file fails on one class."""
    return NanOnceExported(load("distilled"))


def swaps_once_exported() -> nn.Module:
    """Return a student whose file has the right values under the wrong names."""
    return SwapsOnceExported(load("distilled"))
