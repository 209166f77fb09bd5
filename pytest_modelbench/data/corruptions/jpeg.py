"""Baseline JPEG as a corruption: what an image has lost when it comes back, without the bytes in between.

The standard's lossy steps: rounding to bytes, colour difference at half the resolution, cosine transform of blocks
of 8 x 8, division by the tables of Annex K at the scale that libjpeg gives a quality, and back. The coding of the
rounded numbers loses nothing and is left out. Source: ITU-T T.81 (1992), and T.871 (2011) for the colours.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.ndimage

from pytest_modelbench.data.corruptions.filters import BRIGHTNESS, Image

BRIGHT = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
"""Table K.1, for brightness."""
COLOUR = np.full((8, 8), 99)
COLOUR[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""Table K.2, for colour difference."""
TO_COLOUR = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
FROM_COLOUR = np.array([[0, 1.402], [-0.344136, -0.714136], [1.772, 0]])
MIDDLE, SIZE = 128, 8


def jpeg_compression(image: Image, quality: int, _: np.random.Generator) -> Image:
    """Compress as JPEG of a quality from 1 to 100."""
    pixels = np.round(255 * image)
    if image.shape[2] != len(BRIGHTNESS):
        return np.stack([_coded(channel, steps(BRIGHT, quality)) for channel in np.moveaxis(pixels, 2, 0)], 2) / 255
    bright = _coded(np.round(pixels @ BRIGHTNESS), steps(BRIGHT, quality))
    differences = np.round(pixels @ TO_COLOUR.T) + MIDDLE
    back = [_at_half(channel, steps(COLOUR, quality)) - MIDDLE for channel in np.moveaxis(differences, 2, 0)]
    coloured: Image = (bright[..., None] + np.stack(back, axis=2) @ FROM_COLOUR.T) / 255
    return coloured


def steps(table: Image, quality: int) -> Image:
    """Return the steps that a quality rounds to, as libjpeg scales the standard's table.

    >>> int(steps(BRIGHT, 50)[0, 0]), int(steps(BRIGHT, 25)[0, 0]), int(steps(BRIGHT, 100)[0, 0])
    (16, 32, 1)
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * scale + 50) // 100, 1, 255)


def _at_half(channel: Image, table: Image) -> Image:
    """Code a channel at half the resolution: means of 2 x 2 pixels, and bilinear values between them."""
    height, width = channel.shape
    even = np.pad(channel, ((0, height % 2), (0, width % 2)), mode="edge")
    means = even.reshape(len(even) // 2, 2, -1, 2).mean(axis=(1, 3))
    coded = _coded(np.round(means), table)
    larger = scipy.ndimage.zoom(coded, 2, order=1, mode="nearest", grid_mode=True)
    between: Image = np.round(larger)[:height, :width]
    return between


def _coded(channel: Image, table: Image) -> Image:
    """Round the cosine transform of each block of 8 x 8, and return whole numbers from 0 to 255."""
    height, width = channel.shape
    padded = np.pad(channel - MIDDLE, ((0, -height % SIZE), (0, -width % SIZE)), mode="edge")
    blocks = padded.reshape(len(padded) // SIZE, SIZE, -1, SIZE).swapaxes(1, 2)
    rounded = np.round(scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho") / table) * table
    back = scipy.fft.idctn(rounded, axes=(2, 3), norm="ortho").swapaxes(1, 2).reshape(padded.shape)
    pixels: Image = np.clip(np.round(back + MIDDLE), 0, 255)[:height, :width]
    return pixels
