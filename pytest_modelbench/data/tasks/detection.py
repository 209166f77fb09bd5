"""`DetectionData`: boxes around objects in an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_choice
from pytest_modelbench.data.arrays import as_array, leaves, select_output
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.boxes import FORMATS, Array
from pytest_modelbench.data.tasks.boxes_checks import Form, Size, check_pixels, check_units, corners_of, image_size
from pytest_modelbench.data.tasks.boxes_forms import LARGEST, Boxes, output_boxes, target_boxes
from pytest_modelbench.data.tasks.boxes_queries import has_queries, query_boxes
from pytest_modelbench.data.tasks.task_data import Samples, TaskData
from pytest_modelbench.errors import DataError, ModelError, shown


class DetectionData(TaskData):
    """Images with the boxes of objects in each.

    `EvalData(..., task="detection")` makes one, too, and so do targets that are mappings with `boxes`.

    Targets have the parts `boxes` (m, 4), float32, (x1, y1, x2, y2) in pixels, `labels` (m,), int64, `crowd` (m,),
    bool, and `area` (m,), float32, of the box where it is not stated. Answers have `boxes` (k, 4), float32, in the
    same form, `scores` (k,), float32, and `labels` (k,), int64, in the order of the model; boxes and scores may be
    NaN if the model returned NaN.

    Args:
        inputs: images: an array or a tensor, (n, channels, height, width), or a list of such of different sizes.
        targets: for each image a mapping with `boxes` and `labels`, and with `iscrowd`, `area` and `orig_size`
            (height and width in pixels) where they matter; or a list of annotations as COCO has them, with `bbox`,
            `category_id`, `iscrowd` and `area`.
        box_format: of the targets, and of the outputs unless `output_format` states another: `xyxy` (the default),
            `xywh` (the default of `bbox`) or `cxcywh`.
        output_format: of the outputs.
        normalized: whether boxes of the targets are shares of the image's sides, from 0 to 1.
        output_normalized: the same of the outputs; as of the targets by default.
        score_threshold: detections with lower scores are left out; by default none are.
        max_detections: how many detections of each class in an image count at most, those with the highest scores.
        batch_size: how many images a model gets at once.
        common: the arguments of `TaskData`. Labels that `classes` does not name are refused.

    Raises:
        DataError: as for `TaskData`; another format, threshold or number.
    """

    TASK: ClassVar[str] = "detection"
    UNIT: ClassVar[str] = "image"
    KPIS: ClassVar[str] = "map, map_50 or mar_100"

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        box_format: str | None = None,
        output_format: str | None = None,
        normalized: bool = False,
        output_normalized: bool | None = None,
        score_threshold: float | None = None,
        max_detections: int = 100,
        batch_size: int = 8,
        **common: Any,
    ) -> None:
        check_choice("box_format", box_format, FORMATS)
        check_choice("output_format", output_format, FORMATS)
        _check_flags(normalized=normalized, output_normalized=output_normalized)
        own = {
            "box_format": box_format,
            "output_format": output_format or box_format,
            "normalized": normalized,
            "output_normalized": normalized if output_normalized is None else output_normalized,
            "score_threshold": _threshold(score_threshold),
            "max_detections": _at_least_one(max_detections),
        }
        super().__init__(inputs, targets, own=own, batch_size=batch_size, **common)
        self.max_detections: int = max_detections

    def targets_of(self, batch: Batch) -> Samples:
        """Return the boxes of the targets of a batch.

        Raises:
            DataError: they are in another form, or their classes are unknown.
        """
        if batch.targets is None:
            raise DataError("the evaluation data have no targets. Write EvalData(images, targets, task='detection')")
        read = [target_boxes(target, self.place(batch, i)) for i, target in enumerate(batch.targets)]
        for position, boxes in enumerate(read):
            self._check_target(boxes, self.place(batch, position))
        form, given = self._stated_form("targets", read, "the target has"), [boxes.boxes for boxes in read]
        check_pixels(form, given)
        corners = corners_of(form, given, _sizes(batch), lambda position: self.place(batch, position))
        return {
            "boxes": corners,
            "labels": [boxes.labels.astype(np.int64) for boxes in read],
            "crowd": [_crowd(boxes) for boxes in read],
            "area": [
                _area(boxes, own, _rescaled(target) if form.normalized else 1.0)
                for boxes, own, target in zip(read, corners, batch.targets, strict=True)
            ],
        }

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the detections of a batch.

        Raises:
            ModelError: they are in another form, or their classes are unknown.
        """
        if self.select is not None:
            output = select_output(output, self.select, model)
        count = len(batch.ids)
        if has_queries(output):
            read = query_boxes(output, self.names, self.max_detections, model)
        else:
            read = output_boxes(output, count, model, lambda position: self.place(batch, position))
        if len(read) != count:
            raise ModelError(f"{model} returned detections of {len(read)} images for {count}")
        read = [self._kept(boxes) for boxes in read]
        for position, boxes in enumerate(read):
            self._check_labels(boxes, f"{model} returned", self.place(batch, position), ModelError)
        form = self._stated_form("outputs", read, f"{model} returned")
        corners = corners_of(
            form, [boxes.boxes for boxes in read], _sizes(batch), lambda position: self.place(batch, position)
        )
        check_units(form, corners, self.targets_of(batch)["boxes"])
        return {
            "boxes": corners,
            "scores": [np.asarray(boxes.scores, dtype=np.float32) for boxes in read],
            "labels": [boxes.labels.astype(np.int64) for boxes in read],
        }

    def _stated_form(self, of: str, read: list[Boxes], who: str) -> Form:
        """Return the form of boxes: as stated, or as what they came in defines."""
        prefix = "" if of == "targets" else "output_"
        first = next((boxes for boxes in read if boxes.own_format), None)
        own_format, shares = (first.own_format, first.own_shares) if first else ("xyxy", False)
        name = "box_format" if of == "targets" else "output_format"
        stated = None if shares else self.own[name]
        return Form(
            box_format=stated or own_format,
            normalized=shares or self.own[f"{prefix}normalized"],
            of=of,
            who=who,
            arguments=(name, f"{prefix}normalized"),
        )

    def _kept(self, boxes: Boxes) -> Boxes:
        """Return the detections that count: with a score high enough, and of each class not too many."""
        scores, threshold = np.asarray(boxes.scores), self.own["score_threshold"]
        kept = np.ones(len(scores), dtype=bool) if threshold is None else ~(scores < threshold)
        for label in np.unique(boxes.labels[kept]):
            (of_class,) = np.nonzero(kept & (boxes.labels == label))
            order = np.argsort(-scores[of_class], kind="stable")
            kept[of_class[order[self.max_detections :]]] = False
        return replace(boxes, boxes=boxes.boxes[kept], labels=boxes.labels[kept], scores=scores[kept])

    def _check_target(self, boxes: Boxes, place: str) -> None:
        """Refuse targets with NaN, or of unknown classes.

        Raises:
            DataError: naming the sample.
        """
        if not np.isfinite(boxes.boxes).all():
            raise DataError(f"{place}: a box of its target has NaN or infinite numbers. Leave this box out")
        _check_area(boxes.area, place)
        _check_crowd(boxes.crowd, place)
        if len(boxes.labels) and boxes.labels.dtype.kind not in "iu":
            raise DataError(
                f"{place}: found the label {shown(boxes.labels[0].item())} in its target, expected whole numbers, "
                "which classes= may name"
            )
        self._check_labels(boxes, "the target has", place, DataError)

    def _check_labels(self, boxes: Boxes, who: str, place: str, error: type[DataError | ModelError]) -> None:
        """Refuse labels that no class has, and the background.

        Raises:
            DataError: of targets.
            ModelError: of outputs.
        """
        labels = np.unique(boxes.labels[np.isfinite(boxes.boxes).all(axis=1)])
        background = [number for number, name in self.names.items() if name.strip("_").lower() in _BACKGROUND]
        wrong = [
            int(label)
            for label in labels
            if not 0 <= label <= LARGEST or (self.names and int(label) not in self.names)
        ]
        if wrong:
            raise error(f"{place}: {who} the label {wrong[0]}, {self._expected(wrong[0])}")
        behind = [int(label) for label in labels if int(label) in background]
        if behind:
            raise error(
                f"{place}: {who} the label {behind[0]}, which is {self.names[behind[0]]!r}: no box is around the "
                "background. Leave these boxes out, or correct classes="
            )

    def _expected(self, label: int) -> str:
        """Say which labels are expected."""
        if not self.names:
            return "expected numbers from 0"
        numbers = sorted(self.names)
        whole = numbers == list(range(len(numbers)))
        listed = f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers[:10]))
        text = f"expected {listed}, as classes= states"
        if whole and label == len(numbers):
            names = list(self.names.values())
            mapping = {number + 1: name for number, name in enumerate(names[:2])}
            rest = ", ...}" if len(names) > 2 else "}"
            text += f". If labels begin at 1, write classes={shown(mapping)[:-1]}{rest}"
        return text


