"""Random scenes: images with boxes, and detectors that find most of them, with mistakes of every kind."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers

Boxes = Mapping[str, Any]
LABELS = (1, 3, 7, 90)
"""Labels with gaps, as those of COCO."""
STRANGE = 44
"""A label that no target has."""


def corners(rng: np.random.Generator, count: int) -> Any:
    """Return boxes of all of COCO's sizes, in half pixels, so that areas and overlaps fall on their limits."""
    sides = np.round(2 * np.exp(rng.uniform(np.log(8), np.log(200), (count, 2)))) / 2
    places = np.round(2 * rng.uniform(0, 400, (count, 2))) / 2
    return np.concatenate([places, places + sides], axis=1).astype(np.float32)


def scenes(seed: int, n: int, most: int = 6) -> list[Boxes]:
    """Return the targets of images, some without any, some crowds."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, n)
    return [
        {
            "boxes": corners(rng, int(count)),
            "labels": rng.choice(LABELS, count),
            "iscrowd": rng.random(count) < 0.1,
        }
        for count in counts
    ]


def detections(seed: int, targets: Sequence[Boxes], shift: float = 0.1, extra: int = 4) -> list[Boxes]:
    """Return what a detector finds: most boxes, moved by a share of their sides, some twice, and some that are not."""
    rng = np.random.default_rng(seed)
    found: list[Boxes] = []
    for target in targets:
        kept = np.flatnonzero(rng.random(len(target["boxes"])) < 0.8)
        kept = np.concatenate([kept, kept[rng.random(len(kept)) < 0.3]])
        moved, labels = np.array(target["boxes"])[kept], np.array(target["labels"])[kept]
        sides = np.tile(moved[:, 2:] - moved[:, :2], 2)
        count = rng.integers(0, extra + 1)
        boxes = np.concatenate([moved + sides * shift * rng.uniform(-1, 1, (len(kept), 1)), corners(rng, int(count))])
        labels = np.concatenate([labels, rng.choice((*LABELS, STRANGE), count)])
        scores = np.round(rng.random(len(boxes)), 1)  # many equal ones
        found.append({"boxes": boxes.astype(np.float32), "labels": labels, "scores": scores.astype(np.float32)})
    return found


def measured(targets: Sequence[Boxes], found: Sequence[Boxes]) -> TaskAnswers:
    """Return targets and detections as a measurement holds them."""
    boxes = [np.asarray(target["boxes"], dtype=np.float32) for target in targets]
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=1, dtype=np.float32) for box in boxes]
    crowds = [np.asarray(target.get("iscrowd", np.zeros(len(target["boxes"]))), dtype=bool) for target in targets]
    parts = {"boxes": boxes, "area": areas, "crowd": crowds}
    parts["labels"] = [np.asarray(target["labels"], dtype=np.int64) for target in targets]
    answers = {name: [np.asarray(each[name]) for each in found] for name in ("boxes", "scores", "labels")}
    return TaskAnswers(
        model="student",
        task="detection",
        answers={name: Ragged.of(arrays) for name, arrays in answers.items()},
        targets={name: Ragged.of(arrays) for name, arrays in parts.items()},
        ids=range(len(targets)),
        nonfinite=np.zeros(len(targets), dtype=np.int64),
    )


def summarised(targets: Sequence[Boxes], found: Sequence[Boxes], images: Sequence[int] | None = None) -> list[float]:
    """Return the twelve values of `COCOeval.summarize`, of some images, each as often as it is named."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = range(len(targets)) if images is None else images
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, source in enumerate(images):
        for kind, entries in ((annotations, targets[source]), (results, found[source])):
            for position, box in enumerate(np.asarray(entries["boxes"], dtype=np.float64).reshape(-1, 4)):
                x, y, width, height = (*box[:2], *(box[2:] - box[:2]))
                entry = {"image_id": image, "bbox": [x, y, width, height], "id": len(kind) + 1}
                entry |= {"category_id": int(entries["labels"][position]), "area": width * height, "iscrowd": 0}
                if kind is results:
                    entry["score"] = float(entries["scores"][position])
                elif "iscrowd" in entries:
                    entry["iscrowd"] = int(entries["iscrowd"][position])
                kind.append(entry)
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(images))],
        "categories": [{"id": label} for label in (*LABELS, STRANGE)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]
