"""The forms in which libraries give boxes of images: mappings, rows of six numbers, annotations of COCO, queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from pytest_modelbench.data.arrays import as_array, shapes
from pytest_modelbench.data.tasks.boxes import Array
from pytest_modelbench.errors import DataError, ModelError, shown

BOXES = ("boxes", "bbox", "detection_boxes", "det_boxes")
LABELS = ("labels", "class_labels", "category_id", "category", "detection_classes", "det_classes", "classes")
SCORES = ("scores", "score", "detection_scores", "det_scores")
COUNTS = ("num_detections", "num_dets", "counts")
CROWD = ("iscrowd", "crowd")
T = TypeVar("T")
LARGEST = 2**53
"""The largest number of a class: beyond, floating-point numbers are not whole ones."""
_SIX = "(x1, y1, x2, y2, score, class)"
_EXPECTED = (
    "expected a list with {'boxes': (k, 4), 'scores': (k,), 'labels': (k,)} or an array (k, 6) of " + _SIX + " for "
    "each image, or such arrays with a first axis of images"
)


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image, as a library gives them.

    Attributes:
        boxes: (k, 4).
        labels: (k,).
        scores: (k,); None of targets.
        crowd: (k,); None where it is not stated.
        area: (k,); None where it is not stated.
        own_format: the format that the form itself defines; empty where it defines none.
        own_shares: whether the form itself defines that they are shares of the image's sides.
    """

    boxes: Array
    labels: Array
    scores: Array | None = None
    crowd: Array | None = None
    area: Array | None = None
    own_format: str = ""
    own_shares: bool = False


def target_boxes(target: Any, place: str) -> Boxes:
    """Return the boxes of a target: a mapping, or annotations of COCO.

    Raises:
        DataError: another form, or parts of different lengths.
    """
    if isinstance(target, list | tuple):
        return _annotations(target, place)
    if not isinstance(target, Mapping) or not any(name in target for name in BOXES):
        raise DataError(
            f"{place}: found {_described(target)} as its target, expected {{'boxes': (k, 4), 'labels': (k,)}}, or a "
            "list of {'bbox': (4,), 'category_id': ...} as COCO has them"
        )
    return _refused(DataError, lambda: _mapped(target, place, ()))


def output_boxes(output: Any, count: int, model: str, place: Callable[[int], str]) -> list[Boxes]:
    """Return the boxes of each image of a batch.

    Args:
        output: what the model returned.
        count: of images.
        model: its name.
        place: names a sample for messages.

    Raises:
        ModelError: another form, or another number of images.
    """
    if isinstance(output, Mapping):
        return _of_mapping(output, count, model, place)
    of_objects = getattr(output, "ndim", 0) == 1 and getattr(getattr(output, "dtype", None), "kind", "") == "O"
    listed = list(output) if of_objects or isinstance(output, list | tuple) else None
    if listed is None and getattr(output, "ndim", 0) == 3:
        rows = as_array(output)
        listed = [row[_filled(row)] if row.shape[-1] == 6 else row for row in rows]
    if listed is None or len(listed) != count:
        found = shapes(output) if isinstance(output, tuple) else _described(output)
        raise ModelError(f"{model} returned {found} for {count} images, {_EXPECTED}")
    return [_of_image(sample, model, place(position)) for position, sample in enumerate(listed)]


def _filled(rows: Array) -> Array:
    """Return which rows of padded ones hold a detection: padding has no score, or a negative class."""
    return ~((rows[:, 4] <= 0) | (rows[:, 5] < 0))


