"""`SegmentationData`: a class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_choice
from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.masks import (
    Size,
    answer_masks,
    enlarged,
    head_of,
    numbers_in,
    packed,
    target_mask,
    unpacked,
)
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData
from pytest_modelbench.errors import DataError, ModelError, shown

_LIKELY_IGNORED = (255, -1, -100, 250)


class SegmentationData(TaskData):
    """Images with a mask each, whose pixels are numbers of classes.

    `EvalData(..., task="segmentation")` makes one, too.

    Targets and answers have the parts `mask`, compressed bytes that `masks.unpacked` reads, and `size` (2,), the
    height and the width; answers also have `classes` (1,), how many the model has, 0 where that is unknown. Pixels
    whose scores are NaN have the class -1.

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
        scores = head_of(output, self.select, model)
        if isinstance(scores, list):
            each = [
                self._masks(_as_batch(one), sizes[i : i + 1], model) for i, one in enumerate(scores[: len(sizes)])
            ]
            masks, counts = [mask for several, _ in each for mask in several], [count for _, count in each]
            self._check_count(len(scores), batch, model)
        else:
            masks, count = self._masks(scores if is_tensor(scores) else as_array(scores), sizes, model)
            self._check_count(len(masks), batch, model)
            counts = [count] * len(masks)
        for position, mask in enumerate(masks):
            place = self.place(batch, position)
            self._check_mask(mask, targets[position], counts[position], model, place)
        return {**packed(masks), "classes": [np.array([count], dtype=np.int32) for count in counts]}

    def readable(self, parts: Samples) -> list[Array]:
        """Return masks, (height, width) each; -1 where the scores of an answer are NaN."""
        return [unpacked(*pair) for pair in zip(parts["mask"], parts["size"], strict=True)]

    def _targets(self, batch: Batch) -> list[Array]:
        if batch.targets is None:
            raise DataError("the evaluation data have no targets. Write EvalData(images, masks, task='segmentation')")
        return [target_mask(target, self.place(batch, i)) for i, target in enumerate(batch.targets)]

    def _masks(self, scores: Any, sizes: Sequence[Size], model: str) -> tuple[list[Array], int]:
        """Return the masks of a batch, or of one image of several sizes, and how many classes the model has."""
        shape = tuple(scores.shape)
        if self._resize and len(shape) == 4 and 0 not in shape and shape[2:] != sizes[0] and self.outputs != "labels":
            parts = [answer_masks(enlarged(scores[i : i + 1], size), [size], self.outputs, model)
                     for i, size in enumerate(sizes[: len(scores)])]  # fmt: skip
            return [mask for masks, _ in parts for mask in masks], parts[0][1]
        return answer_masks(scores, sizes, self.outputs, model)

    def _check_count(self, count: int, batch: Batch, model: str) -> None:
        if count != len(batch.ids):
            raise ModelError(f"{model} returned masks of {count} images for {len(batch.ids)}")

    def _check_mask(self, mask: Array, target: Array, classes: int, model: str, place: str) -> None:
        if mask.shape != target.shape:
            advice = "" if self._resize else ". Let the model return that size, or write resize='bilinear'"
            raise ModelError(
                f"{place}: {model} returned a mask of {_by(mask)} pixels, and the target has {_by(target)}{advice}"
            )
        if classes:
            self._check_classes(target, range(classes), f"{model} has", place)
        elif negative := next((n for n in numbers_in(target) if n < 0 and n != self.ignore_index), None):
            raise DataError(
                f"{place}: the target has pixels of the class {negative}, expected numbers from 0. If these pixels "
                f"do not count, write ignore_index={negative}"
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
        likely = strange in _LIKELY_IGNORED and self.ignore_index is None
        advice = _advice(strange, likely=likely, binary=numbers in ([255], [0, 255]))
        listed = sorted(classes)
        raise DataError(
            f"{place}: the target has pixels of the class {strange}, and {whose} {len(listed)} classes, {listed[0]} "
            f"to {listed[-1]}. {advice}"
        )


def _as_batch(one: Any) -> Any:
    """Return the output for one image, (classes, height, width) or (height, width), as a batch of one."""
    array = one if is_tensor(one) else as_array(one)
    return array[None] if len(array.shape) in {2, 3} else array


def _advice(strange: int, *, likely: bool, binary: bool) -> str:
    """Say what to write of a number that is not a class."""
    if not likely:
        return "Number the classes as the model does"
    advice = f"If these pixels do not count, write ignore_index={strange}"
    return f"{advice}; if they are the class 1, give masks // 255" if binary else advice


def _by(mask: Array) -> str:
    return " by ".join(map(str, mask.shape))
