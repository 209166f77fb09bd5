"""How often intervals of average precision and recall hold the true value, and what they cost.

Simulated detectors of known truth: images differ in how hard they are, those of one video are alike, and the student
shares most of what makes an image hard with the teacher. Each of the two ends of an interval may miss 5%.

Usage: python benchmarks/tasks/detection.py --coverage [--repetitions 300] [--sizes 30 100 500] [--kpis map map_50]
       python benchmarks/tasks/detection.py --cost [--images 5000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.detection import average_precision
from pytest_modelbench.kpis.detection.matching import matched
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers
from pytest_modelbench.results import Estimate

Array = npt.NDArray[Any]
CLASSES = np.array([0.45, 0.25, 0.15, 0.1, 0.05])
SIDE, OBJECTS, WRONG = 640.0, 6.0, 6.0
ROLES = {"teacher": 0.0, "student": 0.25}
"""How much harder an image is for each model, in standard deviations."""


def boxes(rng: np.random.Generator, count: int) -> Array:
    """Return boxes of all sizes inside of an image."""
    sides = np.exp(rng.uniform(np.log(12), np.log(300), (count, 2)))
    places = rng.uniform(0, 1, (count, 2)) * (SIDE - sides)
    return np.concatenate([places, places + sides], axis=1)


def seen(rng: np.random.Generator, truth: Array, labels: Array, hard: float, wrong: float) -> dict[str, Array]:
    """Return what a detector finds in an image: fewer objects, further away, with lower scores if it is hard."""
    kept = rng.random(len(truth)) < 1 / (1 + np.exp(hard - 1.5))
    noise = 0.05 * np.exp(0.4 * hard) * rng.normal(size=(int(kept.sum()), 4))
    right = truth[kept] + noise * np.tile(truth[kept, 2:] - truth[kept, :2], 2)
    others = boxes(rng, rng.poisson(wrong * np.exp(0.3 * hard)))
    scores = np.concatenate([rng.normal(1 - 0.5 * hard, 1, len(right)), rng.normal(-1.5, 1, len(others))])
    found = np.concatenate([right, others])
    return {
        "boxes": np.sort(found.reshape(-1, 2, 2), axis=1).reshape(-1, 4).astype(np.float32),
        "labels": np.concatenate([labels[kept], rng.choice(len(CLASSES), len(others), p=CLASSES)]).astype(np.int64),
        "scores": (1 / (1 + np.exp(-scores))).astype(np.float32),
    }


def drawn(rng: np.random.Generator, n: int, frames: int, wrong: float = WRONG) -> Mapping[str, TaskAnswers]:
    """Return the answers of both models to `n` images, of which `frames` follow each other in a video."""
    of_video = np.repeat(rng.normal(size=-(-n // frames)), frames)[:n]
    hard = of_video if frames == 1 else 0.8 * of_video + 0.6 * rng.normal(size=n)
    targets: list[dict[str, Array]] = []
    found: dict[str, list[dict[str, Array]]] = {role: [] for role in ROLES}
    for image in range(n):
        count = rng.poisson(OBJECTS)
        truth, labels = boxes(rng, count).astype(np.float32), rng.choice(len(CLASSES), count, p=CLASSES)
        area = np.prod(truth[:, 2:] - truth[:, :2], axis=1, dtype=np.float32)
        targets.append({"boxes": truth, "labels": labels, "area": area, "crowd": np.zeros(count, dtype=bool)})
        for role, harder in ROLES.items():
            found[role].append(seen(rng, truth, labels, hard[image] + harder + 0.5 * rng.normal(), wrong))
    return {role: answers_of(role, targets, several) for role, several in found.items()}


def answers_of(role: str, targets: Sequence[dict[str, Array]], found: Sequence[dict[str, Array]]) -> TaskAnswers:
    """Return a measurement."""
    return TaskAnswers(
        model=role,
        task="detection",
        answers={name: Ragged.of([each[name] for each in found]) for name in found[0]},
        targets={name: Ragged.of([each[name] for each in targets]) for name in targets[0]},
        ids=range(len(targets)),
        nonfinite=np.zeros(len(targets), dtype=np.int64),
    )


HEAD = (
    "| KPI | units | student | teacher | below | above | difference: below | above |\n"
    "|---|---|---|---|---|---|---|---|"
)


class Taken:
    """Measurements that are there already."""

    def __init__(self, answers: Mapping[str, TaskAnswers], group: Sequence[int] | None = None) -> None:
        self._answers = answers
        n = len(answers["student"])
        self._data = DetectionData(np.zeros((n, 1)), [{"boxes": [], "labels": []}] * n, group=group)

    def data(self) -> DetectionData:
        """Return the data."""
        return self._data

    def of(self, _: Any, role: str) -> TaskAnswers:
        """Return the answers of a model."""
        return self._answers[role]


def values(answers: TaskAnswers, kpi: str) -> float:
    """Return a value without its interval."""
    precision = kpi in average_precision.PRECISIONS
    mean = (average_precision.PRECISIONS if precision else average_precision.RECALLS)[kpi]
    by_class = average_precision.precision_by_class if precision else average_precision.recall_by_class
    return float(np.nanmean(by_class(answers, np.ones((1, len(answers))), mean)))


def misses(estimate: Estimate | None, truth: float) -> tuple[bool, bool]:
    """Return whether the truth lies below, and whether above an interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return True, True
    return truth < estimate.low, truth > estimate.high


