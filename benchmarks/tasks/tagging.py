"""How often do intervals of tagging KPIs hold the true value, and what do the KPIs cost?

`--coverage`: simulated test sets of 30, 100 and 500 documents with one sentence each, or of as many documents with
10 sentences each (`group=`). Sentences have 6 to 30 words, of which 15% are entities of two types. Documents differ
in how hard they are: the teacher's rate of errors is 6% on average, from a beta distribution with a standard
deviation of 7 points. The student repeats the teacher for most words and errs by itself in others, more often in hard
documents and on one type. The true values are those of 2,000,000 sentences. A side of an interval is wrong if the
true value is beyond it; 5% may be.

`--cost`: seconds of each KPI over 100,000 sentences, and of a pass of a small BERT over them (timed on 5,000).

Usage: python benchmarks/tasks/tagging.py --coverage [--sessions 300] | --cost
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Estimate
from pytest_modelbench.settings import Settings

Array = npt.NDArray[Any]
CLASSES = ("O", "B-PER", "B-LOC")
LONGEST, ENTITIES, ERRORS, SPREAD = 30, 0.15, 0.06, 0.07
CONFIDENCE = 0.95
KPIS = {
    "token_accuracy": ("value", "drop"),
    "entity_f1": ("value", "drop"),
    "entity_f1 macro": ("value", "drop"),
    "tag_agreement": ("value",),
    "lost_entities": ("value",),
    "entity_drop": ("value",),
}


class Sources:
    """Two models that answer from tables."""

    def __init__(self, tags: Mapping[str, Array], group: Array | None) -> None:
        self._models = {role: self._model(tags[role]) for role in ("student", "teacher")}
        index = np.arange(len(tags["target"]))[:, None]
        self._data = EvalData(
            index, tags["target"], task="tagging", classes=CLASSES, group=group, batch_size=4096, outputs="labels"
        )

    @staticmethod
    def _model(tags: Array) -> FakeModel:
        return FakeModel(lambda batch: tags[np.asarray(batch)[:, 0]])

    def candidate(self, role: str) -> Any:
        """Return a model."""
        return self._models[role]

    def has(self, role: str) -> bool:
        """Say that there is one."""
        return role == "teacher"

    def data(self) -> Any:
        """Return the sentences."""
        return self._data

    def recorded(self, _kpi: str) -> Mapping[str, float]:
        """Return nothing: no test's body runs."""
        return {}

    def own_rounds(self) -> OwnRounds:
        """Time nothing."""
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def drawn(rng: np.random.Generator, documents: int, each: int) -> dict[str, Array]:
    """Return tags of targets, teacher and student, (sentences, words), padded with -100 in the targets."""
    size = (documents * each, LONGEST)
    target = np.where(rng.random(size) < ENTITIES, rng.integers(1, 3, size), 0)
    concentration = ERRORS * (1 - ERRORS) / SPREAD**2 - 1
    hard = rng.beta(ERRORS * concentration, (1 - ERRORS) * concentration, documents).repeat(each)[:, None]
    teacher = _with_errors(rng, target, hard * np.where(target == 0, 0.5, 2.0))
    student = _with_errors(rng, teacher, hard * np.array([0.2, 0.5, 1.0])[target])
    lengths = rng.integers(6, LONGEST + 1, size[0])[:, None]
    return {"target": np.where(np.arange(LONGEST) < lengths, target, -100), "teacher": teacher, "student": student}


def _with_errors(rng: np.random.Generator, tags: Array, rate: Array) -> Array:
    other = (tags + rng.integers(1, 3, tags.shape)) % 3
    return np.where(rng.random(tags.shape) < rate, other, tags)


def truth(tags: Mapping[str, Array]) -> dict[tuple[str, str], float]:
    """Return every KPI's value in points; an entity is one word here."""
    counts = tags["target"] >= 0
    target, student, teacher = (tags[name][counts] for name in ("target", "student", "teacher"))

    def f1(one: Array, other: Array, kind: int) -> Array:
        return np.array([2 * ((one == kind) & (other == kind)).sum(), (one == kind).sum() + (other == kind).sum()])

    sums = {
        role: np.array([f1(target, tags[role][counts], kind) for kind in (1, 2)]) for role in ("student", "teacher")
    }
    by_type = {role: table[:, 0] / table[:, 1] for role, table in sums.items()}
    micro = {role: table[:, 0].sum() / table[:, 1].sum() for role, table in sums.items()}
    entity, right, kept = target > 0, student == target, teacher == target
    values = {
        ("token_accuracy", "value"): right.mean(),
        ("token_accuracy", "drop"): right.mean() - kept.mean(),
        ("entity_f1", "value"): micro["student"],
        ("entity_f1", "drop"): micro["student"] - micro["teacher"],
        ("entity_f1 macro", "value"): by_type["student"].mean(),
        ("entity_f1 macro", "drop"): by_type["student"].mean() - by_type["teacher"].mean(),
        ("tag_agreement", "value"): (student == teacher).mean(),
        ("lost_entities", "value"): (kept & ~right & entity).sum() / entity.sum(),
        ("entity_drop", "value"): (by_type["teacher"] - by_type["student"]).max(),
    }
    return {name: 100 * float(value) for name, value in values.items()}