def _of_image(sample: Any, model: str, place: str) -> Boxes:
    """Read one image's detections.

    Raises:
        ModelError: another form.
    """
    own: Any = getattr(sample, "boxes", None)
    if all(hasattr(own, name) for name in ("xyxy", "conf", "cls")):  # the results of ultralytics
        boxes = Boxes(as_array(own.xyxy), as_array(own.cls), as_array(own.conf), own_format="xyxy")
        return _whole(boxes, model, place)
    if isinstance(sample, Mapping):
        return _refused(ModelError, lambda: _whole(_mapped(sample, f"{model}, {place}", SCORES), model, place))
    if isinstance(sample, list) and sample and isinstance(sample[0], Mapping):
        return _refused(ModelError, lambda: _whole(_annotations(sample, f"{model}, {place}"), model, place))
    empty = isinstance(sample, list | tuple) and not sample
    rows = (
        np.zeros((0, 6)) if empty else _refused(ModelError, lambda: _array(sample, "detections", f"{model}, {place}"))
    )
    if rows.shape == (0,):
        rows = np.zeros((0, 6))
    if rows.ndim != 2 or rows.shape[1] != 6:
        raise ModelError(f"{model} returned {_described(sample)} for {place}, {_EXPECTED}")
    return _whole(Boxes(rows[:, :4], rows[:, 5], rows[:, 4]), model, place)


def _whole(boxes: Boxes, model: str, place: str) -> Boxes:
    """Return detections whose classes are whole numbers.

    Raises:
        ModelError: they are not, or there are no scores.
    """
    if boxes.scores is None:
        raise ModelError(f"{model} returned boxes without scores for {place}. Add 'scores': (k,)")
    if boxes.scores.dtype.kind not in "iuf":
        raise ModelError(f"{model} returned scores of type {boxes.scores.dtype} for {place}, expected numbers")
    boxes = replace(boxes, scores=boxes.scores.astype(np.float64))
    labels = np.asarray(boxes.labels)
    if labels.dtype.kind in "iu":
        return boxes
    finite = np.isfinite(labels) if labels.dtype.kind == "f" else np.zeros(labels.shape, dtype=bool)
    odd = (
        finite & ((labels != np.floor(labels)) | (np.abs(labels) > LARGEST)) if labels.dtype.kind == "f" else ~finite
    )
    broken = np.flatnonzero(odd)
    if len(labels) and len(broken):
        raise ModelError(
            f"{model} returned the class {shown(labels[broken[0]].item())} for {place}, expected a whole number. The "
            f"order of six columns is {_SIX}"
        )
    return replace(boxes, labels=np.where(finite, labels, -1).astype(np.int64))


def _of_mapping(output: Mapping[str, Any], count: int, model: str, place: Callable[[int], str]) -> list[Boxes]:
    """Read arrays with a first axis of images, padded, with counts where the model returns them.

    Raises:
        ModelError: parts are missing, or have other axes.
    """
    parts = {name: _named(output, names) for name, names in _OF_OUTPUTS.items()}
    missing = [name for name in ("boxes", "scores", "labels") if parts[name] is None]
    if missing:
        found = ", ".join(map(repr, output))
        raise ModelError(f"{model} returned a mapping with {found}, without {missing[0]!r}; {_EXPECTED}")
    counts = parts.pop("counts")
    arrays = {name: value if isinstance(value, list) else as_array(value) for name, value in parts.items()}
    if count == 1 and getattr(arrays["boxes"], "ndim", 0) == 2:
        arrays = {
            name: as_array(array)[None] for name, array in arrays.items()
        }  # an exported model for a single image
    if any(len(array) != count for array in arrays.values()):
        raise ModelError(f"{model} returned {shapes(dict(output))} for {count} images, {_EXPECTED}")
    sizes = None if counts is None else as_array(counts).reshape(-1)
    if sizes is not None and len(sizes) != count:
        raise ModelError(f"{model} returned {len(sizes)} counts of detections for {count} images")
    images = []
    for position in range(count):
        rows = {name: as_array(array[position]) for name, array in arrays.items()}
        kept = slice(0, int(sizes[position])) if sizes is not None else _not_padded(rows)
        cut = {name: array[kept] for name, array in rows.items()}
        images.append(_of_image(cut, model, place(position)))
    return images


