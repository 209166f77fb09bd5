"""How often is an interval of fairness drift wrong, and how often does it see a drift that is there?

Simulated pairs of models over 4,000 people of two or four equal groups. The student repeats the teacher's answer for
most people and draws its own for the rest, so that the two are paired as a distilled model is with its teacher. The
teacher treats all groups alike, or one of them worse by 5 points. Without a drift the student does the same; with one
it treats that group worse by 5 points more.

Usage: python benchmarks/fairness.py [--sessions 400]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.gate import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.settings import Settings

PEOPLE, CONFIDENCE, PLANTED, GAPS = 4000, 0.95, 0.05, (0.0, 0.05)
OWN_ANSWERS = 0.1
KPIS = ("demographic_parity_drift", "equal_opportunity_drift", "group_accuracy_gap")
Array = npt.NDArray[Any]


class Sources:
    """Two models that answer from tables."""

    def __init__(self, answers: Mapping[str, Array], targets: Array, groups: Array) -> None:
        self._answers = answers
        index = np.arange(len(targets))[:, None]
        self._data = EvalData(
            index, targets, batch_size=PEOPLE, task="binary", outputs="labels", sensitive={"group": groups}
        )

    def candidate(self, role: str) -> Any:
        """Return a model."""
        return FakeModel(lambda batch: self._answers[role][np.asarray(batch)[:, 0]])

    def has(self, role: str) -> bool:
        """Say that there is one."""
        return role == "teacher"

    def data(self) -> Any:
        """Return the people."""
        return self._data

    def recorded(self, _kpi: str) -> Mapping[str, float]:
        """Return nothing: no test's body runs."""
        return {}

    def own_rounds(self) -> OwnRounds:
        """Time nothing."""
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def spoiled(rng: np.random.Generator, kpi: str, answers: Array, targets: Array, group: Array, share: float) -> Array:
    """Return answers that treat the first group worse by a share of those whom the KPI counts."""
    counted = (group == 0) & ((targets == 1) if kpi == "equal_opportunity_drift" else True)
    worse = {"demographic_parity_drift": answers == 0, "equal_opportunity_drift": answers == 1}
    changeable = counted & worse.get(kpi, answers == targets)
    chance = share * counted.sum() / max(1, changeable.sum())
    return np.where(changeable & (rng.random(PEOPLE) < chance), 1 - answers, answers)


def drawn(rng: np.random.Generator, kpi: str, groups: int, gap: float, planted: float) -> Sources:
    """Return a session's people and models."""
    group = rng.integers(0, groups, PEOPLE)
    targets = rng.integers(0, 2, PEOPLE)
    fair = np.where(rng.random(PEOPLE) < 0.85, targets, 1 - targets)
    teacher = spoiled(rng, kpi, fair, targets, group, gap)
    again = np.where(rng.random(PEOPLE) < 0.85, targets, 1 - targets)
    again = spoiled(rng, kpi, again, targets, group, gap)
    student = np.where(rng.random(PEOPLE) < OWN_ANSWERS, again, teacher)
    student = spoiled(rng, kpi, student, targets, group, planted)
    return Sources({"teacher": teacher, "student": student}, targets, group)


def ends(sources: Sources, kpi: str, seed: int) -> tuple[float, float]:
    """Return the interval of a session's reading."""
    gate = read_gate((kpi,), {"confidence": CONFIDENCE})
    plan = ItemPlan(nodeid=kpi, student="student", gates=(gate,), settings=Settings(enabled=True, seed=seed))
    result, _ = BenchSession().judge(plan, gate, sources)
    estimate = result.student_reading.estimate if result.student_reading else None
    if estimate is None or estimate.low is None or estimate.high is None:
        raise SystemExit(f"{kpi}: {result.reason}")
    return estimate.low, estimate.high


def rate(hits: int, n: int) -> str:
    """Return a rate with its 95% interval."""
    found = stats.binomtest(hits, n).proportion_ci(0.95)
    return f"{100 * hits / n:.1f}% [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def main() -> None:
    """Print one line for each KPI, number of groups and gap of the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=400)
    sessions = parser.parse_args().sessions
    print(f"{sessions} sessions of {PEOPLE:,} people, {CONFIDENCE:.0%} on each side")
    print("| KPI | groups | teacher's gap | no drift: says more | less | 5 points: says more | less | sees them |")
    print("|---|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for kpi in KPIS:
        for groups, gap in itertools.product((2, 4), GAPS):
            wrong = [0] * 5
            for session in range(sessions):
                low, high = ends(drawn(rng, kpi, groups, gap, 0.0), kpi, session)
                now = [low > 0, high < 0]
                low, high = ends(drawn(rng, kpi, groups, gap, PLANTED), kpi, session)
                now += [low > 100 * PLANTED, high < 100 * PLANTED, low > 0]
                wrong = [before + one for before, one in zip(wrong, now, strict=True)]
            rates = " | ".join(rate(hits, sessions) for hits in wrong)
            print(f"| {kpi} | {groups} | {100 * gap:g} pp | {rates} |", flush=True)


if __name__ == "__main__":
    main()
