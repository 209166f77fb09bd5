"""KPIs of times of tokens against a scripted truth, judged outside of pytest as a notebook would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from streaming import StreamingModel, pair, text_data

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Evidence, GateResult, Verdict
from pytest_modelbench.settings import Settings


class Pair:
    """Two models that stream, and their prompts."""

    def __init__(self, models: Mapping[str, Any], data: Any) -> None:
        self._models, self._data = models, data

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return role in self._models

    def data(self) -> Any:
        return self._data

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def gate_of(kpi: str, *limits: str, **options: Any) -> Gate:
    return read_gate((kpi, *limits), options)


def judged(
    models: Mapping[str, Any], *gates: Gate, data: Any = None, budget_s: float = 60.0
) -> list[tuple[GateResult, Evidence | None]]:
    """Judge some gates of one item, which share what they can."""
    assignments = tuple(assigned(gate, shown="teacher" in models) for gate in gates)
    settings = Settings(enabled=True, budget_s=budget_s)
    plan = ItemPlan(nodeid="notebook", student="student", gates=assignments, settings=settings)
    session, sources = BenchSession(), Pair(models, data or text_data())
    session.plan([plan])
    results = [session.judge(plan, gate, sources) for gate in assignments]
    return [(result, judgement.evidence if judgement else None) for result, judgement in results]


def evidence(models: Mapping[str, Any], kpi: str, *limits: str, **options: Any) -> Evidence:
    """Return the evidence of one gate; its error is the test's."""
    ((result, found),) = judged(models, gate_of(kpi, *limits, **options))
    assert found is not None, result.reason
    return found


WIDE = {
    f"{what}_per_second": f">= 1 {unit}/s"
    for what, unit in (("tokens", "tokens"), ("prefill_tokens", "tokens"), ("characters", "characters"))
}
"""Limits of rates that every model keeps."""
CHUNKED = {"chunk": 4, "role_ms": 0.5}


@pytest.mark.parametrize(
    ("script", "first", "answer", "each"),
    [
        pytest.param({}, 50, 50, 10, id="plain, role chunk at once"),
        pytest.param({"role_ms": None}, 50, 50, 10, id="no role chunk"),
        pytest.param(CHUNKED, 80, 80, 10, id="4 tokens a chunk"),
        pytest.param({"reasoning": 8}, 50, 130, 10, id="reasoning first"),
        pytest.param({"prefill_ms": 51.25, "token_ms": 10.4}, 51.25, 51.25, 10.4, id="other times"),
    ],
)
def test_truth(script: Mapping[str, Any], first: float, answer: float, each: float) -> None:
    """Time to the first text, to that of the answer, per output token: those of the script, not of role chunks."""
    models = pair(**script)
    results = judged(
        models,
        gate_of("time_to_first_token_mean"),
        gate_of("time_to_first_token_p50", of="answer"),
        gate_of("time_per_output_token_p50"),
        gate_of("generation_latency_mean"),
        gate_of("tokens_per_second"),
        gate_of("prefill_tokens_per_second"),
        budget_s=20.0,
    )
    values = [found.student.value for _, found in results if found]
    total = script.get("prefill_ms", 50.0) + 23 * script.get("token_ms", 10.0)
    assert values == pytest.approx([first, answer, each, total, 24e3 / total, 7e3 / first], rel=1e-3)
    assert len(models["student"].asked) == len(models["teacher"].asked)
    assert {found.student.n for _, found in results if found} == {results[0][1].student.n if results[0][1] else 0}


def test_one_measurement_serves_all_gates_of_a_set_up() -> None:
    """Another length of answers is another measurement, another KPI, confidence or `of=` is not."""
    models = pair()
    gates = [
        gate_of("time_to_first_token_p50", "<= 1 s"),
        gate_of("time_to_first_token_p90", "<= 1 s", of="answer", confidence=0.9),
        gate_of("characters_per_second", ">= 1 characters/s"),
    ]
    results = judged(models, *gates, budget_s=30.0)
    assert [result.verdict for result, _ in results] == [Verdict.PASS] * 3
    once = len(models["student"].asked)
    models = pair()
    judged(models, *gates, gate_of("generation_latency_p50", "<= 1 s", tokens=4), budget_s=30.0)
    forced = [settings.exactly for _, settings in models["student"].asked]
    assert forced.index(True) == once
    assert all(forced[once:])


