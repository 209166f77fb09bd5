"""Formats of boxes: convert them to (x1, y1, x2, y2) in pixels, and tell which format numbers can be in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FORMATS = ("xyxy", "xywh", "cxcywh")
NORMALISED_TO = 1.5
"""Boxes that are normalised have no coordinate beyond this."""


def as_corners(boxes: Array, box_format: str) -> Array:
    """Return boxes as (x1, y1, x2, y2), (k, 4).

    >>> as_corners(np.array([[1.0, 2.0, 3.0, 4.0]]), "xywh").tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    >>> as_corners(np.array([[5.0, 5.0, 4.0, 2.0]]), "cxcywh").tolist()
    [[3.0, 4.0, 7.0, 6.0]]
    """
    first, second = boxes[:, :2], boxes[:, 2:]
    if box_format == "xyxy":
        return boxes
    if box_format == "xywh":
        return np.concatenate([first, first + second], axis=1)
    return np.concatenate([first - second / 2, first + second / 2], axis=1)


def reversed_in(corners: Array) -> npt.NDArray[np.bool_]:
    """Return which boxes end before they begin, (k,)."""
    backward: npt.NDArray[np.bool_] = np.any(corners[:, 2:] < corners[:, :2], axis=1)
    return backward


def beyond(corners: Array, sizes: Array, slack: float) -> npt.NDArray[np.bool_]:
    """Return which boxes reach out of their image by more than a share of its sides, (k,).

    Args:
        corners: in pixels, (k, 4).
        sizes: of the image of each box, (k, 2): height and width; NaN where it is unknown.
        slack: the share.
    """
    ends = sizes[:, ::-1]
    low, high = -slack * ends - 1, (1 + slack) * ends + 1
    reaching: npt.NDArray[np.bool_] = np.any((corners[:, :2] < low) | (corners[:, 2:] > high), axis=1)
    return reaching


def outside(corners: Array, sizes: Array) -> npt.NDArray[np.bool_]:
    """Return which boxes have nothing in common with their image, (k,)."""
    apart: npt.NDArray[np.bool_] = np.any((corners[:, 2:] < 0) | (corners[:, :2] > sizes[:, ::-1]), axis=1)
    return apart


def fitting_formats(boxes: Array, sizes: Array, slack: float) -> list[str]:
    """Return the formats in which all boxes are boxes inside of their images.

    >>> sizes = np.array([[100.0, 100.0]])
    >>> fitting_formats(np.array([[60.0, 50.0, 30.0, 40.0]]), sizes, 0.01)
    ['xywh', 'cxcywh']
    """
    corners: Mapping[str, Array] = {name: as_corners(boxes, name) for name in FORMATS}
    return [
        name for name, each in corners.items() if not reversed_in(each).any() and not beyond(each, sizes, slack).any()
    ]
