"""Pairs of boxes: which of two sets overlap, and which of these belong together.

All images are done at once: pairs are formed of boxes of the same image and class only, and what overlaps too little
is left out before anything is looked at one by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
MOST_AT_ONCE = 2**18
"""The most pairs whose overlap is computed at once."""
NEARLY_ONE = 1 - 1e-10
"""An overlap that counts as whole, as in COCO's own evaluation."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Boxes of all images.

    Attributes:
        boxes: their corners, (k, 4), as x1, y1, x2, y2.
        labels: their classes, (k,).
        image: the position of each one's image, (k,).
        scores: the confidence of detections, (k,).
        images: how many images there are.
    """

    boxes: FloatArray
    labels: IntArray
    image: IntArray
    scores: npt.NDArray[np.float32]
    images: int

    def __len__(self) -> int:
        return len(self.boxes)

    def only(self, mask: Mask) -> Boxes:
        """Return some of them, by a mask, (k,)."""
        parts = {name: getattr(self, name)[mask] for name in ("boxes", "labels", "image", "scores")}
        return Boxes(**parts, images=self.images)

    def count(self, mask: Mask | None = None) -> FloatArray:
        """Return how many each image has, of all or of those in a mask, (images,)."""
        image = self.image if mask is None else self.image[mask]
        return np.bincount(image, minlength=self.images).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of a box of a first set and one of a second.

    Attributes:
        first: positions in the first set, (pairs,).
        second: positions in the second set, (pairs,).
        overlap: how far they overlap, from 0 to 1, (pairs,).
    """

    first: IntArray
    second: IntArray
    overlap: FloatArray

    def only(self, index: IntArray | Mask) -> Pairs:
        """Return some of them, by their positions or a mask."""
        return Pairs(first=self.first[index], second=self.second[index], overlap=self.overlap[index])


def detections(measured: TaskAnswers, min_score: float) -> Boxes:
    """Return a model's detections with at least a score."""
    boxes = _boxes(measured.answers["boxes"], measured.answers["labels"], measured.answers["scores"].values)
    return boxes.only(boxes.scores >= min_score)


def targets(measured: TaskAnswers) -> tuple[Boxes, Boxes]:
    """Return the targets: single objects, and crowds."""
    boxes, labels = measured.targets["boxes"], measured.targets["labels"]
    everything = _boxes(boxes, labels, np.ones(len(labels.values), dtype=np.float32))
    crowd = measured.targets["crowd"].values.astype(bool)
    return everything.only(~crowd), everything.only(crowd)


def _boxes(boxes: Ragged, labels: Ragged, scores: npt.NDArray[np.float32]) -> Boxes:
    return Boxes(
        boxes=boxes.values.reshape(-1, 4).astype(np.float64),
        labels=labels.values.astype(np.intp),
        image=boxes.owner.astype(np.intp),
        scores=scores,
        images=len(boxes),
    )


def overlapping(first: Boxes, second: Boxes, iou: float, *, crowd: bool = False, alike: bool = False) -> Pairs:
    """Return the pairs of one image and class that overlap enough.

    Args:
        first: a set of boxes.
        second: another.
        iou: the least intersection over union, above 0 and up to 1.
        crowd: whether the second are crowds: then it is the intersection over the first one's area, as in COCO.
        alike: whether equal boxes overlap wholly also without an area, where COCO finds no overlap.
    """
    classes = 1 + max(first.labels.max(initial=0), second.labels.max(initial=0))
    classes -= (least := min(first.labels.min(initial=0), second.labels.min(initial=0)))
    keys = [boxes.image * classes + boxes.labels - least for boxes in (first, second)]
    order = np.argsort(keys[1], kind="stable")
    start, stop = (np.searchsorted(keys[1][order], keys[0], side) for side in ("left", "right"))
    enough = min(iou, NEARLY_ONE)
    parts = []
    for left, at in _in_parts(start, stop - start):
        right = order[at]
        overlap = _overlap(first.boxes[left], second.boxes[right], crowd=crowd, alike=alike)
        kept = overlap >= enough
        parts.append(Pairs(first=left[kept], second=right[kept], overlap=overlap[kept]))
    return Pairs(
        first=np.concatenate([part.first for part in parts]),
        second=np.concatenate([part.second for part in parts]),
        overlap=np.concatenate([part.overlap for part in parts]),
    )


