"""Three students that break the agreement, each in one way."""

from __future__ import annotations

import models
import torch
from models import Detector, load
from shapes import CLASSES
from torch import Tensor


class Duplicates(Detector):
    """Gives every box that scores enough: suppression was left out of what is deployed."""

    def picked(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return boxes without suppression, the best first."""
        order = scores.argsort(descending=True)
        order = order[scores[order] > models.LEAST_SCORE]
        return {"boxes": boxes[order], "labels": labels[order], "scores": scores[order]}


class Shifted(Detector):
    """Takes images for those of a model that pads them by one pixel: boxes lie one to the left and above."""

    def picked(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return boxes that lie a pixel beside their place."""
        return super().picked(boxes - 1.0, scores, labels)


def _like_distilled(kind: type[Detector]) -> Detector:
    student = kind(models.WIDTHS["distilled"])
    student.load_state_dict(load("distilled").state_dict())
    return student.eval()


def duplicates() -> Detector:
    """Return the distilled student without suppression of boxes that overlap."""
    return _like_distilled(Duplicates)


def shifted() -> Detector:
    """Return the distilled student with boxes a pixel beside their place."""
    return _like_distilled(Shifted)


def forgets_triangles() -> Detector:
    """Return the distilled student with logits of triangles that are far too low."""
    student = load("distilled")
    with torch.no_grad():
        student.classes.bias[CLASSES.index("triangle")] -= 4.0
    return student
