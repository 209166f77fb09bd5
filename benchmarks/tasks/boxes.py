"""How often intervals of KPIs of detection at one threshold hold the true value.

Images have 8 boxes on average, many of them none and a few of them most, and the boxes of an image (or of a video
of five images) share what goes wrong. Each of the two ends of an interval may miss 5%.

Usage: python benchmarks/tasks/boxes.py [--sets 1000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.kpis.by_group import paired_by_group
from pytest_modelbench.kpis.calibrated import calibration_evidence, named
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.detection.agreement_pairs import Boxes
from pytest_modelbench.kpis.detection.agreement_targets import Judged
from pytest_modelbench.kpis.detection.calibration import table_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.cells import drawn_evenly, share_of
from pytest_modelbench.stats.paired import expanded, percentiles
from pytest_modelbench.stats.pooled_shares import pooled_difference, pooled_share

Array = npt.NDArray[np.float64]
ALPHA, POPULATION, SIZES = 0.05, 500_000, ((30, 1), (100, 1), (500, 1), (100, 5), (500, 5))
Draw = Callable[[np.random.Generator, int, int], tuple[Array, ...]]
"""Draws images, so many to a video, and returns sums by image."""


def counts(rng: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """Return how many boxes each image has."""
    return rng.negative_binomial(1.2, 1.2 / 9.2, n)


def chance(rng: np.random.Generator, n: int, frames: int, mean: float, alike: float) -> Array:
    """Return the chance of each image's boxes, the same for the images of a video."""
    return np.repeat(rng.beta(mean * alike, (1 - mean) * alike, n // frames), frames)


def share(mean: float, alike: float) -> Draw:
    """Return images of whose boxes a share counts."""

    def draw(rng: np.random.Generator, n: int, frames: int) -> tuple[Array, ...]:
        wholes = counts(rng, n)
        return rng.binomial(wholes, chance(rng, n, frames, mean, alike)).astype(np.float64), wholes.astype(np.float64)

    return draw


def loss(mean: float, alike: float) -> Draw:
    """Return images in which the student loses a share of what the teacher finds: of student, teacher, and all."""

    def draw(rng: np.random.Generator, n: int, frames: int) -> tuple[Array, ...]:
        wholes = counts(rng, n)
        teacher = rng.binomial(wholes, chance(rng, n, frames, 0.85, 5))
        lost = rng.binomial(teacher, chance(rng, n, frames, mean, alike))
        return (teacher - lost).astype(np.float64), teacher.astype(np.float64), wholes.astype(np.float64)

    return draw


def detections(rng: np.random.Generator, n: int, frames: int, over: float, alike: float) -> Judged:
    """Return detections with scores from 0.5 to 1 that are too sure, and more so in some images than in others."""
    image = np.repeat(np.arange(n), counts(rng, n))
    scores = 0.5 + 0.5 * rng.beta(1.5, 1.2, len(image))
    shift = np.repeat(rng.normal(0, alike, n // frames), frames)[image]
    right = rng.random(len(image)) < 1 / (1 + np.exp(-np.log(scores / (1 - scores + 1e-9)) / (1 + over) - shift))
    nothing = Boxes(
        boxes=np.zeros((len(image), 4)), labels=np.zeros(len(image), dtype=np.intp), image=image,
        scores=scores.astype(np.float32), images=n,
    )  # fmt: skip
    return Judged(detections=nothing, right=right, targets=nothing, hit=right)


def row(name: str, truth: float, interval: Callable[[int, int, int], Estimate], sets: int) -> str:
    """Return a row: for each size the mean value, how many intervals lie above and below the truth, and a width."""
    cells = []
    for n, frames in SIZES:
        missed, width, value = np.zeros(2), 0.0, 0.0
        for seed in range(sets):
            made = interval(n, frames, seed)
            low, high = made.low or 0.0, 100.0 if made.high is None else made.high
            missed += [truth < low, truth > high]
            width, value = width + (high - low) / sets, value + made.value / sets
        below, above = 100 * missed / sets
        cells.append(f"{value:.1f}: {below:.1f}% / {above:.1f}%, {width:.1f} pp")
    return f"| {name} | {' | '.join(cells)} |"


def rows(sets: int) -> Iterator[str]:
    """Yield the table."""
    rng = np.random.default_rng(0)
    videos = [f"{n} images" + (f" of {n // frames} videos" if frames > 1 else "") for n, frames in SIZES]
    yield f"| true value | {' | '.join(videos)} |"
    yield "|---" * (1 + len(SIZES)) + "|"
    for mean, alike in ((0.98, 5.0), (0.9, 5.0), (0.7, 5.0)):
        draw = share(mean, alike)
        parts, wholes = draw(rng, POPULATION, 1)
        truth = 100 * float(parts.sum() / wholes.sum())

        def linearised(n: int, frames: int, _: int, draw: Draw = draw) -> Estimate:
            found, of = (_grouped(side, frames) for side in draw(rng, n, frames))
            return pooled_share((found, of), ALPHA).map(lambda value: 100 * value)

        def resampled(n: int, frames: int, _: int, draw: Draw = draw) -> Estimate:
            found, of = (_grouped(side, frames) for side in draw(rng, n, frames))
            return _resampled(found, of, rng)

        yield row(f"a share of {mean:.0%}", truth, linearised, sets)
        yield row(f"a share of {mean:.0%}, percentiles of resamples", truth, resampled, sets)
    for mean, alike in ((0.01, 2.0), (0.05, 5.0)):
        draw = loss(mean, alike)
        student, teacher, wholes = draw(rng, POPULATION, 1)

        def drop(n: int, frames: int, _: int, draw: Draw = draw) -> Estimate:
            found, before, of = (_grouped(side, frames) for side in draw(rng, n, frames))
            made = pooled_difference((before, of), (found, of), ALPHA)
            return made.map(lambda value: 100 * value)

        truth = 100 * float((teacher - student).sum() / wholes.sum())
        yield row(f"a drop of {truth:.1f} pp", truth, drop, sets)
    for over, alike in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        total = np.split(table_of(detections(rng, POPULATION, 1, over, alike)).sum(axis=0), 3)
        truth = 100 * float(np.abs(total[1] - total[2]).sum() / total[0].sum())

        def error(n: int, frames: int, seed: int, over: float = over, alike: float = alike) -> Estimate:
            return _calibration(detections(rng, n, frames, over, alike), n, frames, seed)

        yield row(f"`detection_ece` of {truth:.1f}%", truth, error, max(1, sets // 4))


def _resampled(parts: Array, wholes: Array, rng: np.random.Generator) -> Estimate:
    """Return the percentile interval of a share, expanded for few units, in percent."""
    drawn = drawn_evenly(len(parts), 999, rng)
    values = 100 * share_of(drawn @ parts, drawn @ wholes)
    value = 100 * float(parts.sum() / wholes.sum())
    return expanded(percentiles(value, values, ALPHA), len(parts), ALPHA)


def _grouped(values: Array, frames: int) -> Array:
    grouped: Array = values.reshape(-1, frames).sum(axis=1)
    return grouped


def _calibration(judged: Judged, n: int, frames: int, seed: int) -> Estimate:
    question = Question(kpi=CATALOGUE["detection_ece"], seed=seed, confidence=1 - ALPHA)
    sums = paired_by_group(question, [image // frames for image in range(n)], {"student": table_of(judged)})
    return calibration_evidence(question, named(sums), "", few=True).student.estimate


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    for line in rows(parser.parse_args().sets):
        print(line, flush=True)
