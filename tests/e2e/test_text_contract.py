"""The answers of a teacher that generates text as a contract: recorded once, then students are judged by it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from contracts import rewrite
from suites import Finished, Judge

from pytest_modelbench.commands.cli import main

CONFTEST = """
import pytest
from pytest_modelbench import EvalData

PROMPTS = [f"{n} + {n} =" for n in range(40)]
CALLS = []

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(task="text", prompts=PROMPTS, references=[str(2 * n) for n in range(40)], max_new_tokens=MOST)

@pytest.fixture(scope="session")
def student_model():
    return lambda prompt: str(2 * int(prompt.split()[0]) + (prompt in PROMPTS[:3]))
"""
TEACHER = """
@pytest.fixture(scope="session")
def teacher_model():
    def answer(prompt):
        with open("calls.txt", "a") as file:
            file.write(prompt + chr(10))
        return f" {2 * int(prompt.split()[0])}"
    return answer
"""
GONE = """
@pytest.fixture(scope="session")
def teacher_model():
    raise RuntimeError("the teacher is not here")
"""
SUITE = """
import pytest

@pytest.mark.kpi("exact_match", "drop <= 20 pp", ">= 50%")
def test_exact_match(): ...

@pytest.mark.kpi("exact_match", "drop <= 20 pp", normalise="none", allow_weak_teacher=True)
def test_verbatim(): ...
"""


def run(judge: Judge, *arguments: str, teacher: str = GONE, most: int = 8) -> Finished:
    return judge(SUITE, *arguments, fakes=CONFTEST.replace("MOST", str(most)), more=teacher)


def values(finished: Finished) -> list[Any]:
    return [(gate["limits"], _without_time(gate["readings"]["teacher"])) for gate in finished.report["gates"]]


def _without_time(reading: dict[str, Any]) -> dict[str, Any]:
    return {**reading, "method": reading["method"].partition(" resamples in ")[0]}


def test_the_same_verdicts_without_the_teacher(judge: Judge, pytester: pytest.Pytester) -> None:
    """Each prompt is asked once for both gates; limits have the values that they have beside the teacher."""
    beside = run(judge, teacher=TEACHER)
    assert len((pytester.path / "calls.txt").read_text().splitlines()) == 40
    recorded = run(judge, "--modelbench-record-contract=teacher.mbc", teacher=TEACHER)
    assert recorded.result.ret == 0, recorded.text
    recorded.result.stdout.re_match_lines([r"contract: teacher.mbc \(2 readings, 0 samples, generations of .* kB\)"])
    alone = run(judge, "--modelbench-contract=teacher.mbc")
    assert values(alone) == values(beside)
    assert [gate["verdict"] for gate in alone.report["gates"]] == ["pass", "pass"]


def test_what_a_contract_shows_and_an_altered_part(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """`contract show` names what it holds of the teacher; an answer that was changed later is refused."""
    run(judge, "--modelbench-record-contract=teacher.mbc", teacher=TEACHER)
    capsys.readouterr()
    assert main(["contract", "show", "teacher.mbc"]) == 0
    assert re.search(r"^generations: [\d,]+ bytes$", capsys.readouterr().out, re.MULTILINE)
    rewrite(lambda told: told["kinds"][0]["part"].update(sha256="0" * 64))
    altered = run(judge, "--modelbench-contract=teacher.mbc")
    assert "kind-0.safetensors was altered. Record it again" in altered.text
    rewrite(lambda told: told["kinds"][0].update(part=1))
    assert "its fields differ" in run(judge, "--modelbench-contract=teacher.mbc").text


def test_other_prompts_and_what_was_not_recorded(judge: Judge) -> None:
    """One error says what differs: the settings of the answers, or that a contract has none."""
    run(judge, "--modelbench-record-contract=teacher.mbc", teacher=TEACHER)
    longer = run(judge, "--modelbench-contract=teacher.mbc", most=9)
    assert {gate["verdict"] for gate in longer.report["gates"]} == {"error"}
    assert "generations of the teacher for other data: prompts, references" in longer.text
    assert "Record it again with --modelbench-record-contract=PATH" in longer.text
    rewrite(lambda told: told.pop("kinds"))
    older = run(judge, "--modelbench-contract=teacher.mbc")
    assert "teacher.mbc has no generations of the teacher. Record it again" in older.text
