"""Average precision and recall with a weight for each image, so that resamples of images cost little.

With weights of 1 the values are those of `pycocotools.cocoeval.COCOeval.accumulate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_modelbench.kpis.detection.matching import ClassMatches
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of

RECALLS = np.linspace(0.0, 1.0, 101)
_AT_ONCE = 2**18
"""The most numbers of a part of the resamples: as many as a processor's cache holds."""


def average_precisions(matches: ClassMatches, weights: FloatArray, at: Sequence[int]) -> FloatArray:
    """Return the average precision of a class, (resamples, overlaps); NaN without targets.

    The precision at a recall is the greatest at this recall or a higher one, and the average is over 101 recalls.
    Only detections that find a target raise the recall: precision is computed at these alone.

    Args:
        matches: of the class.
        weights: how often each image counts, (resamples, n).
        at: which overlaps of `OVERLAPS`, by position.
    """
    if not len(matches.owner):
        return np.where(weights @ matches.targets > 0, 0.0, np.nan)[:, None] * np.ones(len(at))
    size = max(1, _AT_ONCE // len(matches.owner))
    parts = [_of_part(matches, weights[start : start + size], at) for start in range(0, len(weights), size)]
    return np.concatenate(parts)


def _of_part(matches: ClassMatches, weights: FloatArray, at: Sequence[int]) -> FloatArray:
    """Return the average precision of a class for some resamples."""
    targets = weights @ matches.targets
    taken = weights[:, matches.owner]
    values = np.empty((len(weights), len(at)))
    totals: dict[bytes, FloatArray] = {}
    for column, overlap in enumerate(at):
        ignored, hits = matches.ignored[overlap], np.flatnonzero(matches.hits[overlap])
        key = ignored.tobytes()
        if key not in totals:  # most overlaps ignore the same detections, or none
            totals = {key: np.cumsum(np.where(ignored, 0.0, taken) if ignored.any() else taken, axis=1)}
        values[:, column] = _average(np.cumsum(taken[:, hits], axis=1), totals[key][:, hits], targets)
    values[targets <= 0] = np.nan
    return values


def _average(hits: FloatArray, total: FloatArray, targets: FloatArray) -> FloatArray:
    """Return the mean of precision over recalls.

    Args:
        hits: how many of the detections so far find a target, at those that do, (resamples, hits).
        total: how many detections there are so far, of the same shape.
        targets: how many there are to find, (resamples,).
    """
    precision = hits / (total + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.searchsorted(RECALLS, hits / targets[:, None], side="right")
    average: FloatArray = (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return average


def recalls(several: Sequence[ClassMatches], weights: FloatArray, most: int) -> FloatArray:
    """Return the recall of each class, mean over overlaps, (resamples, classes); NaN without targets.

    Args:
        several: the matches of each class.
        weights: how often each image counts, (resamples, n).
        most: how many detections of a class in an image count.
    """
    n = weights.shape[1]
    hits = np.stack([hits_by_image(matches, n, range(len(matches.hits)), most) for matches in several], axis=1)
    return share_of(weights @ hits, weights @ np.stack([matches.targets for matches in several], axis=1))


def hits_by_image(matches: ClassMatches, n: int, at: Sequence[int], most: int) -> FloatArray:
    """Return how many targets of a class are found in each image, mean over overlaps, (n,)."""
    found: IntArray = (matches.hits[list(at)] & (matches.rank < most)).sum(axis=0)
    return np.bincount(matches.owner, found, n) / len(at)