@pytest.mark.parametrize(
    ("kpi", "script", "verdict", "reason"),
    [
        ("time_to_first_token_p50", {"whole": True}, "error", "student returns each text as a whole"),
        ("inter_token_latency_p99", {"whole": True}, "error", "returns each text as a whole"),
        ("prefill_tokens_per_second", {"whole": True}, "error", "returns each text as a whole"),
        ("time_per_output_token_p50", {"chunk": 24}, "error", "with id {n}: all 24 tokens arrived at once"),
        ("time_per_output_token_p50", {"usage": False}, "not_applicable", "nothing counts tokens: neither"),
        ("time_per_output_token_p50", {"length": 8}, "error", "12 of 12 answers are left out, which have fewer than"),
        ("tokens_per_second", {"usage": False}, "not_applicable", "Judge characters_per_second"),
        ("prefill_tokens_per_second", {"usage": False}, "not_applicable", "Judge time_to_first_token"),
        ("time_to_first_token_mean", {"length": 0}, "error", "the answer has no text"),
        ("time_to_first_token_mean", {"reasoning": 99}, "error", "the answer has reasoning only"),
        ("characters_per_second", {"length": 0}, "error", "student answered nothing to all prompts"),
        ("generation_latency_mean", {"prefill_ms": 0, "length": 1}, "error", "the clock of student did not move"),
        ("inter_token_latency_p99", {"chunk": 24}, "error", "12 of 12 answers came in one event, which has no gap"),
        ("prefill_tokens_per_second", {"length": 0}, "error", "the answer has no text"),
    ],
)
def test_what_is_not_defined_is_refused(kpi: str, script: Mapping[str, Any], verdict: str, reason: str) -> None:
    """With its reason; nothing is a number that looks good."""
    options = {"of": "answer"} if "reasoning" in script else {}
    ((result, _),) = judged(pair(**script), gate_of(kpi, WIDE.get(kpi, "<= 1 h"), **options), budget_s=8.0)
    assert result.verdict.value == verdict, result.reason
    assert reason.partition("{n}")[2] in result.reason


def test_short_answers_are_left_out_and_counted() -> None:
    """Of natural lengths that differ, those under min_tokens= have no time per token."""
    models = pair(length=lambda prompt: 24 if len(prompt) > 60 else 8)
    found = evidence(models, "time_per_output_token_mean")
    assert found.student.value == pytest.approx(10.0)
    assert "answers are left out, which have fewer than min_tokens=16" in found.student.method
    of_all = evidence(models, "time_per_output_token_mean", min_tokens=8).student
    assert "left out" not in of_all.method
    assert 0 < (found.student.n or 0) < (of_all.n or 0)
    with pytest.raises(UsageMistake, match="tokens=8, and answers of fewer than min_tokens=16 tokens are left out"):
        gate_of("time_per_output_token_mean", tokens=8)


def test_a_student_that_stops_early_is_not_faster() -> None:
    """Its whole answer comes sooner, which a note explains; at a forced length it takes the same time."""
    found = evidence(pair(length=8), "generation_latency_p50", "ratio <= 1")
    assert found.comparison is not None
    assert found.comparison.ratio is not None
    assert found.comparison.ratio.value == pytest.approx(120 / 280)
    assert any("0.33 times the characters of the teacher's" in note for note in found.notes)
    forced = evidence(pair(length=8), "generation_latency_p50", "ratio <= 1", tokens=24)
    assert forced.comparison is not None
    assert forced.comparison.ratio is not None
    assert forced.comparison.ratio.value == pytest.approx(1.0)
    assert not forced.notes
    assert "24 tokens each" in forced.student.method


@pytest.mark.parametrize("kpi", ["time_per_output_token_p50", "tokens_per_second", "prefill_tokens_per_second"])
def test_other_tokenisers_take_no_relative_limit(kpi: str) -> None:
    """Each model's own value is judged; relative to the teacher, other KPIs are."""
    limits = (WIDE.get(kpi, "<= 1 h"), "ratio >= 0.5" if kpi in WIDE else "ratio <= 2")
    ((result, found),) = judged(pair({"vocabulary": "other"}), gate_of(kpi, *limits), budget_s=20.0)
    assert found is not None
    assert [limit.verdict.value for limit in result.limits] == ["pass", "not_applicable"]
    assert "different tokenisers" in result.limits[1].reason
    unknown = evidence(pair({"vocabulary": ""}), kpi, limits[1])
    assert any("is assumed" in note for note in unknown.notes)
    same = evidence(pair({"vocabulary": "other"}), "characters_per_second", "ratio >= 0.5")
    assert same.comparison is not None


def test_events_of_other_sizes_are_not_compared() -> None:
    """A gap of four tokens is not one of one; the method states how many."""
    ((result, found),) = judged(
        pair(chunk=4), gate_of("inter_token_latency_p99", "<= 1 s", "ratio <= 9"), budget_s=60.0
    )
    assert found is not None
    assert found.student.value == pytest.approx(40.0)
    assert "per event of about 4.0 tokens" in found.student.method
    assert "gaps of" in found.student.method
    assert result.limits[0].verdict is Verdict.PASS  # each answer has several gaps, which 40 prompts are enough for
    assert result.limits[1].verdict is Verdict.NOT_APPLICABLE
    assert "4.0 and 1.0 tokens" in result.limits[1].reason


