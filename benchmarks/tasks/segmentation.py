"""How often the intervals of segmentation hold the true value, and what the KPIs cost beside a forward pass.

Usage: python benchmarks/tasks/segmentation.py --coverage [--repeats 300]
       python benchmarks/tasks/segmentation.py --cost [--images 300]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from standin import Samples, Session, misses, shares

from pytest_modelbench import EvalData, Model
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.kpis.segmentation.confusion import iou_of
from pytest_modelbench.kpis.segmentation.overlap import nan_mean
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.answers import take
from pytest_modelbench.stats.cells import FloatArray

SHARES = np.array([1.0, 0.6, 0.3, 0.1])
"""In which share of the images each class is: the last one is rare."""


def images(rng: np.random.Generator, n: int, groups: int | None) -> dict[str, FloatArray]:
    """Return the areas of both models in images, (n, 12): objects are log-normal in size, and quality goes with it.

    Images of a group share their quality and which classes they have.
    """
    of = np.arange(n) if groups is None else np.arange(n) % groups
    count = int(of.max()) + 1
    present = (rng.random((count, 4)) < SHARES)[of]
    target = np.where(present, np.exp(rng.normal(6, 1.2, (n, 4))), 0.0)
    level = rng.normal(0, 0.6, (count, 4))[of] + rng.normal(0, 0.6, (n, 4))
    tables = {}
    for role, mean in (("student", 1.6), ("teacher", 1.9)):
        found = 1 / (1 + np.exp(-(mean + level + rng.normal(0, 0.3, (n, 4)) + 0.2 * (np.log(target + 1) - 6))))
        both = target * found
        extra = both * rng.gamma(2.0, 0.08, (n, 4))
        tables[role] = np.concatenate([both, target, both + extra], axis=1)
    return tables


def value(sums: FloatArray) -> FloatArray:
    return 100 * nan_mean(iou_of(sums))


def coverage(repeats: int) -> None:
    rng = np.random.default_rng(0)
    truth = {role: float(value(table.sum(axis=0)[None])[0]) for role, table in images(rng, 400_000, None).items()}
    question = Question(kpi=CATALOGUE["mean_iou"], confidence=0.95, asked=True, with_teacher=True)
    print("| images | groups | below, student | above, student | below, difference | above, difference |")
    print("|---|---|---|---|---|---|")
    for n, groups in ((30, None), (100, None), (500, None), (120, 30), (500, 100)):
        missed = np.zeros(4)
        for _ in range(repeats):
            data = Samples(None if groups is None else (np.arange(n) % groups).tolist())
            evidence = jackknife_evidence(question, data, images(rng, n, groups), value, "mean of classes")
            missed += misses(evidence, truth)
        print(f"| {n} | {groups or '-'} | " + shares(missed, repeats) + " |")


class Net(torch.nn.Module):
    """A small network that keeps the size of images."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        wide = [torch.nn.Conv2d(width, 16, 3, padding=1) for width in (3, 16, 16)]
        self.body = torch.nn.Sequential(*(layer for conv in wide for layer in (conv, torch.nn.ReLU())))
        self.head = torch.nn.Conv2d(16, 8, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(torch.nn.functional.avg_pool2d(pictures, 5, 1, 2)))
        return scores


def cost(count: int) -> None:
    torch.set_num_threads(1)
    pictures = torch.nn.functional.interpolate(torch.rand(count, 3, 16, 16), size=(256, 256), mode="bilinear")
    models: dict[str, Model] = {
        role: adapt(Net(i), Loading(name=role)) for i, role in enumerate(("teacher", "student"))
    }
    with torch.no_grad():
        masks = torch.cat([models["teacher"](part).argmax(1) for part in torch.split(pictures, 8)])
    data = EvalData(pictures, masks, task="segmentation")
    start = time.process_time()
    with torch.no_grad():
        for part in torch.split(pictures, 8):
            models["student"](part)
    forward = time.process_time() - start
    start = time.process_time()
    answers = {role: take(Taking(model=model, data=data)) for role, model in models.items()}
    passes = time.process_time() - start
    print(f"{count} images of 256 by 256 pixels, 8 classes. A forward pass alone: 1; of each model with its masks")
    print(f"read and compressed: {passes / 2 / forward:.2f}")
    for name in ("mean_iou", "dice", "pixel_accuracy", "iou_drop", "mask_agreement", "boundary_f"):
        kpi = CATALOGUE[name]
        start = time.process_time()
        question = Question(kpi=kpi, options=kpi.options, with_teacher=True)
        tuple(evidence_for(question, Session(data, answers)))  # type: ignore[arg-type] # what these KPIs use of it
        print(f"{name}: {(time.process_time() - start) / forward:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--images", type=int, default=300)
    args = parser.parse_args()
    if args.coverage:
        coverage(args.repeats)
    if args.cost:
        cost(args.images)
