"""Likelihoods and distributions of a teacher as a contract: the verdicts that it gives, without the teacher."""

from __future__ import annotations

from typing import Any

import pytest
from suites import Finished, Judge

CONFTEST = """
import pytest
from likely_models import FIRST, TableModel, random_table, random_texts
from pytest_modelbench import EvalData

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(task="text", prompts=random_texts(30, tokens=5), texts=TEXTS, max_new_tokens=4,
                    choices=[["b", "c", "f"]] * 30, answers=[0, "f", 1] * 10)

@pytest.fixture(scope="session")
def student_model():
    return TableModel(0.8 * random_table(2) + 0.2 * random_table(1), context=CONTEXT, first=FIRST)
"""
TEACHER = """
@pytest.fixture(scope="session")
def teacher_model():
    return TableModel(random_table(2), context=20, first=FIRST)
"""
GONE = """
@pytest.fixture(scope="session")
def teacher_model():
    raise RuntimeError("the teacher is not here")
"""
SUITE = """
import pytest

@pytest.mark.kpi("perplexity", "ratio <= 1.3", "<= 20")
@pytest.mark.kpi("bits_per_byte", "increase <= 20%")
@pytest.mark.kpi("choice_accuracy", "drop <= 40 pp")
@pytest.mark.kpi("choice_flips", "<= 40%")
@pytest.mark.kpi("token_agreement", ">= 50%", top_k=8)
@pytest.mark.kpi("token_kl", "<= 0.4 nat", top_k=8)
@pytest.mark.kpi("token_kl_p99", "<= 2 nat", top_k=8)
@pytest.mark.kpi("greedy_agreement", ">= 10%")
@pytest.mark.kpi("first_divergence", ">= 1")
@pytest.mark.kpi("generation_similarity", ">= 10")
def test_fidelity(): ...
"""
CONTRACT = "--modelbench-contract=teacher.mbc"


def run(
    judge: Judge, *arguments: str, teacher: str = GONE, texts: str = "random_texts(30)", context: int = 20
) -> Finished:
    return judge(SUITE, *arguments, fakes=filled(texts, context), more=teacher)


def filled(texts: str = "random_texts(30)", context: int = 20) -> str:
    """Return the conftest of a student with texts."""
    return CONFTEST.replace("TEXTS", texts).replace("CONTEXT", str(context))


def limits(finished: Finished) -> dict[str, Any]:
    """Return what each limit judged, and its verdict."""
    return {
        f"{gate['kpi']} {limit['text']}": (limit["verdict"], limit["value"], limit["ci_low"], limit["ci_high"])
        for gate in finished.report["gates"]
        for limit in gate["limits"]
    }


@pytest.mark.parametrize("texts", ["random_texts(30)", "None"])
def test_the_same_verdicts_without_the_teacher(judge: Judge, texts: str) -> None:
    """Of windows over texts, and of the teacher's own answers: with as many likeliest tokens as there are, all equal."""
    beside = run(judge, teacher=TEACHER, texts=texts)
    recorded = run(judge, "--modelbench-record-contract=teacher.mbc", teacher=TEACHER, texts=texts)
    assert "top_tokens of " in recorded.text, recorded.text
    alone = run(judge, CONTRACT, texts=texts)
    assert limits(alone).keys() == limits(beside).keys()
    for name, (verdict, *values) in limits(alone).items():
        assert verdict == limits(beside)[name][0], alone.text
        assert [value is None for value in values] == [value is None for value in limits(beside)[name][1:]], name
        assert [value or 0.0 for value in values] == pytest.approx(
            [value or 0.0 for value in limits(beside)[name][1:]], rel=1e-4, abs=1e-6
        ), name
    assert len(limits(alone)) == (11 if texts != "None" else 8)
    reading = alone.gate("token_kl")["readings"]["student"]["method"]
    assert "; the teacher's 8 likeliest tokens and the others as one, 0.00% of its probability" in reading


def test_a_student_with_a_smaller_context(judge: Judge) -> None:
    """The windows of a contract are the teacher's: the message says which ones would fit."""
    run(judge, "--modelbench-record-contract=teacher.mbc", teacher=TEACHER)
    alone = run(judge, CONTRACT, context=9)
    assert alone.gate("token_kl")["verdict"] == "error"
    assert (
        "the teacher's contract has windows of 20 tokens, and the context of student is 9. Record it with window=9"
        in alone.gate("token_kl")["reason"]
    )


def test_a_lower_bound_passes_no_upper_limit(judge: Judge) -> None:
    """Of few of the teacher's likeliest tokens, a limit on the divergence may hold though it does not with all."""
    recorded = SUITE.replace("top_k=8", "top_k=1").replace("<= 0.4 nat", "<= 9 nat")
    judge(recorded, "--modelbench-record-contract=teacher.mbc", fakes=filled(), more=TEACHER)
    alone = judge(recorded, CONTRACT, fakes=filled(), more=GONE)
    for kpi, noted in (("token_kl", True), ("token_kl_p99", True), ("token_agreement", False)):
        assert any("a lower bound" in note for note in alone.gate(kpi)["notes"]) is noted
    assert alone.gate("token_kl")["verdict"] == "inconclusive"
    assert "a lower bound, which may hide" in alone.gate("token_kl")["limits"][0]["reason"]
