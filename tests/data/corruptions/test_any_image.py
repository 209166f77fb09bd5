"""Every corruption of images on every kind of image: in shape, type and range, without warning, opacity as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_modelbench.data.corruptions.applying import apply
from pytest_modelbench.data.corruptions.fitting import Leaf
from pytest_modelbench.data.corruptions.images import IMAGES
from pytest_modelbench.data.corruptions.names import Cell, Corruption

Array = npt.NDArray[Any]
SHAPES: tuple[tuple[tuple[int, ...], int | None], ...] = (
    ((1, 8, 8), 0), ((3, 8, 8), 0), ((4, 8, 8), 0), ((8, 8, 3), 2), ((8, 8, 4), 2), ((1, 1, 4), 2), ((3, 1, 1), 0),
    ((4, 2, 3), 0), ((2, 3), None),
)  # fmt: skip
"""Shapes of one image, with the axis of its channels."""
RNG = np.random.default_rng(7)


def values(shape: tuple[int, ...], dtype: str) -> Iterator[Array]:
    """Yield images: random, of one value, black, white, and for floats with NaN and of nothing else."""
    scale = 255 if dtype == "uint8" else 1
    for image in (RNG.random(shape), np.full(shape, 0.4), np.zeros(shape), np.ones(shape)):
        yield (scale * image).astype(dtype)
    if dtype != "uint8":
        yield np.where(RNG.random(shape) < 0.3, np.nan, RNG.random(shape)).astype(dtype)
        yield np.full(shape, np.nan, dtype)


def opacity(image: Array, axis: int | None) -> Array:
    """Return the fourth channel of a batch of images, of no values where there is none."""
    return image[:0] if axis is None else np.take(image, range(3, image.shape[1 + axis]), 1 + axis)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("name", IMAGES)
def test_any_image_is_corrupted(name: str, dtype: str) -> None:
    """At severities 1 and 5."""
    for shape, axis in SHAPES:
        form = Leaf(family="images", axis=axis, low=0.0, high=255.0 if dtype == "uint8" else 1.0)
        batch = np.stack(list(values(shape, dtype)))
        for severity in (1, 5):
            cell = Cell(corruption=Corruption(name=name), severity=severity, seed=0)
            changed = apply(batch, list(range(len(batch))), cell, [form])
            assert (changed.shape, changed.dtype) == (batch.shape, batch.dtype)
            plain = changed[:4]
            assert np.isfinite(plain).all()
            assert form.low <= plain.min() <= plain.max() <= form.high
            np.testing.assert_array_equal(opacity(changed, axis), opacity(batch, axis))
