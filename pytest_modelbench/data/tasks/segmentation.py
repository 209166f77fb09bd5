"""`SegmentationData`: a class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_choice
from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.masks import (
    WRONG,
    Read,
    Size,
    answer_masks,
    are_labels,
    channels_first,
    enlarged,
    head_of,
    numbers_in,
    packed,
    target_mask,
    unpacked,
)
from pytest_modelbench.data.tasks.pixel_confidence import binned
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData
from pytest_modelbench.errors import DataError, ModelError, shown

_LIKELY_IGNORED = (255, -1, -100, 250)


class SegmentationData(TaskData):
    """Images with a mask each, whose pixels are numbers of classes.

    `EvalData(..., task="segmentation")` makes one, too.

    Targets and answers have the parts `mask`, compressed bytes that `masks.unpacked` reads, and `size` (2,), the
    height and the width; answers also have `classes` (1,), how many the model has, 0 where that is unknown, and
    `bins` (45,), as `pixel_confidence.binned` counts them, or nothing without `outputs`. Pixels whose scores
    are NaN have the class -1.

    Args:
        inputs: images, (n, channels, height, width), or a list of such of different sizes.
        targets: masks of whole numbers, (n, height, width), (n, 1, height, width), or a list of such of different
            sizes.
        ignore_index: the number of pixels that do not count, such as 255.
        resize: `bilinear` where a model returns logits of another size than its targets: they are interpolated to
            that size, without aligned corners.
        batch_size: how many images a model gets at once.
        common: the arguments of `TaskData`. `outputs` are `logits`, `probabilities` or `labels`.

    Raises:
        DataError: as for `TaskData`; an `ignore_index` of another type.
    """

    TASK: ClassVar[str] = "segmentation"
    UNIT: ClassVar[str] = "image"
    KPIS: ClassVar[str] = "mean_iou, dice or pixel_accuracy"

    def __init__(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        ignore_index: int | None = None,
        resize: str | None = None,
        batch_size: int = 8,
        **common: Any,
    ) -> None:
        whole = isinstance(ignore_index, int | np.integer) and not isinstance(ignore_index, bool)
        if ignore_index is not None and not (whole and -(2**15) <= ignore_index < 2**15):
            raise DataError(f"ignore_index: found {shown(ignore_index)}, expected a whole number such as 255")
        check_choice("resize", resize, ("bilinear",))
        check_choice("outputs", common.get("outputs"), ("logits", "probabilities", "labels"))
        own = {"ignore_index": ignore_index, "resize": resize}
        super().__init__(inputs, targets, own=own, batch_size=batch_size, **common)
        self.ignore_index, self._resize = ignore_index, resize

    def targets_of(self, batch: Batch) -> Samples:
        """Return the masks of a batch, compressed.

        Raises:
            DataError: a mask of other numbers or with more axes, or of classes that `classes` does not have.
        """
        masks = self._targets(batch)
        for position, mask in enumerate(masks):
            if self.names:
                self._check_classes(mask, self.names, "classes= has", self.place(batch, position))
        return packed(masks)

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the class with the largest score of each pixel, compressed.

        Raises:
            ModelError: scores of another form or size.
            DataError: targets of classes that the model does not have.
        """
        targets = self._targets(batch)
        sizes: list[Size] = [(mask.shape[0], mask.shape[1]) for mask in targets]
        reads = self._images_of(head_of(output, self.select, model), sizes, batch, model)
        for position, (read, target) in enumerate(zip(reads, targets, strict=True)):
            self._check_mask(read.mask, target, read.classes, model, self.place(batch, position))
        return {
            **packed([read.mask for read in reads]),
            "classes": [np.array([read.classes], dtype=np.int32) for read in reads],
            "bins": [self._bins(read, target) for read, target in zip(reads, targets, strict=True)],
        }

    def readable(self, parts: Samples) -> list[Array]:
        """Return masks, (height, width) each; -1 where the scores of an answer are NaN."""
        return [unpacked(*pair) for pair in zip(parts["mask"], parts["size"], strict=True)]

    def _targets(self, batch: Batch) -> list[Array]:
        if batch.targets is None:
            raise DataError("the evaluation data have no targets. Write EvalData(images, masks, task='segmentation')")
        return [target_mask(target, self.place(batch, i)) for i, target in enumerate(batch.targets)]

    def _images_of(self, scores: Any, sizes: Sequence[Size], batch: Batch, model: str) -> list[Read]:
        """Return what is read of the output for each image, which may come in a list."""
        if isinstance(scores, list):
            self._check_count(len(scores), batch, model)
            each = zip(scores, sizes, strict=True)
            reads = [read for one, size in each for read in self._masks(_as_batch(one), [size], model)]
        else:
            reads = self._masks(scores if is_tensor(scores) else as_array(scores), sizes, model)
        self._check_count(len(reads), batch, model)
        return reads

    def _masks(self, scores: Any, sizes: Sequence[Size], model: str) -> list[Read]:
        """Return what is read of a batch, or of one image, interpolated if that is stated."""
        if (
            not self._resize
            or 0 in scores.shape
            or len(scores.shape) not in {3, 4}
            or self.outputs == "labels"
            or are_labels(scores)
        ):
            return answer_masks(scores, sizes, self.outputs, model)
        scores = channels_first(scores if len(scores.shape) == 4 else scores[:, None], sizes)
        fits = {tuple(scores.shape[2:])} == set(sizes)
        if fits or len(scores) != len(sizes):
            return answer_masks(scores, sizes, self.outputs, model)
        return [
            answer_masks(enlarged(scores[i : i + 1], size, model), [size], self.outputs, model)[0]
            for i, size in enumerate(sizes)
        ]

    def _bins(self, read: Read, target: Array) -> Array:
        """Return an image's pixels in bins of confidence; nothing if it is not stated what scores are."""
        if read.confidence is None:
            return np.empty(0)
        counts = np.ones(target.shape, dtype=bool) if self.ignore_index is None else target != self.ignore_index
        return binned(read.confidence, read.mask == target, counts & (read.mask != WRONG))

    def _check_count(self, count: int, batch: Batch, model: str) -> None:
        if count != len(batch.ids):
            raise ModelError(f"{model} returned masks of {count} images for {len(batch.ids)}")

    def _check_mask(self, mask: Array, target: Array, classes: int, model: str, place: str) -> None:
        if mask.shape != target.shape:
            advice = ". Let the model return that size"
            advice += "" if self._resize or not classes else (
                ", without the padding of a batch, if it has any" if mask.size > target.size
                else ", or write resize='bilinear'"
            )  # fmt: skip
            raise ModelError(
                f"{place}: {model} returned a mask of {_by(mask)} pixels, and the target has {_by(target)}{advice}"
            )
        if classes:
            self._check_classes(target, range(classes), f"{model} has", place)
        elif not self.names:
            self._check_likely(target, mask, model, place)

    def _check_likely(self, target: Array, mask: Array, model: str, place: str) -> None:
        """Refuse numbers in the targets of a model that returns labels which are hardly those of classes.

        Raises:
            DataError: they are negative, or usual ones of pixels that do not count, which the model did not return.
        """
        numbers = [number for number in numbers_in(target) if number != self.ignore_index]
        strange = next((n for n in numbers if n < 0 or (n in _LIKELY_IGNORED and not (mask == n).any())), None)
        if strange is not None:
            expected = "expected numbers from 0" if strange < 0 else f"and {model} returned no such pixel"
            named = "" if strange < 0 else ". If it is a class, write classes="
            raise DataError(
                f"{place}: the target has pixels of the class {strange}, {expected}. "
                f"{_advice(strange, numbers, self.ignore_index)}{named}"
            )

    def _check_classes(self, mask: Array, classes: Any, whose: str, place: str) -> None:
        """Refuse a target with numbers of classes that are not there.

        Raises:
            DataError: naming the number, and what to write if it is likely one of pixels that do not count.
        """
        numbers = [number for number in numbers_in(mask) if number != self.ignore_index]
        strange = next((number for number in numbers if number not in classes), None)
        if strange is None:
            return
        listed = sorted(classes)
        raise DataError(
            f"{place}: the target has pixels of the class {strange}, and {whose} {len(listed)} classes, {listed[0]} "
            f"to {listed[-1]}. {_advice(strange, numbers, self.ignore_index)}"
        )


def _advice(strange: int, numbers: Sequence[int], ignored: int | None) -> str:
    """Return what to write of a number in targets that is not one of the model's classes."""
    if strange not in _LIKELY_IGNORED and strange >= 0:
        return "Number the classes as the model does"
    if ignored is not None:
        return f"If these pixels do not count either, write np.where(masks == {strange}, {ignored}, masks)"
    advice = f"If these pixels do not count, write ignore_index={strange}"
    return (
        advice
        if strange < 0 or set(numbers) - {0, strange}
        else f"{advice}; if they are the class 1, give masks // {strange}"
    )


def _as_batch(one: Any) -> Any:
    """Return the output for one image, (classes, height, width) or (height, width), as a batch of one."""
    array = one if is_tensor(one) else as_array(one)
    return array[None] if len(array.shape) in {2, 3} else array


def _by(mask: Array) -> str:
    return " by ".join(map(str, mask.shape))
