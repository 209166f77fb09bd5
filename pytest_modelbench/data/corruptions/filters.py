"""Filters that several corruptions of images share: along a line, larger copies, fractals, brightness, colours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

Image = npt.NDArray[np.float64]
Change = Callable[[Image, Any, np.random.Generator], Image]
BRIGHTNESS = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in what is seen as brightness (ITU-R BT.601)."""


def smoothed(image: Image, sigma: float) -> Image:
    """Return height and width filtered by a Gaussian, each channel apart, the edges repeated."""
    blurred: Image = scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return blurred


def dragged(image: Image, radius: int, sigma: float, degrees: float) -> Image:
    """Return the mean of copies that are moved along one direction, by the weights of half a Gaussian.

    Args:
        image: (height, width, channels).
        radius: there are twice as many copies, and one more.
        sigma: of the weights, in steps of about a pixel.
        degrees: of the direction, from the horizontal. Steps are rounded to whole pixels.
    """
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    angle, (height, width) = math.radians(degrees), image.shape[:2]
    moved = np.zeros_like(image)
    for step, weight in enumerate(weights):
        down = np.clip(np.arange(height) + round(step * math.sin(angle)), 0, height - 1)
        right = np.clip(np.arange(width) + round(step * math.cos(angle)), 0, width - 1)
        moved += weight * image[down][:, right]
    return moved


def zoomed(image: Image, factor: float) -> Image:
    """Enlarge the middle of an image, bilinearly, to the whole image's size."""
    height, width = image.shape[:2]
    part = [math.ceil(size / factor) for size in (height, width)]
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    larger = scipy.ndimage.zoom(image[top : top + part[0], left : left + part[1]], (factor, factor, 1), order=1)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    middle: Image = larger[top : top + height, left : left + width]
    return middle if middle.shape == image.shape else image


def plasma(size: int, decay: float, rng: np.random.Generator) -> Image:
    """Return a fractal in 0..1 by the diamond-square algorithm, (size, size), a power of two."""
    heights = np.zeros((size, size))
    step, wobble = size, 100.0

    def around(total: Image) -> Image:
        return total / 4 + wobble * rng.uniform(-wobble, wobble, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        squares = corners + np.roll(corners, -1, axis=0)
        heights[half::step, half::step] = around(squares + np.roll(squares, -1, axis=1))
        centres, corners = heights[half::step, half::step], heights[::step, ::step]
        across = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        heights[::step, half::step] = around(across)
        down = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        heights[half::step, ::step] = around(down)
        step, wobble = half, wobble / decay
    heights -= heights.min()
    fractal: Image = heights / heights.max()
    return fractal


def plasma_of(height: int, width: int, decay: float, rng: np.random.Generator) -> Image:
    """Return the corner of a fractal, (height, width)."""
    return plasma(1 << max(height - 1, width - 1, 1).bit_length(), decay, rng)[:height, :width]


def grey(image: Image) -> Image:
    """Return the brightness of each pixel, (height, width, 1)."""
    if image.shape[2] == 1:
        return image
    brightness: Image = (image @ BRIGHTNESS)[..., None]
    return brightness


def on_colours(change: Change) -> Change:
    """Leave the fourth channel of an image alone, which says how opaque it is."""

    @functools.wraps(change)
    def changed(image: Image, level: Any, rng: np.random.Generator) -> Image:
        colours = change(image[..., :3], level, rng)
        return np.concatenate([colours, image[..., 3:]], axis=2) if image.shape[2] > 3 else colours

    return changed