def _in_parts(start: IntArray, count: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield each position as often as it has partners, and where these stand, some pairs at a time."""
    total = np.cumsum(count)
    bounds = np.arange(0, int(total[-1]) if len(total) else 0, MOST_AT_ONCE)
    cuts = [0, *np.searchsorted(total, bounds[1:], "right").tolist(), len(count)]
    for low, high in itertools.pairwise(cuts):
        inside = count[low:high]
        first = np.repeat(np.arange(low, high), inside)
        within = np.arange(len(first)) - np.repeat(np.cumsum(inside) - inside, inside)
        yield first, start[first] + within


def _overlap(first: FloatArray, second: FloatArray, *, crowd: bool, alike: bool) -> FloatArray:
    """Return the overlap of boxes row by row, (pairs,)."""
    corner = np.maximum(first[:, :2], second[:, :2])
    sides = np.clip(np.minimum(first[:, 2:], second[:, 2:]) - corner, 0, None)
    common = sides[:, 0] * sides[:, 1]
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (first, second)]
    whole = areas[0] if crowd else areas[0] + areas[1] - common
    overlap = np.divide(common, whole, out=np.zeros_like(common), where=common > 0)
    return np.where(alike & (first == second).all(axis=1), 1.0, overlap)


def by_score(pairs: Pairs, first: Boxes) -> Pairs:
    """Return pairs one to one, as COCO matches: each detection takes the target that it overlaps most.

    The highest score chooses first; of equal scores the one that the model returned first, and of equal overlaps the
    last target.

    Args:
        pairs: of detections and targets.
        first: the detections.
    """
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(-first.scores, kind="stable")] = np.arange(len(first))
    order = np.lexsort((-pairs.second, -pairs.overlap, rank[pairs.first]))
    taken: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for at, left, right in zip(
        order.tolist(), pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True
    ):
        if left not in taken[0] and right not in taken[1]:
            taken[0].add(left)
            taken[1].add(right)
            kept.append(at)
    return pairs.only(np.array(kept, dtype=np.intp))


def one_to_one(pairs: Pairs, first: Boxes) -> Pairs:
    """Return pairs one to one: as many as there can be, and of those the ones that overlap most in total.

    Scores play no part, so that the two sets may change places, and ties of scores decide nothing.

    Args:
        pairs: of boxes of one image and class.
        first: the first set.
    """
    partners = [np.bincount(side)[side] if len(side) else side for side in (pairs.first, pairs.second)]
    clear = (partners[0] == 1) & (partners[1] == 1)
    kept = [np.flatnonzero(clear)]
    (rest,) = np.nonzero(~clear)
    keys = np.column_stack([first.image[pairs.first[rest]], first.labels[pairs.first[rest]]])
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order])) + 1
    kept += [_assigned(pairs, rest[members]) for members in np.split(order, ends) if len(members)]
    return pairs.only(np.sort(np.concatenate(kept)))


def _assigned(pairs: Pairs, index: IntArray) -> IntArray:
    """Return which pairs of one image and class are kept (the Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    rows, row = np.unique(pairs.first[index], return_inverse=True)
    columns, column = np.unique(pairs.second[index], return_inverse=True)
    at = np.full((len(rows), len(columns)), -1)
    at[row, column] = index
    gain = np.where(at >= 0, min(at.shape), 0.0)  # one more pair is worth more than all overlaps of others
    gain[row, column] += pairs.overlap[index]
    chosen = at[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen >= 0]
