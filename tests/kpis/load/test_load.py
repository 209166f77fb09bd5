"""KPIs under load from end to end of the bench, on a scripted clock: verdicts, reasons, facts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData, FakeClock, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.settings import Settings

MS = 1e6
P99 = 4.33626 * 5
"""In ms, of fixed calls of 5 ms at 100 requests a second (M/D/1)."""


class Sources:
    """Models on one clock."""

    def __init__(self, models: Mapping[str, FakeModel], samples: int = 64) -> None:
        self.models = models
        self.samples = samples

    def candidate(self, role: str) -> Any:
        return self.models[role]

    def has(self, role: str) -> bool:
        return role in self.models

    def data(self) -> EvalData:
        return EvalData(np.zeros((self.samples, 2)), np.zeros(self.samples))

    def recorded(self, kpi: str) -> Mapping[str, float]:
        raise NotImplementedError(kpi)

    def own_rounds(self) -> OwnRounds:
        raise NotImplementedError


def models(**costs_ms: Any) -> dict[str, FakeModel]:
    clock = FakeClock()
    return {role: FakeModel(cost_ns=_ns(cost), clock=clock) for role, cost in costs_ms.items()}


def _ns(cost: Any) -> Any:
    return (lambda: cost() * MS) if callable(cost) else cost * MS


def judged(kpi: str, *limits: str, by: Mapping[str, FakeModel], samples: int = 64, **options: Any) -> GateResult:
    gate = assigned(read_gate((kpi, *limits), options))
    plan = ItemPlan(nodeid="load", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    result, _ = session.judge(plan, gate, Sources(by, samples))
    return result


def test_the_p99_is_the_formulas() -> None:
    """Fixed calls of 5 ms at half load: Crommelin's 21.7 ms, and limits on both sides of it are decided."""
    result = judged("response_p99", "<= 40 ms", ">= 15 ms", by=models(student=5), rate="100/s", allow_reversed=True)
    assert result.verdict is Verdict.PASS
    assert result.student_reading is not None
    assert result.student_reading.value == pytest.approx(P99, rel=0.03)
    assert judged("response_p99", "<= 15 ms", by=models(student=5), rate="100/s").verdict is Verdict.FAIL


def test_a_stall_is_in_the_response_and_not_in_the_service_time() -> None:
    """One call in 120 takes 300 ms: the p99 of calls is 5 ms, that of responses far above."""
    costs = itertools.cycle([*[5.0] * 119, 300.0])
    result = judged("response_p99", "<= 50 ms", by=models(student=lambda: next(costs)), rate="100/s")
    facts = result.breakdown[0]
    assert result.verdict is Verdict.FAIL
    assert facts["service_p99_ms"] == pytest.approx(5.0)
    assert result.student_reading is not None
    assert result.student_reading.value > 200


def test_both_models_answer_one_schedule() -> None:
    """A teacher of three times the time fails to be matched, a limit relative to it passes, and both are stated."""
    by = models(student=2, teacher=6)
    result = judged("response_p99", "reduction >= 50%", by=by, rate="100/s")
    assert result.verdict is Verdict.PASS, result.reason
    student, teacher = result.breakdown
    assert student["requests"] == teacher["requests"]
    assert teacher["utilisation"] == pytest.approx(3 * student["utilisation"], rel=0.05)
    assert judged("response_p99", "reduction >= 99%", by=by, rate="100/s").verdict is Verdict.FAIL


def test_a_growing_backlog_ends_early_with_the_capacity() -> None:
    """250 requests a second for a model that serves 200: a verdict after some segments, and the rate it can serve."""
    result = judged("response_p99", "<= 50 ms", by=models(student=5), rate="250/s")
    assert result.verdict is Verdict.FAIL
    assert "the backlog grows" in result.reason
    assert "it can serve about 200/s, and 250/s were offered" in result.reason
    assert result.breakdown[0]["requests"] < 250 * 10
    assert result.breakdown[0]["capacity_per_s"] == pytest.approx(200)
    goodput = judged("goodput", ">= 99%", by=models(student=5), rate="250/s", within="50 ms")
    assert goodput.verdict is Verdict.FAIL
    assert "the backlog grows" in "; ".join(goodput.notes)


def test_a_teacher_that_cannot_serve_the_rate_is_no_reference() -> None:
    """The student's own limits are judged, a relative one does not apply."""
    result = judged("response_p99", "<= 50 ms", "reduction >= 50%", by=models(student=2, teacher=20), rate="100/s")
    assert [limit.verdict for limit in result.limits] == [Verdict.PASS, Verdict.NOT_APPLICABLE]
    assert "it can serve about 50/s" in result.limits[1].reason


