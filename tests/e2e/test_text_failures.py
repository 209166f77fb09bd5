"""Students whose generated text is broken in one way each: the gate that names the fault fails, with a sample."""

from __future__ import annotations

from suites import Judge

MODELS = """
PLACES = ["Rome", "Oslo", "Lima", "Bern", "Cairo", "Quito", "Delhi", "Paris", "Tunis", "Seoul"] * 2
ANSWERS = {f"Question {at}: where is house {at}?": f"House {at} is in the north of {place}, near the old river port."
           for at, place in enumerate(PLACES)}
SHIFTED = str.maketrans("abcdefghijklmnopqrstuvwxyz", "кбгдежзийлмнопрстуфхцчшщыэ")
STUDENTS = {
    "good": ANSWERS.get,
    "looping": lambda prompt: ANSWERS[prompt] + " near the old river" * 30,
    "silent": lambda prompt: "",
    "early": lambda prompt: ANSWERS[prompt][:20],
    "shifted": lambda prompt: ANSWERS[prompt].lower().translate(SHIFTED),
    "echoing": lambda prompt: f"<s>{prompt} {ANSWERS[prompt]}</s>",
}

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(task="text", prompts=list(ANSWERS), references=list(ANSWERS.values()))

@pytest.fixture(scope="session")
def teacher_model():
    return ANSWERS.get

@pytest.fixture(scope="session", params=STUDENTS)
def student_model(request):
    return STUDENTS[request.param]
"""
GATES = {
    "chrf": "'drop <= 5%'",
    "rougeL": "'>= 80%'",
    "length_ratio": "'>= 0.9', '<= 1.1'",
    "repetition_share": "'difference <= 2 pp'",
    "empty_share": "'<= 1%'",
    "wrong_script_share": "'<= 1%'",
    "special_token_share": "'== 0%'",
    "refusal_share": "'<= 1%'",
}
FAULTS = {
    "good": set(),
    "looping": {"chrf", "rougeL", "length_ratio", "repetition_share"},
    "silent": {"chrf", "rougeL", "length_ratio", "empty_share"},
    "early": {"chrf", "rougeL", "length_ratio"},
    "shifted": {"chrf", "rougeL", "wrong_script_share"},
    "echoing": {"chrf", "rougeL", "length_ratio", "special_token_share"},
}


def test_each_fault_fails_the_gate_that_names_it(judge: Judge) -> None:
    """And no other: a student that answers like its teacher passes all, and excerpts show what is wrong."""
    tests = "import pytest\n" + "".join(
        f"@pytest.mark.kpi({name!r}, {limits})\ndef test_{name}(): ...\n" for name, limits in GATES.items()
    )
    finished = judge(tests, more=MODELS)
    failed: dict[str, set[str]] = {name: set() for name in FAULTS}
    for gate in finished.report["gates"]:
        assert gate["verdict"] in {"pass", "fail"}, gate
        name = gate["nodeid"].rpartition("[")[2].rstrip("]")
        if gate["verdict"] == "fail":
            failed[name].add(gate["kpi"])
    assert failed == FAULTS
    for words in (
        "Question 0: where is house 0?",
        "repeats 'near the old river'",
        "all answers are empty",
        "20 of 20 answers start with their prompt",
    ):
        assert words in finished.text.replace("\n", " "), words
