"""How often intervals of NDCG hold the true value, and what the KPIs of ranking cost beside a forward pass.

Usage: python benchmarks/tasks/ranking.py --coverage [--repeats 1000]
       python benchmarks/tasks/ranking.py --cost [--queries 100000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from standin import Samples, Session, misses, shares

from pytest_modelbench import EvalData
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence
from pytest_modelbench.kpis.ranking.measures import MEASURES
from pytest_modelbench.kpis.ranking.ranked import ranks
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.answers import take
from pytest_modelbench.stats.cells import FloatArray

ITEMS = 20


def values(rng: np.random.Generator, n: int, groups: int | None) -> dict[str, FloatArray]:
    """Return NDCG@10 of each query for two models: queries differ in how hard they are, those of a group less."""
    of = np.arange(n) if groups is None else np.arange(n) % groups
    hard = np.exp(rng.normal(0, 0.7, int(of.max()) + 1)[of] + rng.normal(0, 0.5, n))[:, None]
    relevance = rng.binomial(3, rng.beta(0.3, 2.0, (n, 1)), (n, ITEMS)).astype(float)
    relevance[:, 0] = np.maximum(relevance[:, 0], 1)
    common = relevance + hard * rng.normal(size=(n, ITEMS))
    query = np.repeat(np.arange(n), ITEMS)
    options = {"k": 10, "gain": "linear"}
    scores = {"teacher": common, "student": common + 0.7 * rng.normal(size=(n, ITEMS))}
    return {
        role: MEASURES["ndcg"](ranks(score.ravel(), relevance.ravel(), query, n), options)
        for role, score in scores.items()
    }


def coverage(repeats: int) -> None:
    rng = np.random.default_rng(0)
    true = {role: 100 * float(its.mean()) for role, its in values(rng, 100_000, None).items()}
    question = Question(kpi=CATALOGUE["ndcg"], confidence=0.95, asked=True, with_teacher=True)
    print("| queries | groups | below, student | above, student | below, difference | above, difference |")
    print("|---|---|---|---|---|---|")
    for n, groups in ((30, None), (100, None), (500, None), (120, 30), (500, 100)):
        missed = np.zeros(4)
        for _ in range(repeats):
            data = Samples(None if groups is None else (np.arange(n) % groups).tolist())
            tallied = {role: Tallied(parts=its, wholes=np.ones(n)) for role, its in values(rng, n, groups).items()}
            evidence = pooled_evidence(question, data, tallied, "NDCG", nothing="no queries")
            missed += misses(evidence, true)
        print(f"| {n} | {groups or '-'} | " + shares(missed, repeats) + " |")


def cost(queries: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    items = torch.randn(queries * 10, 64)
    relevance = (items[:, 0] > 1).to(torch.int64)
    nets = [torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1)) for _ in range(2)]
    models = {role: adapt(net, Loading(name=role)) for role, net in zip(("student", "teacher"), nets, strict=True)}
    data = EvalData(items, relevance, query=np.repeat(np.arange(queries), 10), task="ranking", batch_size=4096)
    start = time.process_time()
    for part in torch.split(items, 4096):
        models["student"](part)
    forward = time.process_time() - start
    start = time.process_time()
    answers = {role: take(Taking(model=model, data=data)) for role, model in models.items()}
    passes = time.process_time() - start
    print(f"{queries} queries of 10 items. A forward pass alone: 1; of each model with its scores kept:")
    print(f"{passes / 2 / forward:.2f}")
    for name in ("ndcg", "mrr", "recall_at_k", "top_k_overlap", "rank_correlation"):
        kpi = CATALOGUE[name]
        start = time.process_time()
        question = Question(kpi=kpi, options=kpi.options, with_teacher=True)
        tuple(evidence_for(question, Session(data, answers)))  # type: ignore[arg-type] # what these KPIs use of it
        print(f"{name}: {(time.process_time() - start) / forward:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--queries", type=int, default=100_000)
    args = parser.parse_args()
    if args.coverage:
        coverage(args.repeats)
    if args.cost:
        cost(args.queries)
