"""Which detections find which targets, image by image and class by class, as pycocotools matches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.stats.cells import FloatArray, IntArray

Mask = npt.NDArray[np.bool_]
AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""The least and the greatest area of targets in pixels, as COCO has them."""
OVERLAPS = np.linspace(0.5, 0.95, 10)
"""The least IoU of a match."""
_MANY = 10**9


@dataclass(frozen=True)
class ClassMatches:
    """The detections of a class in all images, the highest scores first.

    Attributes:
        label: of the class.
        owner: the image of each detection, (D,).
        rank: how many detections of the class in its image have a higher score, (D,).
        hits: whether each finds a target that counts, (overlaps, D).
        ignored: whether each is neither right nor wrong, (overlaps, D): it finds a crowd or another size.
        targets: how many targets count in each image, (n,).
    """

    label: int
    owner: IntArray
    rank: IntArray
    hits: Mask
    ignored: Mask
    targets: FloatArray


def matched(measured: TaskAnswers, area: str) -> Sequence[ClassMatches]:
    """Return the matches of a model's detections, by class in the order of labels; classes with targets only.

    They are found once for a measurement.

    Args:
        measured: the model's detections and the targets.
        area: a name of `AREAS`: which targets count.

    Raises:
        MeasurementError: pycocotools is missing.
    """
    held = measured.derived
    if ("matches", area) not in held:
        if "evaluator" not in held:
            held["evaluator"] = _evaluator(measured)
        held["matches", area] = tuple(_matches(held["evaluator"], area, len(measured)))
    matches: Sequence[ClassMatches] = held["matches", area]
    return matches


@dataclass(frozen=True)
class _Evaluator:
    """An evaluator of pycocotools with boxes and overlaps, and which images have targets or detections of a class."""

    coco: Any
    images: Mapping[int, Sequence[int]]


def _evaluator(measured: TaskAnswers) -> _Evaluator:
    """Return an evaluator without COCO's index of annotations, which prints when it is made."""
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MeasurementError(
            "average precision needs pycocotools: pip install 'pytest-modelbench[detection]'"
        ) from error
    coco = COCOeval(iouType="bbox")
    coco.params.maxDets = [_MANY]
    labels = np.unique(measured.targets["labels"].values).tolist()
    images: dict[int, set[int]] = {int(label): set() for label in labels}
    for kind, entries in ((coco._gts, _targets(measured)), (coco._dts, _detections(measured))):  # noqa: SLF001 - COCO's
        for image, label, entry in entries:
            if label in images:
                kind[image, label].append(entry)
                images[label].add(image)
    for label, members in images.items():
        for image in members:
            coco.ious[image, label] = coco.computeIoU(image, label)
    return _Evaluator(coco, {label: sorted(members) for label, members in images.items()})


def _targets(measured: TaskAnswers) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield image, label and entry of each target; ids begin at 1, because pycocotools reads 0 as unmatched."""
    parts = measured.targets
    columns = (parts[name].values.tolist() for name in ("labels", "crowd", "area"))
    rows = zip(parts["boxes"].owner.tolist(), *columns, _sides(parts["boxes"].values), strict=True)
    for number, (image, label, crowd, area, box) in enumerate(rows, 1):
        yield image, label, {"id": number, "iscrowd": int(crowd), "ignore": int(crowd), "area": area, "bbox": box}


def _detections(measured: TaskAnswers) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield image, label and entry of each detection."""
    parts = measured.answers
    columns = (parts[name].values.tolist() for name in ("labels", "scores"))
    rows = zip(parts["boxes"].owner.tolist(), *columns, _sides(parts["boxes"].values), strict=True)
    for number, (image, label, score, box) in enumerate(rows, 1):
        yield image, label, {"id": number, "score": score, "area": box[2] * box[3], "bbox": box}


def _sides(corners: npt.NDArray[Any]) -> list[list[float]]:
    """Return boxes as COCO has them: (x, y, width, height)."""
    wide = corners.astype(np.float64).reshape(-1, 4)
    sides: list[list[float]] = np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1).tolist()
    return sides


def _matches(evaluator: _Evaluator, area: str, n: int) -> Iterator[ClassMatches]:
    """Yield the matches of each class that has targets of these areas."""
    for label, images in evaluator.images.items():
        found = [evaluator.coco.evaluateImg(image, label, list(AREAS[area]), _MANY) for image in images]
        targets = np.zeros(n)
        targets[images] = [np.count_nonzero(each["gtIgnore"] == 0) for each in found]
        if targets.any():
            yield _joined(label, images, found, targets)


def _joined(
    label: int, images: Sequence[int], found: Sequence[Mapping[str, Any]], targets: FloatArray
) -> ClassMatches:
    """Join a class's images; equal scores stay in the order of images, as in `COCOeval.accumulate`."""
    sizes = [len(each["dtScores"]) for each in found]
    order = np.argsort(-np.concatenate([np.array(each["dtScores"]) for each in found]), kind="mergesort")
    ignored = np.concatenate([np.asarray(each["dtIgnore"], dtype=bool) for each in found], axis=1)[:, order]
    matched_to = np.concatenate([each["dtMatches"] for each in found], axis=1)[:, order]
    return ClassMatches(
        label=label,
        owner=np.repeat(np.asarray(images, dtype=np.intp), sizes)[order],
        rank=np.concatenate([np.arange(size) for size in sizes]).astype(np.intp)[order],
        hits=(matched_to > 0) & ~ignored,
        ignored=ignored,
        targets=targets,
    )
