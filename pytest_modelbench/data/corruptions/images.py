"""Corruptions of images: one image (height, width, channels) of floats in 0..1 at a time.

Definitions and severities are those of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations (ICLR 2019): of ImageNet-C, and of CIFAR-10-C for images whose shorter side is below
`SMALL` pixels. Nothing is stored as JPEG. Callers clip to 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

Image = npt.NDArray[np.float64]
SMALL = 96


def _steps(*args: float) -> tuple[float, ...]:
    return tuple(np.arange(*args).tolist())


LEVELS: Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": ((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    "speckle_noise": ((0.06, 0.1, 0.12, 0.16, 0.2), (0.15, 0.2, 0.35, 0.45, 0.6)),
    "gaussian_blur": ((0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)),
    "defocus_blur": (
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "motion_blur": (((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "zoom_blur": (
        tuple(_steps(1, last, 0.01) for last in (1.06, 1.11, 1.16, 1.21, 1.26)),
        (
            _steps(1, 1.11, 0.01),
            _steps(1, 1.16, 0.01),
            _steps(1, 1.21, 0.02),
            _steps(1, 1.26, 0.02),
            _steps(1, 1.31, 0.03),
        ),
    ),
    "fog": (
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": ((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "saturate": (
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ),
    "pixelate": ((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
}
"""For each corruption what severities 1 to 5 of small and of large images are."""


def level(name: str, image: Image, severity: int) -> Any:
    """Return what a severity means for an image of this size."""
    return LEVELS[name][min(image.shape[:2]) >= SMALL][severity - 1]


def gaussian_noise(image: Image, scale: float, rng: np.random.Generator) -> Image:
    """Add normal noise of a standard deviation."""
    return image + rng.normal(scale=scale, size=image.shape)


def shot_noise(image: Image, photons: float, rng: np.random.Generator) -> Image:
    """Count photons, of which the value 1 gives so many on average."""
    return rng.poisson(np.clip(np.nan_to_num(image), 0, 1) * photons) / photons


def impulse_noise(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Set a share of values to 0 or 1, half each."""
    drawn = rng.random(image.shape)
    return np.where(drawn < share / 2, 0.0, np.where(drawn < share, 1.0, image))


def speckle_noise(image: Image, scale: float, rng: np.random.Generator) -> Image:
    """Add normal noise in proportion to the value."""
    return image + image * rng.normal(scale=scale, size=image.shape)


def gaussian_blur(image: Image, sigma: float, _: np.random.Generator) -> Image:
    """Filter height and width, each channel apart."""
    blurred: Image = scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return blurred


def defocus_blur(image: Image, radius_and_alias: tuple[float, float], _: np.random.Generator) -> Image:
    """Filter with a disk, whose edge is smoothed."""
    kernel = disk(*radius_and_alias)
    blurred: Image = scipy.ndimage.convolve(image, kernel[:, :, None], mode="mirror")
    return blurred


def disk(radius: float, alias: float) -> Image:
    """Return the kernel of a disk, smoothed over 3 x 3 pixels, over 5 x 5 for a radius of more than 8 pixels."""
    reach, half = (8, 1) if radius <= 8 else (int(radius), 2)
    across = np.arange(-reach, reach + 1)
    inside = (across[:, None] ** 2 + across**2 <= radius**2).astype(float)
    edge = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * alias**2))
    edge /= edge.sum()
    kernel = inside / inside.sum()
    for axis in (0, 1):
        kernel = scipy.ndimage.convolve1d(kernel, edge, axis=axis, mode="mirror")
    smoothed: Image = kernel / kernel.sum()
    return smoothed


def motion_blur(image: Image, radius_and_sigma: tuple[int, float], rng: np.random.Generator) -> Image:
    """Average copies that are moved along one direction, within 45 degrees of the horizontal, by Gaussian weights."""
    radius, sigma = radius_and_sigma
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = math.radians(rng.uniform(-45, 45))
    height, width = image.shape[:2]
    moved = np.zeros_like(image)
    for step, weight in enumerate(weights):
        down = np.clip(np.arange(height) + round(step * math.sin(angle)), 0, height - 1)
        right = np.clip(np.arange(width) + round(step * math.cos(angle)), 0, width - 1)
        moved += weight * image[down][:, right]
    return moved


