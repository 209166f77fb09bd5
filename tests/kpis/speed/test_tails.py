"""Which rounds a latency is read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_modelbench.bench.verdicts import judge
from pytest_modelbench.grammar.limits import bind_limit, parse_limit
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.results import LimitResult, Reading, Verdict

FIRST, REPEATED = [[np.full(100, 9e6)]] * 3, [[np.full(100, 1e6)]] * 3


class Taken:
    """Hands out one measurement whose every round was disturbed and repeated."""

    def timing(self) -> TimingMeasurement:
        return TimingMeasurement(
            series={"student": FIRST},
            calm={"student": REPEATED},
            batch_sizes={"student": 1},
            looks=(3,),
            elapsed_s=(1.0,),
            copied=True,
            settings={"calls_per_second": {"student": 1e9}, "budget_s": 60.0},
        )


@pytest.mark.parametrize(("kpi", "ms"), [("mean", 1), ("p50", 1), ("p90", 9), ("p95", 9), ("p99", 9), ("p99_9", 9)])
def test_tails_are_read_from_what_was_measured_first(kpi: str, ms: float) -> None:
    """Repeated rounds are for means and medians; a percentile from p90 up leaves nothing out."""
    taken: Any = Taken()
    (evidence,) = evidence_for(Question(kpi=CATALOGUE[f"latency_{kpi}"], options={"batch_size": 1}), taken)
    assert evidence.student.value == ms


def slow(calls_ns: list[float], **settings: Any) -> Any:
    """Hand out a measurement of one call a placement, all of it at one look, within 60 s."""
    clusters = [[np.array([call])] for call in calls_ns]

    class Slow:
        def timing(self) -> TimingMeasurement:
            return TimingMeasurement(
                series={"student": clusters},
                calm={"student": clusters},
                batch_sizes={"student": 1},
                looks=(len(clusters),),
                elapsed_s=(10.0,),
                copied=True,
                settings={"calls_per_second": {"student": 2.0}, "budget_s": 60.0, **settings},
            )

    return Slow()


def judged(kpi: str, limit: str, taken: Any) -> LimitResult:
    row = CATALOGUE[kpi]
    question = Question(kpi=row, options={"batch_size": 1})
    bound = bind_limit(parse_limit(limit), kpi=kpi, unit=row.unit, better=row.better, bounds=row.bounds)
    (result,) = judge([bound], evidence_for(question, taken), row.unit).limits
    return result


@pytest.mark.parametrize(
    ("kpi", "limit"),
    [
        ("latency_p50", "<= 50 ms"),
        ("latency_p99", "<= 50 ms"),
        ("latency_mean", "<= 50 ms"),
        ("throughput", ">= 20 samples/s"),
    ],
)
def test_limit_that_every_call_exceeds_fails(kpi: str, limit: str) -> None:
    """Six calls of 250 ms are enough to refute 50 ms: nobody has to wait for more of them."""
    result = judged(kpi, limit, slow([2.4e8, 2.7e8, 2.5e8, 2.4e8, 2.6e8, 2.5e8]))
    assert result.verdict is Verdict.FAIL
    assert "does not hold: " in result.reason


def test_one_slow_call_refutes_no_median() -> None:
    """It may be a hiccup; the result says how long a measurement would decide."""
    result = judged("latency_p50", "<= 50 ms", slow([2.5e8]))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.needed_seconds == 80.0


def test_needed_calls_are_told_with_why_they_are_so_many() -> None:
    """A p99 alone needs 299 calls; looks share the error, so that each needs more, and the time is told."""
    result = judged("latency_p99", "<= 900 ms", slow([2.5e8] * 20))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert (
        "latency_p99 needs 368 independent calls for an upper bound at look 1 (299 if there were no other look)"
        in (result.reason)
    )
    assert "they take at least 184 s, and the budget is 60 s: give --modelbench-budget=368" in result.reason
    assert result.needed_seconds == 368.0


def reading(kpi: str, **settings: Any) -> Reading:
    question = Question(kpi=CATALOGUE[kpi], options={"batch_size": 1})
    *_, evidence = evidence_for(question, slow([2.5e8] * 20, **settings))
    return evidence.student


def test_method_says_which_batches_were_timed() -> None:
    """How many of how many, and how far their sizes differ."""
    sizes = {"smallest": 10, "median": 10, "largest": 400}
    drawn = {"student": {"batches": 256, "of": 3000, "whole": True, "sizes": sizes}}
    told = reading("latency_p50", drawn=drawn, batches_called={"student": 20}).method
    assert told.endswith("batch size 1, 20 of 3,000 batches of 10 to 400 elements")
    drawn["student"] |= {"whole": False, "sizes": {**sizes, "largest": 10}}
    told = reading("latency_p50", drawn=drawn, batches_called={"student": 300}).method
    assert told.endswith("batch size 1, 256 of 3,000 batches read so far")


def test_method_tells_of_a_slow_first_call() -> None:
    """One that takes ten times as long and more, for somebody may wait for it."""
    first = {"calls": 8, "first_s": 4.0, "seconds": 6.0}
    told = reading("latency_p50", first_calls={"student": first}).method
    assert told.endswith("; the first call took 4 s and is left out, as are 7 more")
    assert "first call" not in reading("latency_p50", first_calls={"student": {**first, "first_s": 1.0}}).method


def test_method_says_why_no_larger_batches_were_tried() -> None:
    """Who reads of batch size 1 wants to know."""
    curve = {"best": 1, "ended": "RuntimeError at batch size 2", "curve": [{"batch_size": 1}]}
    assert reading("throughput", sweep={"student": curve}).method.endswith(" (RuntimeError at batch size 2)")
    curve |= {"ended": "256 is the largest", "curve": [{"batch_size": 1}, {"batch_size": 256}]}
    assert reading("throughput", sweep={"student": curve}).method.endswith(
        ", the best of 1 to 256 (256 is the largest)"
    )


def test_refused_copies_are_told() -> None:
    """Not of every model that has none: only where one was made and found to be another model."""
    question = Question(kpi=CATALOGUE["latency_mean"], options={"batch_size": 1})
    why = "the copy of student returns other outputs than the model"
    (evidence,) = evidence_for(question, slow([1e6] * 4, not_copied=why))
    assert evidence.notes == (f"{why}: timed where it is, and nothing is known of other places in memory",)
    (evidence,) = evidence_for(question, slow([1e6] * 4, not_copied="student cannot be copied"))
    assert evidence.notes == ()
