"""Masks of classes: the forms in which they come, and how they are kept small."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, is_tensor, select_output
from pytest_modelbench.data.tasks.pixel_confidence import confidences, confidences_of_two
from pytest_modelbench.data.tasks.task_data import Array, Samples
from pytest_modelbench.errors import DataError, ModelError

WRONG = -1
"""The class of pixels whose largest score is not finite, which no target has."""
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Read:
    """What is read of an output for one image.

    Attributes:
        mask: the class of each pixel, (height, width); `WRONG` where a score is NaN.
        classes: how many the model has; 0 where labels do not say that.
        confidence: the probability of each pixel's class, (height, width), if it is stated what scores are.
    """

    mask: Array
    classes: int
    confidence: Array | None = None


_HALF = 0.5
_BYTE = 255
_QUERIES = "masks_queries_logits"


def packed(masks: Sequence[Array]) -> Samples:
    """Return masks of whole numbers, (height, width) each, as compressed bytes: they have large areas of one number.

    >>> unpacked(*(parts[0] for parts in packed([np.array([[1, 2]])]).values())).tolist()
    [[1, 2]]
    """
    compressed = [zlib.compress(_smallest(mask).tobytes(), 1) for mask in masks]
    return {
        "mask": [np.frombuffer(data, dtype=np.uint8) for data in compressed],
        "size": [np.array(mask.shape, dtype=np.int32) for mask in masks],
    }


def unpacked(mask: Array, size: Array) -> Array:
    """Return a mask that `packed` compressed, (height, width) of int16."""
    data = zlib.decompress(mask.tobytes())
    numbers = np.frombuffer(data, dtype=np.uint8 if len(data) == size.prod() else np.int16)
    return numbers.astype(np.int16).reshape(size)


def _smallest(mask: Array) -> Array:
    """Return a mask in one byte for each pixel if its numbers allow, else in two."""
    small = not mask.size or (mask.min() >= 0 and mask.max() <= _BYTE)
    return np.ascontiguousarray(mask, dtype=np.uint8 if small else np.int16)


def target_mask(target: Any, place: str) -> Array:
    """Return a mask of numbers of classes, (height, width), of an array with or without an axis of one channel.

    Floats that are all whole numbers are numbers of classes, too: losses of two classes take targets of floats.

    Raises:
        DataError: other numbers than whole ones, or more axes; the message names the sample.
    """
    try:
        mask = as_array(target)
    except ModelError as error:
        raise DataError(f"{place}: {error}") from error
    if mask.ndim == 3 and 1 in {len(mask), mask.shape[2]}:
        mask = mask[0] if len(mask) == 1 else mask[:, :, 0]
    if mask.ndim == 3:
        raise DataError(
            f"{place}: found a mask of shape {mask.shape}, expected one class for each pixel, (height, width). Of "
            "one channel for each class, write targets.argmax(axis=1)"
        )
    whole = mask.dtype.kind in "iub" or (mask.dtype.kind == "f" and bool((mask == np.rint(mask)).all()))
    if mask.ndim != 2 or not whole:
        raise DataError(
            f"{place}: found a mask of shape {mask.shape} and type {mask.dtype}{_not_whole(mask)}, expected whole "
            "numbers, (height, width)"
        )
    if mask.size and not -(2**15) <= mask.min() <= mask.max() < 2**15:
        raise DataError(f"{place}: found pixels of the class {abs(mask).max():.0f}, expected numbers below 32,768")
    return mask.astype(np.int16) if mask.dtype.kind == "f" else mask


def _not_whole(mask: Array) -> str:
    """Name the first number of a mask of floats that is not whole, for messages."""
    if mask.dtype.kind != "f":
        return ""
    return "".join(f" with the number {number:.4g}" for number in mask[mask != np.rint(mask)][:1])


def numbers_in(mask: Array) -> list[int]:
    """Return the distinct numbers of a mask, in order; counting them takes a tenth of the time of sorting."""
    if not mask.size:
        return []
    least = int(mask.min())
    present: list[int] = (np.flatnonzero(np.bincount(mask.reshape(-1).astype(np.intp) - least)) + least).tolist()
    return present


def head_of(output: Any, select: str | int | None, model: str) -> Any:
    """Return what is judged of an output: `out` of torchvision's mappings, else as for all models; lists stay.

    Raises:
        ModelError: no such head; masks of queries, which are not one class for each pixel.
    """
    if isinstance(output, Mapping) and select is None and "out" in output:
        return output["out"]
    if select is None and (_QUERIES in output if isinstance(output, Mapping) else hasattr(output, _QUERIES)):
        raise ModelError(
            f"{model} returned masks of queries ({_QUERIES}), expected scores (n, classes, height, width). Let it "
            "return processor.post_process_semantic_segmentation(output, target_sizes=...); "
            "write outputs='labels'"
        )
    if isinstance(output, list):
        return output if select is None else select_output(tuple(output), select, model)
    return select_output(output, select, model)


def answer_masks(scores: Any, sizes: Sequence[Size], outputs: str | None, model: str) -> list[Read]:
    """Return what is read of the output for each image of a batch.

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
    if outputs == "labels" or are_labels(scores):
        return [Read(mask=mask, classes=0) for mask in _labels(scores, model)]
    scores = channels_first(scores, sizes)
    shape = tuple(scores.shape)
    if len(shape) == 4 and shape[1] > 1:
        sure = confidences(scores, outputs) if outputs else [None] * shape[0]
        pairs = zip(_largest(scores), sure, strict=True)
        return [Read(mask=mask, classes=shape[1], confidence=one) for mask, one in pairs]
    if len(shape) == 3 or (len(shape) == 4 and shape[1]):
        return _above(as_array(scores.reshape(shape[0], *shape[-2:])), outputs, model)
    raise ModelError(
        f"{model} returned an output of shape {shape}, expected (n, classes, height, width), or (n, height, width) "
        "with outputs='labels'"
    )