def _not_padded(rows: Mapping[str, Array]) -> Any:
    """Return which rows hold a detection, where no counts say so: padding has no score, or a negative class."""
    scores, labels = rows["scores"], rows["labels"]
    if scores.ndim != 1 or scores.shape != labels.shape or len(rows["boxes"]) != len(scores):
        return slice(None)
    return ~((scores <= 0) | (labels < 0))


_OF_OUTPUTS = {"boxes": BOXES, "scores": SCORES, "labels": LABELS, "counts": COUNTS}


def _mapped(sample: Mapping[str, Any], place: str, scores: Sequence[str]) -> Boxes:
    """Read the boxes of a mapping of parts.

    Raises:
        ValueError: parts are missing, or have other lengths.
    """
    boxes, labels = _named(sample, BOXES), _named(sample, LABELS)
    if boxes is None or labels is None:
        raise ValueError(f"{place}: found {_described(sample)}, expected 'boxes' and 'labels'")
    corners = _array(boxes, "boxes", place)
    corners = corners.reshape(0, 4) if corners.size == 0 else corners
    if corners.ndim != 2 or corners.shape[1] != 4 or corners.dtype.kind not in "iuf":
        raise ValueError(f"{place}: found boxes of shape {corners.shape} and type {corners.dtype}, expected (k, 4)")
    parts = {"labels": labels, "scores": _named(sample, scores)}
    parts |= {"crowd": _named(sample, CROWD), "area": sample.get("area")}
    arrays: dict[str, Any] = {name: _array(part, name, place) for name, part in parts.items() if part is not None}
    for name, array in arrays.items():
        if array.shape != (len(corners),):
            raise ValueError(
                f"{place}: found {len(corners)} boxes and {name} of shape {array.shape}; expected one each"
            )
    own = "xywh" if "bbox" in sample else ""
    return Boxes(corners, own_format=own, **arrays)


def _annotations(listed: Sequence[Any], place: str) -> Boxes:
    """Read a list of annotations as COCO has them: one mapping for each box.

    Raises:
        DataError: an entry is something else.
    """
    for entry in listed:
        if not isinstance(entry, Mapping) or "bbox" not in entry or _named(entry, LABELS) is None:
            raise DataError(
                f"{place}: found {_described(entry)} in its list, expected {{'bbox': (4,), 'category_id': ...}}"
            )
    rows: dict[str, Any] = {"bbox": [as_array(entry["bbox"]) for entry in listed]}
    rows["labels"] = np.array([_named(entry, LABELS) for entry in listed], dtype=None if listed else np.int64)
    for name in ("score", "iscrowd", "area"):
        values = [entry.get(name) for entry in listed]
        if listed and all(value is not None for value in values):
            rows[name] = np.array(values)
    wrong = next((box for box in rows["bbox"] if box.shape != (4,)), None)
    if wrong is not None:
        raise DataError(f"{place}: found a bbox of {wrong.size} numbers, expected (x, y, width, height)")
    rows["bbox"] = np.array(rows["bbox"]).reshape(-1, 4)
    return _refused(DataError, lambda: _mapped(rows, place, SCORES))


def _refused(error: type[DataError | ModelError], read: Callable[[], T]) -> T:
    """Return what is read; what it cannot read is a fault of the data or of the model.

    Raises:
        DataError: of the data.
        ModelError: of the model.
    """
    try:
        return read()
    except (ValueError, ModelError, DataError) as failure:
        raise error(str(failure)) from failure


def _array(part: Any, name: str, place: str) -> Array:
    """Return a part of a sample as an array.

    Raises:
        ValueError: it is none; the message names the sample.
    """
    try:
        return as_array(part)
    except ModelError as error:
        raise ValueError(f"{place}: {name}: {error}") from error


def _named(sample: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first part that a mapping has under one of some names; None if it has none."""
    return next((sample[name] for name in names if name in sample), None)


def _described(value: Any) -> str:
    """Describe a target or an output for a message."""
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(repr, value)) or 'nothing'}"
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else shown(value)