def intervals(sources: Sources, seed: int) -> Iterator[tuple[str, str, Estimate | None]]:
    """Yield the interval of each KPI's value and drop."""
    for name, kinds in KPIS.items():
        kpi, _, average = name.partition(" ")
        options = {"confidence": CONFIDENCE, **({"average": average} if average else {})}
        limits = ("drop <= 50 pp",) if "drop" in kinds else ()
        gate = assigned(read_gate((kpi, *limits), options))
        plan = ItemPlan(nodeid=name, student="student", gates=(gate,), settings=Settings(enabled=True, seed=seed))
        session = BenchSession()
        session.plan([plan])
        result, judgement = session.judge(plan, gate, sources)
        if judgement is None:
            if name != "entity_drop":
                raise SystemExit(f"{name}: {result.reason}")
            yield name, "value", None
            continue
        evidence = judgement.evidence
        yield name, "value", evidence.student.estimate
        if "drop" in kinds:
            yield name, "drop", evidence.comparison.difference if evidence.comparison else None


def coverage(sessions: int) -> None:
    """Print a line for each KPI and number of documents."""
    rng = np.random.default_rng(0)
    parts = [truth(drawn(rng, 20_000, 1)) for _ in range(100)]
    true = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    print(f"{sessions} sessions, {CONFIDENCE:.0%} on each side")
    print("| KPI | true | documents | sentences each | true value above | below | none |")
    print("|---|---|---|---|---|---|---|")
    for each in (1, 10):
        for documents in (30, 100, 500):
            counts = {name: [0, 0, 0, 0] for name in true}
            for session in range(sessions if documents < 500 else max(1, sessions // 2)):
                group = None if each == 1 else np.arange(documents).repeat(each)
                for kpi, kind, estimate in intervals(Sources(drawn(rng, documents, each), group), session):
                    counts[kpi, kind][3] += 1
                    if estimate is None or estimate.low is None or estimate.high is None:
                        counts[kpi, kind][2] += 1
                        continue
                    counts[kpi, kind][0] += true[kpi, kind] > estimate.high
                    counts[kpi, kind][1] += true[kpi, kind] < estimate.low
            for (kpi, kind), (above, below, none, n) in counts.items():
                rates = " | ".join(f"{100 * count / n:.1f}%" for count in (above, below, none))
                print(f"| {kpi}, {kind} | {true[kpi, kind]:.2f} | {documents} | {each} | {rates} |", flush=True)


def cost() -> None:
    """Print the seconds of each KPI, and of a pass of a small BERT."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    torch.set_num_threads(1)
    config = BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512)
    model = BertForTokenClassification(config)
    model.train(mode=False)
    ids = torch.randint(0, 30_000, (256, LONGEST))
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(20):
            model(input_ids=ids)
    seconds = (time.perf_counter() - start) * 100_000 / (20 * 256)
    print(f"pass over 100,000 sentences: {seconds:.0f} s")
    sources = Sources(drawn(np.random.default_rng(0), 100_000, 1), None)
    session, plans = BenchSession(), {}
    for name, kinds in KPIS.items():
        kpi, _, average = name.partition(" ")
        options = {"average": average} if average else {}
        gate = assigned(read_gate((kpi, *(("drop <= 50 pp",) if "drop" in kinds else ())), options))
        plans[name] = ItemPlan(nodeid=name, student="student", gates=(gate,), settings=Settings(enabled=True))
    session.plan(list(plans.values()))
    for name, plan in plans.items():
        start = time.perf_counter()
        session.judge(plan, plan.gates[0], sources)
        took = time.perf_counter() - start
        print(f"| {name} | {took:.2f} s | {100 * took / seconds:.1f}% |", flush=True)


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--sessions", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.coverage:
        coverage(arguments.sessions)
    if arguments.cost:
        cost()


if __name__ == "__main__":
    main()
