"""Times of tokens in real runs: behind an endpoint beside a function, in a file, and in the plan."""

from __future__ import annotations

import pytest
from suites import Judge, read_report
from text_servers import echo, serving

SUITE = """
import pytest
from pytest_modelbench import EvalData

@pytest.fixture(scope="session")
def teacher_model():
    def answer(prompt):
        yield "first"
        yield from prompt.split()
    return answer

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(task="text", prompts=[f"say {'x' * n} please" for n in range(30)], max_new_tokens=16)

@pytest.mark.kpi("time_to_first_token_p50", "<= 20 s", "ratio <= 100000")
@pytest.mark.kpi("generation_latency_mean", "<= 20 s")
@pytest.mark.kpi("characters_per_second", ">= 0.001 characters/s")
@pytest.mark.kpi("time_per_output_token_p50", "<= 20 s", "ratio <= 100000")
@pytest.mark.kpi("prefill_tokens_per_second", ">= 0.001 tokens/s")
@pytest.mark.kpi("energy_per_1k_tokens", "<= 1 Wh")
@pytest.mark.kpi("cache_bytes_per_token", "<= 1 MB")
@pytest.mark.kpi("response_p50", "<= 20 s", rate="50/s")
def test_served(): ...
"""


def test_an_endpoint_is_timed_beside_a_function(pytester: pytest.Pytester) -> None:
    """Its cache is cold, each prompt is asked of both; what is not known is refused; load works."""
    pytester.makepyfile(test_sla=SUITE)
    with serving(echo) as server:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=openai://{server.place}/v1#tiny", "--modelbench-json=report.json",
            "--modelbench-budget=5", "-p", "no:cacheprovider",
        )  # fmt: skip
        asked = [body["messages"][-1]["content"] for body in server.asked]
    gates = {gate["kpi"]: gate for gate in read_report(pytester)["gates"]}
    assert {name: gate["verdict"] for name, gate in gates.items()} == {
        "time_to_first_token_p50": "pass",
        "generation_latency_mean": "pass",
        "characters_per_second": "pass",
        "time_per_output_token_p50": "not_applicable",
        "prefill_tokens_per_second": "not_applicable",
        "energy_per_1k_tokens": "not_applicable",
        "cache_bytes_per_token": "not_applicable",
        "response_p50": "pass",
    }, str(finished.stdout)
    first = gates["time_to_first_token_p50"]
    assert "cold cache of prefixes" in first["readings"]["student"]["method"]
    assert first["readings"]["student"]["n"] == first["readings"]["teacher"]["n"]
    assert first["limits"][1]["value"] > 0
    assert "nothing counts the tokens of prompts for student" in gates["prefill_tokens_per_second"]["reason"]
    assert "not defined for teacher: nothing counts tokens" in gates["time_per_output_token_p50"]["reason"]
    assert sum("please" in prompt for prompt in asked) > 20


STREAMING = """
import pytest
from streaming import StreamingModel, pair, text_data

MODELS = pair({"prefill_ms": 100.0})

@pytest.fixture(scope="session")
def teacher_model():
    return MODELS["teacher"]

@pytest.fixture(scope="session")
def student_model():
    return MODELS["student"]

@pytest.fixture(scope="session")
def eval_data():
    return text_data()
"""
FILE = """
[kpi]
time_per_output_token_p90 = "<= 12 ms"

[kpi.time_to_first_token_mean]
limits = ["<= 60 ms", "reduction >= 45%"]
of = "answer"
tokens = 8
cache = "warm"

[kpi.generation_latency_p50]
limits = "regression <= 5%"
tokens = 8
cache = "warm"
"""


def test_a_file_says_the_same(judge: Judge, pytester: pytest.Pytester) -> None:
    """In modelbench.toml the options are beside the limits; the previous student is compared, and the plan names all."""
    (pytester.path / "modelbench.toml").write_text(FILE)
    previous = "\n@pytest.fixture(scope='session')\ndef previous_model():\n    return MODELS['teacher']\n"
    planned = judge("", "--modelbench-plan", fakes=STREAMING, more=previous)
    assert "time_to_first_token_mean" in planned.text
    assert "prompts in turn, for up to the budget" in planned.text
    finished = judge("", fakes=STREAMING, more=previous)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    first = finished.gate("time_to_first_token_mean")
    assert first["limits"][1]["value"] == pytest.approx(0.5)
    assert "8 tokens each, batch size 1, warm cache of prefixes" in first["readings"]["student"]["method"]
    assert [row["name"] for row in first["breakdown"]] == ["shortest quarter of prompts", "longest quarter"]
    assert finished.gate("generation_latency_p50")["readings"]["baseline"]["value"] == pytest.approx(170.0)