def test_failed_requests_count_as_slow() -> None:
    """A model that fails one call in 20, after the first ones, cannot keep a p99."""
    numbers, clock = itertools.count(), FakeClock()

    def outputs(batch: Any) -> Any:
        if next(numbers) % 20 == 19:
            raise ValueError("a bad row")
        return batch

    by = {"student": FakeModel(outputs, cost_ns=MS, clock=clock)}
    result = judged("response_p99", "<= 50 ms", by=by, rate="100/s")
    assert result.verdict is Verdict.FAIL
    assert result.breakdown[0]["errors"] > 50
    assert "requests failed (ValueError: a bad row)" in result.notes[0]
    goodput = judged("goodput", ">= 99%", by=by, rate="100/s", within="50 ms")
    assert goodput.verdict is Verdict.FAIL
    assert goodput.student_reading is not None
    assert goodput.student_reading.value == pytest.approx(95, abs=1)


def test_a_model_that_always_fails_is_an_error() -> None:
    """Before the first request: the message is that of every other measurement."""
    by = {"student": FakeModel(lambda batch: batch / "x", clock=FakeClock())}
    result = judged("response_p99", "<= 50 ms", by=by, rate="100/s")
    assert result.verdict is Verdict.ERROR
    assert "student raised" in result.reason


def test_what_a_budget_cannot_decide_is_said_early() -> None:
    """At 80% load a minute holds too few bursts: a quarter of the budget is enough to see it."""
    rng = np.random.default_rng(1)
    result = judged("response_p99", "<= 180 ms", by=models(student=lambda: rng.exponential(5.0)), rate="160/s")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no upper end after 15 s: one burst makes many responses slow" in result.reason
    assert "--modelbench-budget=" in result.reason


def test_a_late_generator_fails_no_model() -> None:
    """Every wait ends 30 ms too late: the model would keep 20 ms, so the gate is inconclusive and names the cause."""

    class Late(FakeClock):
        busy = False

        def advance(self, duration_ns: float) -> None:
            super().advance(duration_ns + (0 if self.busy or not duration_ns else 30 * MS))

    clock = Late()

    class OnLate(FakeModel):
        def bind(self, inputs: Any) -> Any:
            call = super().bind(inputs)

            def timed() -> Any:
                clock.busy = True
                try:
                    return call()
                finally:
                    clock.busy = False

            return timed

    result = judged("response_p99", "<= 20 ms", by={"student": OnLate(cost_ns=MS, clock=clock)}, rate="20/s")
    assert result.verdict is Verdict.INCONCLUSIVE, result.reason
    assert "the generator was late by 30 ms (p99)" in result.reason
    assert (
        judged("response_p99", "<= 80 ms", by={"student": OnLate(cost_ns=MS, clock=clock)}, rate="20/s").verdict
        is Verdict.PASS
    )


@pytest.mark.parametrize("limits", [("reduction >= 50%",), ("<= 50 ms", "ratio <= 2")])
def test_an_overloaded_student_fails_relative_limits(limits: tuple[str, ...]) -> None:
    """It has no end of its responses, which is worse than any of the teacher's."""
    result = judged("response_p99", *limits, by=models(student=10, teacher=1), rate="200/s")
    assert result.verdict is Verdict.FAIL, result.reason
    assert {limit.verdict for limit in result.limits} == {Verdict.FAIL}


def test_a_budget_with_too_few_requests_is_an_error() -> None:
    """Nothing is measured for minutes beyond the budget."""
    result = judged("response_p99", "<= 50 ms", by=models(student=5), rate="0.01/s")
    assert result.verdict is Verdict.ERROR
    assert "60 s at 0.01/s hold 0 requests, expected at least 8" in result.reason


def test_a_client_that_takes_the_processors_fails_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be slow by that: what would fail is inconclusive and names the client's share."""
    seconds = itertools.count(step=1000)
    monkeypatch.setattr("pytest_modelbench.probes.load.driver.time.process_time", lambda: next(seconds))
    by = models(student=5)
    assert judged("response_p99", "<= 4 ms", by=by, rate="100/s").verdict is Verdict.FAIL
    by["student"].runs_at = "kserve://127.0.0.1:8000/digits"
    result = judged("response_p99", "<= 4 ms", by=by, rate="100/s", workers=1)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "sending the requests took" in result.reason
    assert judged("response_p99", "<= 60 ms", by=by, rate="100/s", workers=1).verdict is Verdict.PASS


def test_batches_are_stated() -> None:
    """Several requests in a call, at a rate that single calls could not serve."""
    result = judged("response_p99", "<= 50 ms", by=models(student=5), rate="300/s", max_batch=8)
    assert result.verdict is Verdict.PASS
    assert 1.2 < result.breakdown[0]["mean_batch"] < 8
    assert "capacity_per_s" not in result.breakdown[0]  # no batch was full