def test_answers_without_a_gap_are_counted() -> None:
    """A model that buffers short answers has gaps of the others only."""
    found = evidence(pair(chunk=4, length=lambda prompt: 24 if len(prompt) > 60 else 4), "inter_token_latency_p99")
    assert found.student.value == pytest.approx(40.0)
    assert re.search(r"; [1-9][0-9]* of [0-9]+ answers came in one event, which has no gap", found.student.method)


def test_rows_of_a_batch_count() -> None:
    """Rows that end early add their own tokens only, over the time of the batch."""
    models = pair(length=lambda prompt: 2 + int(prompt.split()[1]) % 20)
    found = evidence(models, "tokens_per_second", batch_size=40)
    assert found.student.value == pytest.approx(sum(2 + n % 20 for n in range(40)) / (0.05 + 20 * 0.01))
    assert found.student.n == 1


def test_quarters_by_the_length_of_prompts() -> None:
    """A student whose prefill gains more on long prompts: the ratio at both ends is in the breakdown."""
    models = pair(
        {"prefill_ms": lambda prompt: 2.0 * len(prompt)}, prefill_ms=lambda prompt: 20.0 + 0.2 * len(prompt)
    )
    ((_, found),) = judged(models, gate_of("time_to_first_token_p50", "ratio <= 1"), budget_s=300.0)
    assert found is not None
    short, long = found.breakdown
    assert (short["n"], long["n"]) == (10, 10)
    assert short["ratio"] > 0.4
    assert long["ratio"] < 0.25
    assert short["ratio"] == pytest.approx(short["student"] / short["teacher"])


def test_a_percentile_needs_prompts() -> None:
    """Asking the same prompts again adds none: 40 of them bound no p99, and the reason says so."""
    ((result, found),) = judged(pair(), gate_of("time_to_first_token_p99", "<= 1 s"))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert found is not None
    assert "needs 334 prompts, and the data have 40" in result.reason
    many = text_data([f"prompt {n}" for n in range(400)])
    ((result, found),) = judged(pair(), gate_of("time_to_first_token_p99", "<= 1 s"), data=many, budget_s=300.0)
    assert result.verdict is Verdict.PASS, result.reason
    ((slow, _),) = judged(pair(), gate_of("time_to_first_token_p99", "<= 1 ms"))
    assert slow.verdict is Verdict.FAIL


def noisy(rng: np.random.Generator, factor: float) -> Any:
    return lambda prompt: factor * len(prompt) * float(np.exp(rng.normal(0, 0.05)))


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.PASS), (1.3, Verdict.FAIL)])
def test_verdicts_under_noise(factor: float, verdict: Verdict) -> None:
    """Prompts of lengths from 10 to 130 and noise of 5%: an equal student passes, a slower one fails."""
    rng = np.random.default_rng(0)
    models = pair({"prefill_ms": noisy(rng, 1.0)}, prefill_ms=noisy(rng, factor))
    gates = [gate_of(f"time_to_first_token_{name}", "ratio <= 1.15") for name in ("mean", "p50")]
    for result, _ in judged(models, *gates, budget_s=40.0):
        assert result.verdict is verdict, result.reason


def test_a_teacher_that_fails_is_the_error_of_who_needs_it() -> None:
    """A gate on the student's own value is judged all the same."""

    def fails(prompt: str) -> float:
        raise RuntimeError("out of memory")

    models = pair({"prefill_ms": fails})
    own = assigned(gate_of("time_to_first_token_p50", "<= 1 s"))
    compared = assigned(gate_of("time_to_first_token_mean", "ratio <= 2"))
    plan = ItemPlan(nodeid="n", student="student", gates=(own, compared), settings=Settings(budget_s=20.0))
    session, sources = BenchSession(), Pair(models, text_data())
    session.plan([plan])
    assert session.judge(plan, own, sources)[0].verdict is Verdict.PASS
    result, _ = session.judge(plan, compared, sources)
    assert result.verdict is Verdict.ERROR
    assert "teacher raised RuntimeError" in result.reason


def test_a_model_that_streams_nothing_of_text_is_refused() -> None:
    """Data without prompts, and models that answer none."""
    from pytest_modelbench import EvalData, FakeModel

    ((result, _),) = judged(
        {"student": FakeModel()}, gate_of("generation_latency_p50"), data=EvalData(np.zeros((4, 1)))
    )
    assert result.verdict is Verdict.ERROR
    assert "EvalData(task='text', prompts=[...]" in result.reason
    ((result, _),) = judged({"student": FakeModel()}, gate_of("generation_latency_p50"))
    assert "answers no prompts" in result.reason
    assert isinstance(pair()["student"], StreamingModel)
