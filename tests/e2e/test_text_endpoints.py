"""A language model behind an endpoint, judged by the exact text of its answers in a real run."""

from __future__ import annotations

from typing import Any

import pytest
from suites import read_report
from text_servers import plain, serving, streams

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


DATA = """
from pytest_modelbench import EvalData

def questions():
    prompts = [f"{n} + {n} =" for n in range(40)]
    return EvalData(
        task="text", prompts=prompts, references=[str(2 * n) for n in range(40)], max_new_tokens=7, stop=["\\n"],
        system="Answer with a number.",
    )

def answer(prompt):
    yield from (" ", str(2 * int(prompt.split()[0])), "\\nNext")
"""


def summed(asked: dict[str, Any]) -> list[bytes]:
    """Return the sum of a question in two pieces, and go on after the text that should end it."""
    return streams(" ", str(2 * int(asked["messages"][-1]["content"].split()[0])), "\nNext")


def overloaded(asked: dict[str, Any]) -> list[bytes]:
    """Return the sum of the first questions, and then an error."""
    return plain(b"slow down", "429 Too Many Requests") if "30 +" in str(asked["messages"]) else summed(asked)


def test_two_endpoints_of_a_file(pytester: pytest.Pytester) -> None:
    """Prompts and settings of the data reach both; one server that fails costs its own gates only."""
    pytester.makepyfile(held_out=DATA)
    with serving(summed) as teacher, serving(summed) as good, serving(overloaded) as bad:
        pytester.path.joinpath("modelbench.toml").write_text(
            f"""
            [models]
            teacher = "openai://{teacher.place}/v1#large"
            [models.students]
            good = "openai://{good.place}/v1#small"
            bad = "openai://{bad.place}/v1#small"
            [data]
            eval = "held_out.py:questions"
            [kpi]
            exact_match = [">= 90%", "drop <= 10 pp"]
            parameters = "<= 1M"
            """,
            encoding="utf-8",
        )
        finished = pytester.runpytest_inprocess(
            "--modelbench", "modelbench.toml", "--modelbench-json=report.json", "-p", "no:cacheprovider"
        )
    report = read_report(pytester)
    gates = {(gate["student"], gate["kpi"]): gate for gate in report["gates"]}
    verdicts = {place: gate["verdict"] for place, gate in gates.items()}
    assert verdicts == {
        ("good", "exact_match"): "pass",
        ("good", "parameters"): "not_applicable",
        ("bad", "exact_match"): "error",
        ("bad", "parameters"): "not_applicable",
    }, str(finished.stdout)
    fault = str(gates["bad", "exact_match"])
    assert f"bad at openai://{bad.place}/v1#small: status 429 Too Many Requests: slow down" in fault
    assert "raised ModelError" not in fault
    for server, count in ((teacher, 40), (good, 40), (bad, 31)):
        assert len(server.asked) == count
    asked = teacher.asked[0]
    assert (asked["max_tokens"], asked["stop"]) == (7, ["\n"])
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert report["models"]["students"]["good"]["request"]["max_tokens"] == 7
    assert report["models"]["students"]["good"]["request"]["stop"] == ["\n"]


def test_an_endpoint_of_the_command_line_beside_a_function(pytester: pytest.Pytester) -> None:
    """A student's answers over HTTP are those of the teacher's function; a note says how two servers were asked."""
    pytester.makepyfile(held_out=DATA)
    pytester.makeconftest("""
        import os, pytest
        from held_out import answer, questions
        from pytest_modelbench import OpenAIEndpoint

        @pytest.fixture(scope="session")
        def eval_data():
            return questions()

        @pytest.fixture(scope="session")
        def teacher_model():
            place = os.environ.get("TEACHER")
            return answer if not place else OpenAIEndpoint(url=place, request={"temperature": 0.7})
    """)
    pytester.makepyfile(
        test_sla="""
        import pytest

        @pytest.mark.kpi("exact_match", ">= 90%", "drop <= 10 pp")
        def test_answers(): ...
    """
    )
    found = []
    for with_server in (False, True):
        with serving(summed) as server, pytest.MonkeyPatch.context() as patch:
            url = f"openai://{server.place}/v1#small"
            patch.setenv("TEACHER", url if with_server else "")
            finished = pytester.runpytest_inprocess(
                "--modelbench",
                f"--modelbench-student={url}",
                "--modelbench-json=report.json",
                "-p",
                "no:cacheprovider",
            )
        finished.assert_outcomes(passed=1)
        found.append(read_report(pytester)["gates"][0])
    assert [gate["readings"]["teacher"]["value"] for gate in found] == [100, 100]
    assert found[0]["notes"] == []
    assert found[1]["notes"] == ["student and teacher got different requests: temperature is 0 and 0.7"]