def test_a_batch_needs_as_many_samples() -> None:
    """With fewer the message says what to write."""
    result = judged("response_p99", "<= 50 ms", by=models(student=5), samples=5, rate="100/s", max_batch=8)
    assert result.verdict is Verdict.ERROR
    assert result.reason == "max_batch=8, and the evaluation data have 5 samples. Write max_batch=5"


def test_the_largest_rate_is_decided_at_the_limits_rate() -> None:
    """M/D/1 with 5 ms keeps p99 <= 50 ms up to 154.7/s: 100/s is proven, 190/s is refuted."""
    result = judged("max_qps", ">= 100/s", by=models(student=5), within="p99 <= 50 ms")
    assert result.verdict is Verdict.PASS
    assert result.student_reading is not None
    assert result.student_reading.value == pytest.approx(154.7, rel=0.02)
    assert [row["name"] for row in result.breakdown] == ["50/s", "75/s", "100/s"]
    assert result.breakdown[-1]["verdict"] == "holds"
    over = judged("max_qps", ">= 190/s", by=models(student=5), within="p99 <= 50 ms")
    assert over.verdict is Verdict.FAIL


def test_the_largest_rate_is_searched_for_without_a_limit() -> None:
    """What is shown is the formula's, and rates around it were really tried."""
    result = judged("max_qps", by=models(student=5), within="p99 <= 50 ms")
    assert result.student_reading is not None
    assert result.student_reading.value == pytest.approx(154.7, rel=0.02)
    offered = [row["offered_per_s"] for row in result.breakdown[-2:]]
    assert offered == pytest.approx([0.8 * 154.7, 1.5 * 154.7], rel=0.03)
    estimate = result.student_reading.estimate
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.5 * offered[0] <= estimate.low < 154.7 < estimate.high
    assert estimate.high == pytest.approx(offered[1]) or math.isinf(estimate.high)


@pytest.mark.parametrize(("limit", "verdict"), [("ratio >= 2", Verdict.PASS), ("ratio >= 12", Verdict.FAIL)])
def test_the_largest_rates_of_both_models_are_compared(limit: str, verdict: Verdict) -> None:
    """1 ms against 5 ms: 950/s against 155/s, which is 6.1 times; the student is tried at the teacher's two ends."""
    result = judged("max_qps", limit, by=models(student=1, teacher=5), within="p99 <= 50 ms")
    assert result.verdict is verdict, result.reason
    assert result.teacher_reading is not None
    assert result.teacher_reading.value == pytest.approx(154.7, rel=0.02)
    teacher = result.teacher_reading.estimate
    offered = [row["offered_per_s"] for row in result.breakdown]
    factor = float(limit.removeprefix("ratio >= "))
    assert {
        pytest.approx(factor * end, rel=1e-6) == rate
        for end in (teacher.low or 0, teacher.high or 0)
        for rate in offered
    } == {True, False}


def test_every_lower_rate_must_hold_too() -> None:
    """A model that is slow after idling keeps the bound at 100/s and breaks it at half of that: 100/s is not proven."""
    clock = FakeClock()

    class Cold(FakeModel):
        ended = 0

        def bind(self, inputs: Any) -> Any:
            def call() -> Any:
                clock.advance(60 * MS if clock() - self.ended > 14 * MS else 5 * MS)
                self.ended = clock()
                return inputs

            return call

    by = {"student": Cold(clock=clock)}
    result = judged("max_qps", ">= 100/s", by=by, arrivals="constant", within="p99 <= 50 ms")
    verdicts = {row["name"]: row["verdict"] for row in result.breakdown}
    assert verdicts["50/s"] == "does not hold"
    assert verdicts["100/s"] != "does not hold"
    assert result.verdict is Verdict.FAIL


def test_gates_of_one_load_share_it() -> None:
    """Three gates at one rate take one measurement; another rate takes another."""
    by = models(student=5)
    gates = tuple(
        assigned(read_gate((kpi, limit), {"rate": rate, **more}))
        for kpi, limit, rate, more in (
            ("response_p99", "<= 50 ms", "100/s", {}),
            ("response_mean", "<= 50 ms", "100/s", {}),
            ("goodput", ">= 90%", "100/s", {"within": "50 ms"}),
            ("response_p50", "<= 50 ms", "90/s", {}),
        )
    )
    plan = ItemPlan(nodeid="load", student="student", gates=gates, settings=Settings(enabled=True))
    session, sources, calls = BenchSession(), Sources(by), []
    session.plan([plan])
    for gate in gates:
        result, _ = session.judge(plan, gate, sources)
        assert result.verdict is Verdict.PASS, result.reason
        calls.append(by["student"].calls)
    assert calls[0] == calls[1] == calls[2] < calls[3]
