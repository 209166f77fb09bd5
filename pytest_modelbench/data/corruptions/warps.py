"""Corruptions of images that move their pixels: frosted glass, and elastic distortion.

Definitions and severities are those of Hendrycks and Dietterich (ICLR 2019), without rounding to bytes between steps.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from pytest_modelbench.data.corruptions.filters import Image, smoothed

IntArray = npt.NDArray[np.intp]


def glass_blur(image: Image, sigma_reach_rounds: tuple[float, int, int], rng: np.random.Generator) -> Image:
    """Blur, let each pixel take the value of one nearby, some times over, and blur again."""
    sigma, reach, rounds = sigma_reach_rounds
    blurred = smoothed(image, sigma)
    for _ in range(rounds):
        inside = [max(size - 2 * reach, 0) for size in image.shape[:2]]
        blurred = taken_nearby(blurred, rng.integers(-reach, reach, (*inside, 2)), reach)
    return smoothed(blurred, sigma)


def taken_nearby(image: Image, moves: IntArray, reach: int) -> Image:
    """Return an image whose pixels have taken the value of one nearby, from the last pixel to the first.

    The published code exchanges two pixels, but with numpy's views its line copies one of them onto the other. A
    pixel may take a value from one that has taken its own before: these chains are followed to their ends, each step
    twice as far as the one before.

    Args:
        image: (height, width, channels).
        moves: rows down and columns right of what each pixel takes, for those at least `reach` pixels from an edge
            (one more at the first row and column), (height - 2 reach, width - 2 reach, 2).
        reach: no move is further.
    """
    height, width = image.shape[:2]
    places = np.arange(height * width).reshape(height, width)
    rows, columns = (np.arange(reach + 1, reach + 1 + size) for size in moves.shape[:2])
    places[np.ix_(rows, columns)] = (rows[:, None] + moves[..., 0]) * width + columns + moves[..., 1]
    source, own = places.ravel(), np.arange(height * width)
    changes = np.zeros(len(own), dtype=bool)
    changes.reshape(height, width)[np.ix_(rows, columns)] = True
    before = changes[source] & (source > own)  # what it takes has itself changed before
    last = np.where(before, source, own)
    while not np.array_equal(further := last[last], last):
        last = further
    taken: Image = image.reshape(height * width, -1)[source[last]].reshape(image.shape)
    return taken


def elastic_transform(image: Image, shares: tuple[float, float, float], rng: np.random.Generator) -> Image:
    """Stretch the image by a random affine map, and move each pixel by a smooth random field.

    Args:
        image: (height, width, channels).
        shares: of the shorter side: how far the field goes before it is smoothed, the sigma that smoothes it, and how
            far the corners of the affine map's triangle move.
        rng: the sample's.
    """
    size = image.shape[:2]
    far, sigma, shift = (share * min(size) for share in shares)
    image = _affine(image, shift, rng)
    rows, columns = (
        far * scipy.ndimage.gaussian_filter(rng.uniform(-1, 1, size), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    at = np.mgrid[: size[0], : size[1]] + np.stack([rows, columns])
    return _read(image, at, "reflect")


def _affine(image: Image, shift: float, rng: np.random.Generator) -> Image:
    """Map a triangle around the middle to one whose corners are moved by up to `shift` pixels, bilinearly."""
    middle, half = np.array(image.shape[:2]) // 2, max(min(image.shape[:2]) // 3, 1)
    corners = middle + half * np.array([[1, 1], [-1, 1], [-1, -1]])
    moved = corners + rng.uniform(-shift, shift, (3, 2))
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)
    at = np.tensordot(back.T, np.stack([*np.mgrid[: image.shape[0], : image.shape[1]], np.ones(image.shape[:2])]), 1)
    return _read(image, at, "mirror")


def _read(image: Image, at: Image, mode: Literal["reflect", "mirror"]) -> Image:
    """Return an image read at (2, height, width) places, bilinearly."""
    channels = np.moveaxis(image, 2, 0)
    return np.stack([scipy.ndimage.map_coordinates(one, at, order=1, mode=mode) for one in channels], axis=2)