def coverage(
    kpis: Sequence[str], sizes: Sequence[int], several: Sequence[int], repetitions: int, population: int
) -> Iterator[str]:
    """Yield a row for each KPI and number of units."""
    for frames in several:
        truths = drawn(np.random.default_rng(1), population, frames)
        exact = {kpi: {role: values(answers, kpi) for role, answers in truths.items()} for kpi in kpis}
        for units in sizes:
            rng = np.random.default_rng(units)
            counts = {kpi: np.zeros((2, 2)) for kpi in kpis}
            for _ in range(repetitions):
                sample = drawn(rng, units * frames, frames)
                taken: Any = Taken(sample, None if frames == 1 else [i // frames for i in range(units * frames)])
                for kpi in kpis:
                    (evidence,) = evidence_for(Question(kpi=CATALOGUE[kpi], with_teacher=True), taken)
                    own, difference = exact[kpi]["student"], exact[kpi]["student"] - exact[kpi]["teacher"]
                    compared = evidence.comparison
                    counts[kpi][0] += misses(evidence.student.estimate, own)
                    counts[kpi][1] += misses(compared.difference if compared else None, difference)
            unit = "images" if frames == 1 else f"videos of {frames}"
            for kpi in kpis:
                shares = " | ".join(f"{100 * share:.1f}%" for share in counts[kpi].reshape(-1) / repetitions)
                true = exact[kpi]
                yield f"| `{kpi}` | {units} {unit} | {true['student']:.1f} | {true['teacher']:.1f} | {shares} |"


def cost(images: int) -> Iterator[str]:
    """Yield the processor seconds of each KPI of both models, and of a forward pass of a small detector."""
    answers = drawn(np.random.default_rng(0), images, 1, wrong=22.0)
    taken: Any = Taken(answers)
    count = len(answers["student"].answers["scores"].values) / images
    a_pass = 2 * images * seconds_of_an_image()
    yield f"{images:,} images, {count:.0f} detections and {OBJECTS:g} targets each, two models"
    yield f"forward passes of YOLOS-tiny on the processor: {a_pass:,.0f} s"
    for area in ("all", "small"):
        start = time.process_time()
        for model in answers.values():
            matched(model, area)
        yield f"matches, area {area}: {_spent(start, a_pass)}"
    shown = ("detection_f1", "detection_agreement", "box_iou", "lost_detections", "detection_ece")
    for kpi in ("map", "map_50", "map_small", "mar_100", "ap_drop", *shown):
        start = time.process_time()
        row = CATALOGUE[kpi]
        list(evidence_for(Question(kpi=row, options=row.options, with_teacher=True), taken))
        yield f"{kpi}, 999 resamples: {_spent(start, a_pass)}"


def _spent(start: float, of: float) -> str:
    seconds = time.process_time() - start
    return f"{seconds:.1f} s, {100 * seconds / of:.2f}% of the passes"


def seconds_of_an_image() -> float:
    """Return the processor time of YOLOS-tiny for an image of 512 x 672 pixels; its weights do not matter."""
    import torch
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, image_size=[512, 672]
    )
    model: Any = YolosForObjectDetection(config)
    model.eval()
    image = torch.zeros(1, 3, 512, 672)
    with torch.inference_mode():
        model(image)
        start = time.process_time()
        for _ in range(3):
            model(image)
    return (time.process_time() - start) / 3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--population", type=int, default=40_000)
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 5], help="how many images each video has")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 100, 500])
    parser.add_argument("--kpis", nargs="+", default=["map", "map_50", "mar_100"])
    arguments = parser.parse_args()
    if arguments.coverage:
        print(HEAD)
        for row in coverage(
            arguments.kpis, arguments.sizes, arguments.frames, arguments.repetitions, arguments.population
        ):
            print(row, flush=True)
    if arguments.cost:
        for row in cost(arguments.images):
            print(row, flush=True)


if __name__ == "__main__":
    main()