_BACKGROUND = ("background", "no object", "no-object", "n/a background")


def _check_flags(**flags: Any) -> None:
    for name, flag in flags.items():
        if flag is not None and not isinstance(flag, bool):
            raise DataError(f"{name}: found {shown(flag)}, expected True or False")


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(f"score_threshold: found {shown(value)}, expected a number from 0 to 1")
    return float(value)


def _at_least_one(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"max_detections: found {shown(value)}, expected an integer of at least 1")
    return value


def _crowd(boxes: Boxes) -> Array:
    return np.zeros(len(boxes.boxes), dtype=bool) if boxes.crowd is None else boxes.crowd.astype(bool)


def _area(boxes: Boxes, corners: Array, scale: float) -> Array:
    """Return the area of each target, (m,), in pixels; those that are stated are multiplied by `scale`."""
    if boxes.area is not None:
        return (boxes.area * scale).astype(np.float32)
    sides = corners[:, 2:].astype(np.float64) - corners[:, :2]
    return (sides[:, 0] * sides[:, 1]).astype(np.float32)


def _check_area(area: Array | None, place: str) -> None:
    if area is not None and not (area.dtype.kind in "iuf" and np.isfinite(area).all() and (area >= 0).all()):
        raise DataError(f"{place}: an area of its target is not a finite number of at least 0. Leave 'area' out")


