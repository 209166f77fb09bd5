"""A language model behind an endpoint, judged by the exact text of its answers in a real run."""

from __future__ import annotations

from typing import Any

import pytest
from suites import read_report
from text_servers import serving, streams

SUITE = """
import pytest
from pytest_modelbench import EvalData, FakeModel

PROMPTS = [f"review {n}" for n in range(60)]
LABELS = ["positive" if n % 2 else "negative" for n in range(60)]
ANSWERS = dict(zip(PROMPTS, LABELS))

def text_of(prompt):
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]

@pytest.fixture(scope="session")
def teacher_model():
    return FakeModel(outputs=lambda batch: [ANSWERS[text_of(prompt)] for prompt in batch])

@pytest.fixture(scope="session")
def eval_data():
    messages = [[{"role": "system", "content": "one word"}, {"role": "user", "content": p}] for p in PROMPTS[::2]]
    return EvalData(PROMPTS[1::2] + messages, LABELS[1::2] + LABELS[::2], batch_size=20)

@pytest.mark.kpi("top1_accuracy", ">= 80%")
@pytest.mark.kpi("agreement", ">= 99.9%")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("parameters", "<= 1M")
@pytest.mark.kpi("response_p50", "<= 20 s", rate="50/s", workers=2)
def test_served(): ...
"""


def label(asked: dict[str, Any]) -> list[bytes]:
    """Return the label of a review, with white space as models write it; one is wrong."""
    number = int(asked["messages"][-1]["content"].split()[1])
    return streams(" ", "posi" if number % 2 and number != 7 else "nega", "tive\n")


def test_answers_are_judged_as_labels(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings and messages; each verdict is that of the texts, and the report has no key."""
    monkeypatch.setenv("SERVER_KEY", "sk-secret")
    pytester.makepyfile(test_sla=SUITE)
    with serving(label) as server:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=openai://{server.place}/v1#tiny?max_tokens=3&key_env=SERVER_KEY",
            "--modelbench-json=report.json", "--modelbench-budget=1", "-p", "no:cacheprovider",
        )  # fmt: skip
    report = read_report(pytester)
    gates = {gate["kpi"]: gate for gate in report["gates"]}
    assert {name: gate["verdict"] for name, gate in gates.items()} == {
        "top1_accuracy": "pass",
        "agreement": "fail",
        "nonfinite_outputs": "pass",
        "parameters": "not_applicable",
        "response_p50": "pass",
    }, str(finished.stdout)
    assert gates["top1_accuracy"]["readings"]["student"]["value"] == pytest.approx(100 * 59 / 60)
    student = report["models"]["students"]["student"]
    assert student["calls"]["finish_reasons"]["stop"] >= 60
    assert student["request"]["max_tokens"] == 3
    text = str(finished.stdout) + (pytester.path / "report.json").read_text()
    assert "sk-secret" not in text
    assert "Bearer sk-secret" in server.heads[0]
    assert server.connections >= 2
