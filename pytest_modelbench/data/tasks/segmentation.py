"""`SegmentationData`: a class for each pixel of an image."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arrays import as_array, select_output
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData
from pytest_modelbench.errors import DataError, ModelError


class SegmentationData(TaskData):
    """Images with a mask each, whose pixels are numbers of classes.

    `EvalData(..., task="segmentation")` makes one, too.

    Args:
        inputs: images, (n, channels, height, width), or a list of such of different sizes.
        targets: masks of whole numbers, (n, height, width), or a list of such of different sizes.
        ignore_index: the number of pixels that do not count, such as 255.
        common: the arguments of `TaskData`.

    Raises:
        DataError: as for `TaskData`.
    """

    TASK: ClassVar[str] = "segmentation"
    UNIT: ClassVar[str] = "image"
    KPIS: ClassVar[str] = "pixel_accuracy"

    def __init__(
        self, inputs: Any = None, targets: Any = None, *, ignore_index: int | None = None, **common: Any
    ) -> None:
        super().__init__(inputs, targets, own={"ignore_index": ignore_index}, **common)
        self.ignore_index = ignore_index

    def targets_of(self, batch: Batch) -> Samples:
        """Return the masks of a batch, compressed.

        Raises:
            DataError: a mask of other numbers, or with more axes.
        """
        masks = []
        for position, target in enumerate(batch.targets):
            mask = as_array(target)
            if mask.ndim != 2 or mask.dtype.kind not in "iub":
                raise DataError(
                    f"{self.place(batch, position)}: found a mask of shape {mask.shape} and type {mask.dtype}, "
                    "expected whole numbers, (height, width)"
                )
            masks.append(mask)
        return packed(masks)

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the largest class of each pixel, compressed.

        Raises:
            ModelError: no logits, (n, classes, height, width).
        """
        logits = as_array(select_output(output, self.select, model))
        if logits.ndim != 4 or len(logits) != len(batch.targets):
            raise ModelError(
                f"{model} returned an output of shape {logits.shape}, expected logits (n, classes, height, width)"
            )
        return packed(list(logits.argmax(axis=1)))


def packed(masks: list[Array]) -> Samples:
    """Return masks of whole numbers as compressed bytes: they have large areas of one number.

    >>> unpacked(*(parts[0] for parts in packed([np.array([[1, 2]])]).values())).tolist()
    [[1, 2]]
    """
    compressed = [zlib.compress(np.ascontiguousarray(mask, dtype=np.int32).tobytes(), 1) for mask in masks]
    return {
        "mask": [np.frombuffer(data, dtype=np.uint8) for data in compressed],
        "size": [np.array(mask.shape, dtype=np.int32) for mask in masks],
    }


def unpacked(mask: Array, size: Array) -> Array:
    """Return a mask that `packed` compressed, (height, width)."""
    return np.frombuffer(zlib.decompress(mask.tobytes()), dtype=np.int32).reshape(size)
