"""Corruptions of images by weather: fog, frost, snow, and what splashes onto the lens.

Definitions and severities are those of Hendrycks and Dietterich (ICLR 2019). The published frost adds photographs of
frozen glass; here a texture is made that has their brightness, contrast and coarseness.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from pytest_modelbench.data.corruptions.filters import (
    BRIGHTNESS,
    Image,
    dragged,
    grey,
    plasma_of,
    smoothed,
    zoomed,
)

WATER = np.array([175, 238, 238]) / 255
MUD = np.array([63, 42, 20]) / 255
ICE = np.array([-0.06, 0.01, 0.05])
"""How red, green and blue of the published photographs differ from their mean."""
_NEEDLES, _LENGTH = 12, 5.0
FURTHEST = 20
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
_LEVELS = 255


def fog(image: Image, thickness_and_decay: tuple[float, float], rng: np.random.Generator) -> Image:
    """Add a fractal haze, and scale back to the largest value before."""
    thickness, decay = thickness_and_decay
    haze = plasma_of(image.shape[0], image.shape[1], decay, rng)[..., None]
    largest = float(np.nanmax(image, initial=0.0))
    return (image + thickness * haze) * (largest / (largest + thickness))


def frost(image: Image, shares_and_finer: tuple[float, float, int], rng: np.random.Generator) -> Image:
    """Add a share of a texture of frost to a share of the image; the texture is taken smaller by a factor."""
    kept, added, finer = shares_and_finer
    height, width = image.shape[:2]
    texture = crystals(height * finer, width * finer, rng)
    texture = texture.reshape(height, finer, width, finer).mean(axis=(1, 3))[..., None]
    if image.shape[2] == len(ICE):
        texture = texture + ICE
    frozen: Image = kept * image + added * np.clip(texture, 0, 1)
    return frozen


def crystals(height: int, width: int, rng: np.random.Generator) -> Image:
    """Return a texture of frost, (height, width): needles in directions 60 degrees apart, on a fractal.

    Five photographs of the published code have a mean brightness from 0.48 to 0.81, a deviation of about 0.11, and
    neighbours at 1, 5 and 20 pixels that correlate by about 0.84, 0.6 and 0.5. So does this texture.
    """
    level, first = rng.uniform(0.48, 0.81), rng.uniform(0, 60)
    seeds = smoothed(rng.normal(size=(height, width, 1)), 0.7)
    needles = np.max([dragged(seeds, _NEEDLES, _LENGTH, first + turn)[..., 0] for turn in (0, 60, 120)], axis=0)
    fractal = plasma_of(height, width, 1.2, rng)
    return level + 0.08 * _standard(needles) + 0.08 * _standard(fractal)


def _standard(values: Image) -> Image:
    spread = float(values.std())
    standard: Image = (values - values.mean()) / (spread or 1.0)
    return standard


def snow(
    image: Image, flakes: tuple[float, float, float, float, int, float, float], rng: np.random.Generator
) -> Image:
    """Whiten the image, and add flakes that fall along one direction, and once more turned around.

    Args:
        image: (height, width, channels).
        flakes: mean, deviation, enlargement and threshold of the noise that they are made of; radius and sigma of
            their fall; the share of the image that is not whitened.
        rng: the sample's.
    """
    mean, deviation, larger, least, radius, sigma, kept = flakes
    layer = zoomed(rng.normal(mean, deviation, (*image.shape[:2], 1)), larger)
    layer = np.clip(np.where(layer < least, 0, layer), 0, 1)
    layer = dragged(layer, radius, sigma, rng.uniform(-135, -45))
    white = kept * image + (1 - kept) * np.maximum(image, 1.5 * grey(image) + 0.5)
    fallen: Image = white + layer + np.rot90(layer, 2)
    return fallen


def spatter(image: Image, drops: tuple[float, float, float, float, float, bool], rng: np.random.Generator) -> Image:
    """Put drops of water or of mud onto the image; on a small image there may be none.

    Args:
        image: (height, width, channels).
        drops: mean, deviation and blur of the noise that they are made of, and the threshold above which it is a
            drop; how bright water is, or how blurred mud; whether it is mud.
        rng: the sample's.
    """
    mean, deviation, blur, least, strength, is_mud = drops
    layer = smoothed(rng.normal(mean, deviation, (*image.shape[:2], 1)), blur)[..., 0]
    layer = np.where(layer < least, 0, layer)
    if not is_mud:
        return image + strength * _relief(layer)[..., None] * _tinted(WATER, image)
    opaque = smoothed((layer > least).astype(float)[..., None], strength)
    opaque = np.where(opaque < 0.8, 0, opaque)
    return image * (1 - opaque) + opaque * _tinted(MUD, image)


def _tinted(colour: Image, image: Image) -> Image:
    """Return a colour for an image's channels: its brightness where they are not three."""
    return colour if image.shape[2] == len(colour) else np.array([colour @ BRIGHTNESS])


def _relief(layer: Image) -> Image:
    """Return how bright drops of water are, at most 1: by their distance from an edge, lit from one corner."""
    wet = np.floor(layer * _LEVELS)
    drops = wet > 0
    if not drops.any():
        return np.zeros_like(layer)
    edges = drops & ~scipy.ndimage.binary_erosion(drops, border_value=1)
    if not edges.any():
        edges = drops
    distance = np.minimum(scipy.ndimage.distance_transform_edt(~edges), FURTHEST)
    even = equalised(np.floor(_box(distance)).astype(int))
    lit = np.clip(scipy.ndimage.correlate(even, _RELIEF, mode="mirror"), 0, _LEVELS)
    bright = wet * _box(lit)
    relief: Image = bright / (bright.max() or 1.0)
    return relief


def _box(values: Image) -> Image:
    mean: Image = scipy.ndimage.uniform_filter(values.astype(float), 3, mode="mirror")
    return mean


def equalised(values: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> Image:
    """Return whole numbers spread over 0 to 255 so that each share of the pixels has its share of the range.

    >>> equalised(np.array([[3, 3], [4, 9]])).tolist()
    [[0.0, 0.0], [128.0, 255.0]]
    """
    sums = np.cumsum(np.bincount(values.ravel()))
    first = sums[values.min()]
    if first == values.size:
        return values.astype(float)
    spread: Image = np.round(_LEVELS * (sums - first) / (values.size - first))[values]
    return spread
