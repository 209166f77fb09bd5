"""Drawn shapes: images of discs, squares and triangles on a noisy ground, and the box around each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIZE = 48
CLASSES = ("disc", "square", "triangle")
MARGIN = 2

Array = npt.NDArray[np.float32]
Target = dict[str, npt.NDArray[np.generic]]


def _mask(kind: int, centre: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.bool_]:
    """Return which pixels a shape covers, (SIZE, SIZE)."""
    y, x = np.mgrid[:SIZE, :SIZE] - centre[::-1, None, None]
    if kind == 0:
        return np.asarray(x**2 + y**2 <= radius**2)
    if kind == 1:
        return np.asarray((abs(x) <= 0.85 * radius) & (abs(y) <= 0.85 * radius))
    return np.asarray((y <= 0.8 * radius) & (y >= 2 * abs(x) - radius))


def _image(draw: np.random.Generator) -> tuple[Array, Target]:
    """Return an image (3, SIZE, SIZE) with one to four shapes, and their boxes (m, 4) in pixels with labels (m,)."""
    image = draw.normal(0.5, 0.08, (3, SIZE, SIZE)) + draw.uniform(-0.15, 0.15, (3, 1, 1))
    taken = np.zeros((SIZE, SIZE), dtype=bool)
    boxes, labels = [], []
    for _ in range(draw.integers(1, 5)):
        kind, radius = int(draw.integers(len(CLASSES))), float(draw.uniform(4, 11))
        mask = _mask(kind, draw.uniform(radius + MARGIN, SIZE - radius - MARGIN, 2), radius)
        if (mask & taken).any():
            continue
        taken |= mask
        image[:, mask] = draw.uniform(0.1, 0.9, (3, 1)) + draw.normal(0, 0.05, (3, int(mask.sum())))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        labels.append(kind)
    return image.astype(np.float32), {
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "labels": np.array(labels, dtype=np.int64),
    }


def shapes(count: int, seed: int) -> tuple[Array, list[Target]]:
    """Return images (count, 3, SIZE, SIZE) and their targets."""
    draw = np.random.default_rng(seed)
    images, targets = zip(*(_image(draw) for _ in range(count)), strict=True)
    return np.stack(images), list(targets)
