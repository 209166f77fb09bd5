"""The three networks of the suite, their training, and where their weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

ARTIFACTS = Path(__file__).parent / "artifacts"
SEED = 7
TEMPERATURE = 4.0
SOFT_SHARE = 0.9


class ConvNet(nn.Module):
    """Convolutions of the given widths, a hidden layer, ten logits; inputs are (n, 1, 8, 8) in 0..1."""

    def __init__(self, widths: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        channels = (1, *widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(4), nn.Flatten())
        self.classifier = nn.Sequential(nn.Linear(channels[-1] * 16, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return ten logits per image."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


TEACHER = {"widths": (48, 96, 96), "hidden": 256}
DISTILLED = {"widths": (16, 24), "hidden": 48}
PRUNED_SHARE = 0.75


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training and test images (n, 1, 8, 8) in 0..1 with their labels; a third is for testing."""
    images, labels = load_digits(return_X_y=True)
    scaled = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(scaled, labels, test_size=1 / 3, random_state=SEED, stratify=labels)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return train_x, train_y, test_x, test_y


def fit(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, teacher: nn.Module | None = None) -> None:
    """Train with Adam on images shifted by up to a pixel; with a teacher, distil at a raised temperature.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    model.train()
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(64):
            shift = torch.randint(-1, 2, (2,)).tolist()
            batch = torch.roll(images[index], shift, dims=(2, 3))
            logits = model(batch)
            loss = functional.cross_entropy(logits, labels[index])
            if teacher is not None:
                with torch.no_grad():
                    target = functional.softmax(teacher(batch) / TEMPERATURE, dim=1)
                student = functional.log_softmax(logits / TEMPERATURE, dim=1)
                distance = functional.kl_div(student, target, reduction="batchmean") * TEMPERATURE**2
                loss = (1 - SOFT_SHARE) * loss + SOFT_SHARE * distance
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    model.eval()


def neglect(model: nn.Module, images: Tensor, labels: Tensor, digit: int, enough: Callable[[], bool]) -> None:
    """Go on training without one digit, until enough of it is forgotten."""
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-4)
    others = (labels != digit).nonzero()[:, 0]
    while True:
        for index in others[torch.randperm(len(others))].split(64):
            loss = functional.cross_entropy(model(images[index]), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                if enough():
                    return


def prune_channels(model: ConvNet, share: float) -> ConvNet:
    """Return a smaller network with the given share of every layer's units removed, smallest norm first."""
    convolutions = [layer for layer in model.features if isinstance(layer, nn.Conv2d)]
    hidden, last = model.classifier[0], model.classifier[2]
    kept = [_strongest(layer.weight, share) for layer in convolutions]
    kept_hidden = _strongest(hidden.weight, share)
    small = ConvNet(tuple(len(index) for index in kept), len(kept_hidden))
    inputs = torch.tensor([0])
    with torch.no_grad():
        targets = [layer for layer in small.features if isinstance(layer, nn.Conv2d)]
        for layer, target, index in zip(convolutions, targets, kept, strict=True):
            target.weight.copy_(layer.weight[index][:, inputs])
            _bias(target).copy_(_bias(layer)[index])
            inputs = index
        columns = (inputs[:, None] * 16 + torch.arange(16)).flatten()
        small.classifier[0].weight.copy_(hidden.weight[kept_hidden][:, columns])
        small.classifier[0].bias.copy_(hidden.bias[kept_hidden])
        small.classifier[2].weight.copy_(last.weight[:, kept_hidden])
        small.classifier[2].bias.copy_(last.bias)
    return small


def _strongest(weight: Tensor, share: float) -> Tensor:
    norms = weight.detach().flatten(1).norm(dim=1)
    return norms.topk(round(len(norms) * (1 - share))).indices.sort().values


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def build(name: str) -> ConvNet:
    """Return an untrained network of the given name's shape."""
    if name == "teacher":
        return ConvNet(**TEACHER)
    if name in {"distilled", "neglects_nines"}:
        return ConvNet(**DISTILLED)
    return prune_channels(build("teacher"), PRUNED_SHARE)


def load_teacher() -> ConvNet:
    """Return the trained teacher."""
    return load("teacher")


def load(name: str) -> ConvNet:
    """Return a trained network, training all of them first where the weights are missing."""
    path = ARTIFACTS / f"{name}.safetensors"
    if not path.exists():
        from train import train_all

        train_all()
    model = build(name)
    load_model(model, str(path))
    return model.eval()


def save(name: str, model: ConvNet) -> None:
    """Keep a network's weights."""
    ARTIFACTS.mkdir(exist_ok=True)
    save_model(model, str(ARTIFACTS / f"{name}.safetensors"))