def _check_crowd(crowd: Array | None, place: str) -> None:
    if crowd is not None and not (crowd.dtype.kind in "iufb" and np.isin(crowd, (0, 1)).all()):
        raise DataError(f"{place}: found iscrowd {shown(crowd.tolist())} in its target, expected 0 or 1 for each box")


def _rescaled(target: Any) -> float:
    """Return how many pixels of the original image are one pixel of the resized one, whose pixels `area` counts."""
    if not (isinstance(target, Mapping) and "size" in target and "orig_size" in target):
        return 1.0
    original, resized = _pair(target["orig_size"]), _pair(target["size"])
    return original[0] * original[1] / (resized[0] * resized[1])


def _sizes(batch: Batch) -> list[Size | None]:
    """Return height and width of each image: as the targets state, else of the inputs; None where unknown."""
    padded = isinstance(batch.inputs, Mapping) and "pixel_mask" in batch.inputs
    images = leaves(batch.inputs)[0]
    if isinstance(batch.inputs, Mapping):
        images = batch.inputs.get("pixel_values", images)
    stated = [target.get("orig_size") if isinstance(target, Mapping) else None for target in batch.targets]
    return [
        (None if padded else image_size(image)) if own is None else _pair(own)
        for own, image in zip(stated, images, strict=True)
    ]


def _pair(size: Any) -> Size:
    sides = as_array(size).reshape(-1)
    if sides.size != 2 or sides.dtype.kind not in "iuf" or not (sides > 0).all():
        raise DataError(f"found {shown(size)} as the size of an image, expected its height and width in pixels")
    return float(sides[0]), float(sides[1])
