"""How often intervals of KPIs of embeddings hold the true value, and what the KPIs cost beside a forward pass.

Usage: python benchmarks/tasks/embedding.py --coverage [--repeats 200]
       python benchmarks/tasks/embedding.py --cost [--samples 100000]
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from pytest_modelbench import EvalData
from pytest_modelbench.data.tasks.embedding import EmbeddingData
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.answers import take
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers
from pytest_modelbench.stats.cells import FloatArray

WIDTH, LABELS = 24, 8
SHAPES = np.random.default_rng(1)
CENTRES = SHAPES.normal(size=(LABELS, WIDTH))
COSTLY = (
    *("retrieval_recall", "retrieval_ndcg", "neighbour_overlap"),
    *("similarity_correlation", "cka", "sts_correlation"),
)
SMALLER = SHAPES.normal(size=(WIDTH, 12))


class Asked:
    """Measurements of two models whose vectors are there."""

    def __init__(self, data: Any, answers: Mapping[str, TaskAnswers]) -> None:
        self._data, self._answers = data, answers

    def data(self) -> Any:
        return self._data

    def of(self, _: object, role: str) -> TaskAnswers:
        return self._answers[role]


def drawn(rng: np.random.Generator, n: int, groups: int | None) -> tuple[FloatArray, FloatArray, FloatArray, Any]:
    """Return what samples mean, vectors of the teacher and the student, and labels; those of a group are alike."""
    of = np.arange(n) if groups is None else np.arange(n) % groups
    count = int(of.max()) + 1
    label = rng.integers(0, LABELS, count)[of]
    meaning = CENTRES[label] + 0.8 * rng.normal(size=(count, WIDTH))[of] + 0.4 * rng.normal(size=(n, WIDTH))
    hard = np.exp(rng.normal(-0.7, 0.5, (count, 1)))[of]
    teacher = meaning + 0.5 * hard * rng.normal(size=(n, WIDTH))
    student = (teacher + hard * rng.normal(size=(n, WIDTH))) @ SMALLER
    return meaning, teacher, student, label


def asked(rng: np.random.Generator, n: int, groups: int | None, pairs: int | None = None) -> Asked:
    """Return measurements of a draw, with as many pairs and triplets as samples."""
    meaning, teacher, student, label = drawn(rng, n, groups)
    count = pairs or n
    first, step = rng.integers(0, n, count), rng.integers(1, n, count)
    second = (first + step) % n
    by_label = np.argsort(label, kind="stable")
    third = by_label[(np.argsort(by_label)[first] + 1) % n]
    rated = (meaning[first] * meaning[second]).sum(axis=1) + 4 * rng.normal(size=count)
    data = EmbeddingData(
        np.zeros((n, 1)),
        label,
        pairs=np.stack([first, np.where(rng.random(count) < 0.5, second, third)], axis=1),
        similarity=rated,
        same=label[first] == label[second],
        triplets=np.stack([first, third, second], axis=1),
        group=None if groups is None else (np.arange(n) % groups).tolist(),
    )
    data.same = label[np.array(data.pairs)[:, 0]] == label[np.array(data.pairs)[:, 1]]
    answers = {"student": student, "teacher": teacher}
    return Asked(data, {role: measured(role, its, label) for role, its in answers.items()})


def measured(role: str, vectors: FloatArray, labels: Any) -> TaskAnswers:
    """Return answers of a model."""
    n, offsets = len(vectors), np.arange(len(vectors) + 1)
    return TaskAnswers(
        model=role,
        task="embedding",
        answers={"vector": Ragged(vectors.astype(np.float32), offsets)},
        targets={"label": Ragged(labels.astype(str), offsets)},
        ids=range(n),
        nonfinite=np.zeros(n, dtype=np.int64),
    )


def values(kpi: str, measurements: Asked, *, compares: bool) -> list[tuple[float, float | None, float | None]]:
    """Return the student's value with its interval, and the difference from the teacher's with its own."""
    options = {name: value for name, value in CATALOGUE[kpi].options.items() if name != "confidence"}
    question = Question(kpi=CATALOGUE[kpi], options=options, confidence=0.95, asked=True, with_teacher=compares)
    evidence = next(iter(evidence_for(question, measurements)))  # type: ignore[arg-type]
    estimates = [evidence.student.estimate]
    if compares and evidence.comparison is not None and evidence.comparison.difference is not None:
        estimates.append(evidence.comparison.difference)
    return [(estimate.value, estimate.low, estimate.high) for estimate in estimates]


def coverage(repeats: int, only: str) -> None:
    """Print how often intervals miss the mean of many draws of the same size."""
    print("| KPI | samples | groups | below | above | below, difference | above, difference |")
    print("|---|---|---|---|---|---|---|")
    names = [name for name, kpi in CATALOGUE.items() if kpi.derive and ".embedding." in kpi.derive]
    for kpi in [name for name in names if name != "embedding_cosine" and only in name]:
        compares = not CATALOGUE[kpi].paired
        for n, groups in ((30, None), (100, None), (500, None), (200, 40)):
            rng = np.random.default_rng(0)
            drawn_values = [values(kpi, asked(rng, n, groups), compares=compares) for _ in range(repeats)]
            print(f"| `{kpi}` | {n} | {groups or '-'} | {' | '.join(missed(drawn_values))} |", flush=True)


def missed(drawn_values: list[list[tuple[float, float | None, float | None]]]) -> list[str]:
    """Return the shares of intervals below and above the mean of all values, of each of the estimates."""
    shares = []
    for column in zip(*drawn_values, strict=True):
        aim = np.mean([value for value, _, _ in column])
        ends = [(low, high) for _, low, high in column if low is not None and high is not None]
        shares += [np.mean([high < aim for _, high in ends]), np.mean([low > aim for low, _ in ends])]
    cells = [f"{100 * share:.1f}%" for share in shares]
    return cells + ["-"] * (4 - len(cells))


def cost(samples: int) -> None:
    """Print the time of the KPIs over that of a pass of a small transformer over texts of 16 tokens."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True)
    model = torch.nn.Sequential(torch.nn.Embedding(1000, 384), torch.nn.TransformerEncoder(layer, 2)).eval()
    tokens = torch.randint(0, 1000, (2048, 16))
    data = EvalData(tokens, task="embedding", pooling="mean")
    taking = Taking(model=adapt(model, Loading(name="student")), data=data)
    seconds = timed(lambda: take(taking))
    whole = seconds * samples / len(tokens)
    print(f"one pass over {samples:,} samples: {whole:.0f} s, from {seconds:.1f} s for {len(tokens):,}", flush=True)
    rng = np.random.default_rng(0)
    label = rng.integers(0, samples // 20, samples)
    pairs = rng.integers(0, samples, (samples, 2))
    both = {role: measured(role, rng.normal(size=(samples, 384)), label) for role in ("student", "teacher")}
    session = Asked(EvalData(np.zeros((samples, 1)), label, pairs=pairs, similarity=rng.random(samples)), both)
    for kpi in COSTLY:
        spent = timed(functools.partial(values, kpi, session, compares=not CATALOGUE[kpi].paired))
        print(f"{kpi}: {spent:.1f} s, {spent / whole:.2f} of a pass", flush=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--kpi", default="", help="part of the names of the KPIs")
    stated = parser.parse_args()
    if stated.coverage:
        coverage(stated.repeats, stated.kpi)
    if stated.cost:
        cost(stated.samples)
