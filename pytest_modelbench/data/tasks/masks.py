"""Masks of classes: the forms in which they come, and how they are kept small."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, is_tensor, select_output
from pytest_modelbench.data.tasks.task_data import Array, Samples
from pytest_modelbench.errors import DataError, ModelError

WRONG = -1
"""The class of pixels whose largest score is not finite, which no target has."""
Size = tuple[int, int]
_HALF = 0.5


def packed(masks: Sequence[Array]) -> Samples:
    """Return masks of whole numbers, (height, width) each, as compressed bytes: they have large areas of one number.

    >>> unpacked(*(parts[0] for parts in packed([np.array([[1, 2]])]).values())).tolist()
    [[1, 2]]
    """
    compressed = [zlib.compress(np.ascontiguousarray(mask, dtype=np.int16).tobytes(), 1) for mask in masks]
    return {
        "mask": [np.frombuffer(data, dtype=np.uint8) for data in compressed],
        "size": [np.array(mask.shape, dtype=np.int32) for mask in masks],
    }


def unpacked(mask: Array, size: Array) -> Array:
    """Return a mask that `packed` compressed, (height, width)."""
    return np.frombuffer(zlib.decompress(mask.tobytes()), dtype=np.int16).reshape(size)


def target_mask(target: Any, place: str) -> Array:
    """Return a mask of numbers of classes, (height, width), of an array with or without an axis of one channel.

    Raises:
        DataError: other numbers than whole ones, or more axes; the message names the sample.
    """
    try:
        mask = as_array(target)
    except ModelError as error:
        raise DataError(f"{place}: {error}") from error
    mask = mask[0] if mask.ndim == 3 and len(mask) == 1 else mask
    if mask.ndim == 3:
        raise DataError(
            f"{place}: found a mask of shape {mask.shape}, expected one class for each pixel, (height, width). Of "
            "one channel for each class, write targets.argmax(axis=1)"
        )
    if mask.ndim != 2 or mask.dtype.kind not in "iub":
        raise DataError(
            f"{place}: found a mask of shape {mask.shape} and type {mask.dtype}, expected whole numbers, "
            "(height, width)"
        )
    if mask.size and not -(2**15) <= int(mask.min()) <= int(mask.max()) < 2**15:
        raise DataError(f"{place}: found pixels of the class {int(abs(mask).max())}, expected numbers below 32,768")
    return mask


def numbers_in(mask: Array) -> list[int]:
    """Return the distinct numbers of a mask, in order; counting them takes a tenth of the time of sorting."""
    if not mask.size:
        return []
    least = int(mask.min())
    present: list[int] = (np.flatnonzero(np.bincount(mask.reshape(-1).astype(np.intp) - least)) + least).tolist()
    return present


def head_of(output: Any, select: str | int | None, model: str) -> Any:
    """Return what is judged of an output: `out` of torchvision's mappings, else as for all models; lists stay."""
    if isinstance(output, Mapping) and select is None and "out" in output:
        return output["out"]
    return output if isinstance(output, list) else select_output(output, select, model)


def answer_masks(scores: Any, sizes: Sequence[Size], outputs: str | None, model: str) -> tuple[list[Array], int]:
    """Return the mask of each image, and how many classes the model has; 0 where labels do not say that.

    Args:
        scores: of a batch, (n, classes, height, width) or (n, height, width, classes); of two classes also
            (n, height, width), with or without an axis of one channel; or whole numbers as labels.
        sizes: of the targets, (height, width) each.
        outputs: `logits`, `probabilities` or `labels`, where it is stated.
        model: its name, for messages.

    Raises:
        ModelError: another form.
    """
    shape = tuple(scores.shape)
    if 0 in shape or getattr(scores.dtype, "kind", "f") not in "iufb":
        raise ModelError(f"{model} returned an output of shape {shape} and type {scores.dtype}, expected numbers")
    if outputs == "labels" or _are_labels(scores):
        return [mask.reshape(mask.shape[-2:]) for mask in _labels(scores, model)], 0
    if len(shape) == 4 and shape[3] > 1 and shape[1:3] == sizes[0] != shape[2:]:
        scores = scores.moveaxis(3, 1) if is_tensor(scores) else np.moveaxis(scores, 3, 1)
        shape = tuple(scores.shape)
    if len(shape) == 4 and shape[1] > 1:
        return list(_largest(scores)), shape[1]
    if len(shape) in {3, 4}:
        return list(_above(scores.reshape(shape[0], *shape[-2:]), outputs, model)), 2
    raise ModelError(
        f"{model} returned an output of shape {shape}, expected (n, classes, height, width), or (n, height, width) "
        "with outputs='labels'"
    )


def _are_labels(scores: Any) -> bool:
    kind = "f" if is_tensor(scores) and scores.is_floating_point() else getattr(scores.dtype, "kind", "i")
    return len(scores.shape) == 3 and kind in "iub"


def _labels(scores: Any, model: str) -> list[Array]:
    masks = as_array(scores)
    flat = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks
    if flat.ndim != 3 or flat.dtype.kind not in "iub":
        raise ModelError(
            f"{model} returned labels of shape {masks.shape} and type {masks.dtype}, expected whole numbers, "
            "(n, height, width)"
        )
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < 2**15:
        raise ModelError(f"{model} returned labels from {flat.min()} to {flat.max()}, expected 0 to 32,767")
    return list(flat)


def _largest(scores: Any) -> Array:
    """Return the class with the largest score of each pixel, (n, height, width), `WRONG` where it is not finite."""
    tensor = is_tensor(scores)
    top, largest = scores.max(1) if tensor else (scores.max(axis=1), scores.argmax(1))
    sound = top.isfinite() if tensor else np.isfinite(top)
    return as_array(largest) if bool(sound.all()) else np.where(as_array(sound), as_array(largest), WRONG)


def _above(scores: Any, outputs: str | None, model: str) -> Array:
    if outputs not in {"logits", "probabilities"}:
        raise ModelError(
            f"{model} returned one channel, (n, height, width): which values are of class 1? Write "
            "EvalData(..., outputs='logits') for those above 0, 'probabilities' for those above 0.5, or 'labels'"
        )
    values = as_array(scores)
    mask = (values > (0.0 if outputs == "logits" else _HALF)).astype(np.int16)
    return np.where(np.isfinite(values), mask, WRONG)


def enlarged(scores: Any, size: Size) -> Any:
    """Return scores, (n, classes, height, width), interpolated to another height and width, as torch does."""
    import torch

    tensor = scores if is_tensor(scores) else torch.from_numpy(np.ascontiguousarray(scores))
    return torch.nn.functional.interpolate(tensor.float(), size=size, mode="bilinear", align_corners=False)