def zoom_blur(image: Image, factors: tuple[float, ...], _: np.random.Generator) -> Image:
    """Average the image and its copies that are enlarged by each factor."""
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


def zoomed(image: Image, factor: float) -> Image:
    """Enlarge the middle of an image, bilinearly, to the whole image's size."""
    height, width = image.shape[:2]
    part = [math.ceil(size / factor) for size in (height, width)]
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    larger = scipy.ndimage.zoom(image[top : top + part[0], left : left + part[1]], (factor, factor, 1), order=1)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    middle: Image = larger[top : top + height, left : left + width]
    return middle if middle.shape == image.shape else image


def fog(image: Image, thickness_and_decay: tuple[float, float], rng: np.random.Generator) -> Image:
    """Add a fractal haze, and scale back to the largest value before."""
    thickness, decay = thickness_and_decay
    height, width = image.shape[:2]
    haze = plasma(1 << max(height - 1, width - 1, 1).bit_length(), decay, rng)[:height, :width, None]
    largest = float(np.nanmax(image))
    return (image + thickness * haze) * (largest / (largest + thickness) if largest else 1.0)


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


def brightness(image: Image, more: float, _: np.random.Generator) -> Image:
    """Add to the value of HSV (the largest channel); hue and saturation stay."""
    value = image.max(axis=2, keepdims=True)
    brighter = np.clip(value + more, 0, 1)
    changed: Image = np.where(value > 0, image * brighter / np.where(value > 0, value, 1), brighter)
    return changed


def contrast(image: Image, share: float, _: np.random.Generator) -> Image:
    """Keep a share of each channel's distance from its mean."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    changed: Image = (image - mean) * share + mean
    return changed


def saturate(image: Image, factor_and_more: tuple[float, float], _: np.random.Generator) -> Image:
    """Multiply the saturation of HSV and add to it; hue and value stay, and grey counts as red."""
    factor, more = factor_and_more
    value, least = image.max(axis=2, keepdims=True), image.min(axis=2, keepdims=True)
    saturation = np.divide(value - least, value, out=np.zeros_like(value), where=value > 0)
    new = np.clip(saturation * factor + more, 0, 1)
    apart = np.divide(value - image, value * saturation, out=np.zeros_like(image), where=value * saturation > 0)
    red = np.broadcast_to(np.array([0.0, 1.0, 1.0]), image.shape)
    changed: Image = value - value * new * np.where(saturation > 0, apart, red)
    return changed


def pixelate(image: Image, share: float, _: np.random.Generator) -> Image:
    """Replace each value by the mean of its block: as many blocks a side as a share of the pixels."""
    blocks = [max(1, int(size * share)) for size in image.shape[:2]]
    of = [
        ((np.arange(size) + 0.5) * count / size).astype(int)
        for size, count in zip(image.shape[:2], blocks, strict=True)
    ]
    down, across = (
        np.equal.outer(np.arange(count), index).astype(float) for count, index in zip(blocks, of, strict=True)
    )
    down, across = down / down.sum(axis=1, keepdims=True), across / across.sum(axis=1, keepdims=True)
    small: Image = np.einsum("ih,hwc,jw->ijc", down, image, across, optimize=True)
    blocky: Image = small[of[0]][:, of[1]]
    return blocky


IMAGES: Mapping[str, Callable[[Image, Any, np.random.Generator], Image]] = {
    function.__name__: function
    for function in (
        gaussian_noise, shot_noise, impulse_noise, speckle_noise, gaussian_blur, defocus_blur, motion_blur, zoom_blur,
        fog, brightness, contrast, saturate, pixelate,
    )
}  # fmt: skip
