"""Corruptions of images: one image (height, width, channels) of floats in 0..1 at a time.

Definitions and severities are those of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations (ICLR 2019): of ImageNet-C, and of CIFAR-10-C for images whose shorter side is below
`SMALL` pixels. Their lengths in pixels are those for images of 224 x 224 and of 32 x 32, also where an image is of
another size; only those of `elastic_transform` are shares of its shorter side. Nothing is stored as JPEG, as the
published data are. Callers clip to 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.ndimage

from pytest_modelbench.data.corruptions.filters import Image, dragged, on_colours, smoothed, zoomed
from pytest_modelbench.data.corruptions.jpeg import jpeg_compression
from pytest_modelbench.data.corruptions.warps import elastic_transform, glass_blur
from pytest_modelbench.data.corruptions.weather import fog, frost, snow, spatter

SMALL = 96


def _steps(*args: float) -> tuple[float, ...]:
    return tuple(np.arange(*args).tolist())


def _of_224(*severities: tuple[float, float, float]) -> tuple[tuple[float, ...], ...]:
    """Return shares of the side of an image of 224 pixels, for which the published code takes 244."""
    return tuple(tuple(244 / 224 * length for length in lengths) for lengths in severities)


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
    "glass_blur": (
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "elastic_transform": (
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        _of_224((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "snow": (
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": (
        ((1, 0.2, 5), (1, 0.3, 5), (0.9, 0.4, 5), (0.85, 0.4, 5), (0.75, 0.45, 5)),
        ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    ),
    "jpeg_compression": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
    "spatter": (
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
        (
            (0.65, 0.3, 4, 0.69, 0.6, False),
            (0.65, 0.3, 3, 0.68, 0.6, False),
            (0.65, 0.3, 2, 0.68, 0.5, False),
            (0.65, 0.3, 1, 0.65, 1.5, True),
            (0.67, 0.4, 1, 0.65, 1.5, True),
        ),
    ),
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
    return smoothed(image, sigma)


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
    soft: Image = kernel / kernel.sum()
    return soft


def motion_blur(image: Image, radius_and_sigma: tuple[int, float], rng: np.random.Generator) -> Image:
    """Average copies that are moved along one direction, within 45 degrees of the horizontal, by Gaussian weights."""
    return dragged(image, *radius_and_sigma, rng.uniform(-45, 45))


def zoom_blur(image: Image, factors: tuple[float, ...], _: np.random.Generator) -> Image:
    """Average the image and its copies that are enlarged by each factor."""
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


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
    """Multiply the saturation of HSV and add to it; hue and value stay, and grey counts as red.

    An input of one channel, beside one in colour, stays as it is.
    """
    if image.shape[2] != 3:
        return image
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
    function.__name__: on_colours(function)
    for function in (
        gaussian_noise, shot_noise, impulse_noise, speckle_noise, gaussian_blur, defocus_blur, motion_blur, zoom_blur,
        fog, brightness, contrast, saturate, pixelate, glass_blur, elastic_transform, snow, frost, jpeg_compression,
        spatter,
    )
}  # fmt: skip