def channels_first(scores: Any, sizes: Sequence[Size]) -> Any:
    """Return scores as (n, classes, height, width) if they have one of the targets' sizes only with classes last."""
    shape = tuple(scores.shape)
    if len(shape) != 4 or shape[2:] in sizes or shape[1:3] not in sizes:
        return scores
    return scores.moveaxis(3, 1) if is_tensor(scores) else np.moveaxis(scores, 3, 1)


def are_labels(scores: Any) -> bool:
    """Whether an output without `outputs=` is of labels: whole numbers, (n, height, width)."""
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
    if tensor and not scores.is_floating_point():
        scores = scores.short()  # torch has no argmax of booleans
    top, largest = scores.max(1) if tensor else (scores.max(axis=1), scores.argmax(1))
    sound = top.isfinite() if tensor else np.isfinite(top)
    return as_array(largest) if bool(sound.all()) else np.where(as_array(sound), as_array(largest), WRONG)


def _above(values: Array, outputs: str | None, model: str) -> list[Read]:
    if outputs not in {"logits", "probabilities"}:
        raise ModelError(
            f"{model} returned one channel, (n, height, width): which values are of class 1? Write "
            "EvalData(..., outputs='logits') for those above 0, 'probabilities' for those above 0.5, or 'labels'"
        )
    low, high = (float(end(values)) if values.size else 0.0 for end in (np.nanmin, np.nanmax))
    if outputs == "probabilities" and (low < 0 or high > 1):
        raise ModelError(
            f"{model}: you declared outputs='probabilities', but values range from {low:.4g} to {high:.4g}. Use "
            "outputs='logits'"
        )
    mask = (values > (0.0 if outputs == "logits" else _HALF)).astype(np.int16)
    pairs = zip(np.where(np.isfinite(values), mask, WRONG), confidences_of_two(values, outputs), strict=True)
    return [Read(mask=one, classes=2, confidence=sure) for one, sure in pairs]


def enlarged(scores: Any, size: Size, model: str) -> Any:
    """Return scores, (n, classes, height, width), interpolated to another height and width, as torch does.

    Raises:
        ModelError: their classes seem to be last: only (n, height, width, ...) has the proportions of the size.
    """
    import torch

    shape = tuple(scores.shape)
    if _in_proportion(shape[1:3], size) and not _in_proportion(shape[2:], size):
        raise ModelError(
            f"{model} returned scores of shape {shape} for a target of {size[0]} by {size[1]}: the classes seem to "
            "be last. To resize them, let the model return (n, classes, height, width)"
        )
    tensor = scores if is_tensor(scores) else torch.from_numpy(np.ascontiguousarray(scores))
    return torch.nn.functional.interpolate(tensor.float(), size=size, mode="bilinear", align_corners=False)


def _in_proportion(shape: tuple[int, ...], size: Size) -> bool:
    """Whether one size is the other times a factor, but for rounding of each side."""
    return abs(shape[0] * size[1] - shape[1] * size[0]) < sum(size)
