"""The detectors of the suite: without anchors, a shape is predicted at the cells near its centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model
from shapes import CLASSES, SIZE
from torch import Tensor, nn
from torch.nn import functional

ARTIFACTS = Path(__file__).parent / "artifacts"
SEED = 7
STRIDE = 4
CELLS = SIZE // STRIDE
WIDTHS = {"teacher": 40, "distilled": 24}
"""The number of channels of each model that is trained."""
LEAST_SCORE = 0.1
MOST_OVERLAP = 0.5


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Detector(nn.Module):
    """Predicts for each cell of four pixels the class of a shape, and the distances to the sides of its box.

    Source: Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(3, width // 2, 2), _block(width // 2, width, 2), _block(width, width), _block(width, width)
        )
        self.classes = nn.Conv2d(width, len(CLASSES), 3, padding=1)
        self.sides = nn.Conv2d(width, 4, 3, padding=1)
        nn.init.constant_(self.classes.bias, -3.0)  # most cells are empty

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, classes, cells, cells) and distances in pixels (n, 4, cells, cells)."""
        features = self.body(images)
        return self.classes(features), STRIDE * functional.softplus(self.sides(features))

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Return for each image the boxes (k, 4) in pixels, their labels (k,) and scores (k,), the best first."""
        logits, sides = self.raw(images)
        scores, labels = logits.sigmoid().flatten(2).max(dim=1)
        boxes = boxes_at(centres().to(sides), sides.flatten(2).transpose(1, 2))
        return [self.picked(*parts) for parts in zip(boxes, scores, labels, strict=True)]

    def picked(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the boxes of one image that score enough and do not overlap a better one of their class."""
        order = scores.argsort(descending=True)
        order = order[scores[order] > LEAST_SCORE][:100]
        boxes, scores, labels = boxes[order], scores[order], labels[order]
        rivals = (overlaps(boxes, boxes) > MOST_OVERLAP) & (labels[:, None] == labels)
        kept = torch.ones(len(boxes), dtype=torch.bool)
        for place in range(len(boxes)):
            if kept[place]:
                kept[place + 1 :] &= ~rivals[place, place + 1 :]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def centres() -> Tensor:
    """Return the centre of each cell in pixels, x before y, (cells * cells, 2)."""
    at = (torch.arange(CELLS) + 0.5) * STRIDE
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def boxes_at(places: Tensor, sides: Tensor) -> Tensor:
    """Return boxes (..., 4) whose sides have these distances (left, top, right, bottom) from places."""
    return torch.cat([places - sides[..., :2], places + sides[..., 2:]], dim=-1)


def overlaps(ones: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of each box with each other, (k, m)."""
    low = torch.maximum(ones[:, None, :2], others[None, :, :2])
    high = torch.minimum(ones[:, None, 2:], others[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (ones, others)]
    return common / (areas[0][:, None] + areas[1] - common)


def wanted(targets: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Return the class of each cell (n, cells * cells), -1 for none, and the distances there (n, cells * cells, 4).

    A shape's cells are those whose centres lie in the middle half of its box.
    """
    places = centres().numpy()
    classes = np.full((len(targets), len(places)), -1)
    sides = np.zeros((len(targets), len(places), 4), dtype=np.float32)
    for row, target in enumerate(targets):
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            quarter = np.maximum((box[2:] - box[:2]) / 4, STRIDE / 2)
            inside = (np.abs(places - (box[:2] + box[2:]) / 2) <= quarter).all(axis=1)
            classes[row, inside] = label
            sides[row, inside] = np.concatenate([places[inside] - box[:2], box[2:] - places[inside]], axis=1)
    return torch.from_numpy(classes), torch.from_numpy(sides)


def loss_of(logits: Tensor, sides: Tensor, classes: Tensor, distances: Tensor) -> Tensor:
    """Return the focal loss of the classes and 1 - IoU of the boxes.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """
    logits, sides = logits.flatten(2).transpose(1, 2), sides.flatten(2).transpose(1, 2)
    inside = classes >= 0
    truth = functional.one_hot(classes.clamp(min=0), len(CLASSES)) * inside[..., None]
    chances = logits.sigmoid()
    missed = torch.where(truth > 0, 1 - chances, chances)
    losses = functional.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none") * missed**2
    ours, theirs = sides[inside], distances[inside]
    low, high = torch.minimum(ours, theirs), torch.maximum(ours, theirs)
    common = (low[:, 0] + low[:, 2]) * (low[:, 1] + low[:, 3])
    hull = (high[:, 0] + high[:, 2]) * (high[:, 1] + high[:, 3])
    return (losses.sum() + 2 * (1 - common / hull).sum()) / inside.sum().clamp(min=1)


def fit(model: Detector, data: tuple[Tensor, Tensor, Tensor], steps: int, teacher: Detector | None = None) -> None:
    """Train on images with the classes and distances of their cells; with a teacher, also on what it predicts."""
    images, classes, distances = data
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(images), (32,))
        logits, sides = model.raw(images[rows])
        loss = loss_of(logits, sides, classes[rows], distances[rows])
        if teacher is not None:
            with torch.no_grad():
                their_logits, their_sides = teacher.raw(images[rows])
            chances = their_logits.sigmoid()
            weight = chances.amax(dim=1, keepdim=True)
            apart = functional.binary_cross_entropy_with_logits(logits, chances, reduction="none").sum()
            loss = loss + (apart + (weight * (sides - their_sides).abs()).sum() / STRIDE) / weight.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()


def load(name: str) -> Detector:
    """Return a trained detector, training both first where a file is missing."""
    path = ARTIFACTS / f"{name}.safetensors"
    if not path.exists():
        from train import train_all

        train_all()
    model = Detector(WIDTHS[name])
    load_model(model, path)
    return model.eval()


def load_distilled() -> Detector:
    """Return the distilled student."""
    return load("distilled")
