"""Outputs of a class and a box for each query, as detectors of the family of DETR give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.data.tasks.boxes import Array
from pytest_modelbench.data.tasks.boxes_forms import Boxes
from pytest_modelbench.errors import ModelError


def has_queries(output: Any) -> bool:
    """Whether an output has a class and a box for each query."""
    if isinstance(output, Mapping):
        return "logits" in output and "pred_boxes" in output
    return hasattr(output, "logits") and hasattr(output, "pred_boxes")


def query_boxes(output: Any, classes: Mapping[int, str], most: int, model: str) -> list[Boxes]:
    """Return the boxes of each image.

    Logits with one column more than classes are softmax with a last column for no object (DETR, YOLOS); with one for
    each class, they are sigmoids (Deformable DETR, RT-DETR), of which the highest of all queries and classes count.

    Args:
        output: with `logits`, (n, queries, columns), and `pred_boxes`, (n, queries, 4), (cx, cy, w, h) as shares of
            the image's sides.
        classes: their names by number, which tell the two apart.
        most: how many detections of an image are kept where scores are sigmoids.
        model: its name.

    Raises:
        ModelError: other shapes, or classes that do not tell them apart.
    """
    read = output.__getitem__ if isinstance(output, Mapping) else lambda name: getattr(output, name)
    logits, boxes = as_array(read("logits")).astype(np.float64), as_array(read("pred_boxes"))
    if logits.ndim != 3 or boxes.shape != (*logits.shape[:2], 4):
        raise ModelError(
            f"{model} returned logits of shape {logits.shape} and pred_boxes of shape {boxes.shape}, expected "
            "(n, queries, columns) and (n, queries, 4)"
        )
    columns, highest = logits.shape[2], max(classes, default=-1) + 1
    if columns == highest + 1:
        return [_by_softmax(*pair) for pair in zip(logits, boxes, strict=True)]
    if columns == highest:
        return [_by_sigmoid(*pair, most) for pair in zip(logits, boxes, strict=True)]
    stated = f"classes= states {highest}" if classes else "classes= is not stated"
    raise ModelError(
        f"{model} returned logits with {columns} columns, and {stated}: is the last column for no object? Write "
        f"classes=[...] with {columns - 1} names if it is (DETR, YOLOS), or with {columns} if it is not (RT-DETR), "
        "or a mapping of numbers to names"
    )


def _by_softmax(logits: Array, boxes: Array) -> Boxes:
    shares = scipy.special.softmax(logits, axis=1)[:, :-1]
    labels = shares.argmax(axis=1)
    return Boxes(boxes, labels, shares.max(axis=1), own_format="cxcywh", own_shares=True)


def _by_sigmoid(logits: Array, boxes: Array, most: int) -> Boxes:
    scores = scipy.special.expit(logits).reshape(-1)
    order = np.argsort(-scores, kind="stable")[:most]
    query, labels = np.divmod(order, logits.shape[1])
    return Boxes(boxes[query], labels, scores[order], own_format="cxcywh", own_shares=True)
