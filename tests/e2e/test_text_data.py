"""Prompts in real runs: from a file of JSON lines, with KPIs of labels, of cost and of users beside those of text."""

from __future__ import annotations

import json

import pytest
from suites import Judge

MODELS = """
from pathlib import Path

def wrong(prompt):
    return prompt.startswith("3")

def teacher():
    return lambda prompt: str(eval(prompt.rstrip("= ")))

def student():
    def answer(prompt):
        with Path(__file__).with_name("calls.txt").open("a") as calls:
            print(prompt, file=calls)
        return "no idea" if wrong(prompt) else " " + str(eval(prompt.rstrip("= ")))
    return answer
"""
PROMPTS = [
    {
        "prompt": f"{number} + 1 =",
        "reference": str(number + 1),
        "id": f"q{number}",
        "half": "low" if number < 20 else "high",
    }
    for number in range(40)
]
TOML = """
[models]
student = "models.py:student"
teacher = "models.py:teacher"
[data]
eval = "prompts.jsonl"
max_new_tokens = 8
[kpi]
exact_match = ["drop <= 50 pp", ">= 50%"]
latency_p50 = "<= 1 s"
raw = {kpi = "exact_match", limits = "== 0%", normalise = "none"}
"""
ASKED = """
import pytest
from pytest_modelbench import EvalData

PROMPTS = [f"{number} + 1 =" for number in range(40)]

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(prompts=PROMPTS, references=[str(number + 1) for number in range(40)], group=[n // 2 for n in range(40)])

@pytest.fixture(scope="session")
def teacher_model():
    import models
    return models.teacher()

@pytest.fixture(scope="session")
def student_model():
    import models
    return models.student()

def share(references, answers):
    return sum(a == r for a, r in zip(answers, references, strict=True)) / len(answers)

class Computed:
    def compute(self, *, references, predictions):
        return {"share": share(references, predictions), "n": len(predictions)}

@pytest.mark.kpi("exact_match", ">= 50%")
@pytest.mark.kpi("right", ">= 0.5", "drop <= 50%", metric=share, better="higher")
@pytest.mark.kpi("computed", ">= 0.5", metric=Computed(), key="share", better="higher")
def test_texts(): ...

@pytest.mark.kpi("exact_match", ">= 0.1%", normalise="spaces", confidence=0.9)
def test_other_options(): ...

@pytest.mark.kpi("scored", ">= 0.5", metric="f1")
def test_scorer(): ...

@pytest.mark.kpi("top1_accuracy", ">= 50%", under="gaussian_noise:1")
def test_corrupted(): ...

@pytest.mark.kpi("agreement")
@pytest.mark.kpi("ece")
@pytest.mark.kpi("rmse")
@pytest.mark.kpi("group_accuracy_gap")
@pytest.mark.kpi("pgd_accuracy", eps="8/255")
@pytest.mark.kpi("ood_auroc")
@pytest.mark.kpi("corruption_accuracy")
@pytest.mark.kpi("dtype_invariance")
@pytest.mark.kpi("invariance", "<= 50%", transform=lambda prompts: prompts)
def test_labels(): ...
"""
COSTS = """
import pytest

@pytest.mark.kpi("parameters")
@pytest.mark.kpi("size_on_disk")
@pytest.mark.kpi("goodput", ">= 1%", rate="50/s", within="100 ms")
def test_costs(): ...

def test_edges(student, edge_case):
    student.check_finite(edge_case)
"""


def test_prompts_of_a_file_beside_a_suite(judge: Judge, pytester: pytest.Pytester) -> None:
    """A file of prompts judges text and latency; a ready-made suite leaves out what is for labels."""
    (pytester.path / "sla").mkdir()
    for name, text in (
        ("models.py", MODELS),
        ("modelbench.toml", TOML),
        ("prompts.jsonl", "\n".join(map(json.dumps, PROMPTS))),
    ):
        (pytester.path / "sla" / name).write_text(text, encoding="utf-8")
    finished = judge("", "sla/modelbench.toml", "--modelbench-suite=quality", "--modelbench-budget=20", fakes="")
    gates = {gate["nodeid"].rpartition("::")[2]: gate for gate in finished.report["gates"]}
    assert {name: gates[name]["verdict"] for name in ("exact_match", "latency_p50", "raw")} == {
        "exact_match": "pass",
        "latency_p50": "pass",
        "raw": "pass",
    }, finished.text
    assert gates["exact_match"]["breakdown"] == [
        {"name": "half=high", "n": 20, "student": 50.0, "teacher": 100.0},
        {"name": "half=low", "n": 20, "student": 95.0, "teacher": 100.0},
    ]
    assert gates["exact_match"]["worst_samples"] == ["q3", *(f"q{n}" for n in range(30, 39)), "and 1 more"]
    others = {
        name: gate["verdict"] for name, gate in gates.items() if name not in ("exact_match", "latency_p50", "raw")
    }
    assert "top1_accuracy" in others
    assert set(others.values()) == {"not_applicable"}, others


def test_other_kpis_of_prompts(judge: Judge, pytester: pytest.Pytester) -> None:
    """Metrics of users read the one pass, by group; KPIs of labels say what to write; edge cases keep to prompts."""
    pytester.makepyfile(models=MODELS)
    finished = judge(ASKED, "--modelbench-budget=1", "-p", "no:randomly", fakes="")
    assert "Traceback" not in finished.text
    assert "INTERNALERROR" not in finished.text
    verdicts = {(gate["nodeid"].rpartition("::")[2], gate["kpi"]): gate for gate in finished.report["gates"]}
    by_test = {test: {gate["verdict"] for (of, _), gate in verdicts.items() if of == test} for test, _ in verdicts}
    assert by_test["test_texts"] == by_test["test_other_options"] == {"pass"}, finished.text
    right, computed = verdicts["test_texts", "right"], verdicts["test_texts", "computed"]
    assert [gate["readings"]["student"]["value"] for gate in (right, computed)] == [0.725, 0.725]
    assert right["readings"]["student"]["n"] == 20, "groups are resampled"
    assert by_test["test_labels"] == by_test["test_corrupted"] == by_test["test_scorer"] == {"error"}
    for (test, _), gate in verdicts.items():
        if test in {"test_labels", "test_corrupted"}:
            assert "it is for labels and numbers, and the task is text. Write exact_match" in gate["reason"]
    assert (
        "the metric is a scorer of scikit-learn, which is for labels" in verdicts["test_scorer", "scored"]["reason"]
    )
    calls = (pytester.path / "calls.txt").read_text().splitlines()
    assert calls == [f"{number} + 1 =" for number in range(40)], "each prompt is answered once for all gates"


def test_costs_and_edge_cases_of_prompts(judge: Judge, pytester: pytest.Pytester) -> None:
    """What answering costs is measured prompt by prompt, and edge cases of any inputs are judged."""
    pytester.makepyfile(models=MODELS)
    fixtures = ASKED.partition("def share")[0]
    finished = judge(COSTS, "--modelbench-budget=1", fakes=fixtures)
    assert "Traceback" not in finished.text
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts["parameters"] == verdicts["size_on_disk"] == "not_applicable"
    assert verdicts["goodput"] == "pass", finished.text
    finished.result.stdout.fnmatch_lines(["*edge cases * 5 of 5 *"])
