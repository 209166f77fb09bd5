"""Answers that equal a reference, share its words, or are as long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from text_tables import generation, text_evidence

from pytest_modelbench.errors import MeasurementError, UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.text.matching import shared, squad


@pytest.mark.parametrize(
    ("answer", "reference", "options", "expected"),
    [
        (" comedy\n", "comedy", {}, 100),
        (" comedy", "comedy", {"normalise": "none"}, 0),
        ("The Eiffel  Tower.", "eiffel tower", {"normalise": "squad"}, 100),
        ("The Eiffel Tower", "eiffel tower", {}, 0),
        ("ｆｕｌｌ", "full", {}, 100),
        ("6 + 36 makes 42.\n#### 42", "42", {"extract": r"#### (-?[0-9]+)"}, 100),
        ("#### 42", "6 * 7\n#### 42", {"extract": r"#### (-?[0-9]+)"}, 100),
        ("it is 42", "42", {"extract": "[0-9]+"}, 100),
        ("no number", "no number", {"extract": "[0-9]+"}, 0),
    ],
)
def test_exact_match(answer: str, reference: str, options: dict[str, Any], expected: float) -> None:
    """White space around an answer does not matter by default; more is asked for by name."""
    evidence = text_evidence("exact_match", student=[answer], references=[reference], **options)
    assert evidence.student.value == expected


def test_what_extract_misses_is_a_note() -> None:
    """It counts as wrong, and the reading states the pattern."""
    evidence = text_evidence("exact_match", student=["none", "7"], references=["none", "7"], extract="[0-9]")
    assert "student: extract= finds nothing in 1 of 2 answers, which count as wrong" in evidence.notes
    assert "extract='[0-9]'" in evidence.student.method


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("the cat sat", "A cat, sat!", 1.0),
        ("the cat", "a cat sat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("", "", 1.0),
        ("日本。", "日本語", 4 / 5),
        ("ที่", "ที", 0.0),
        ("100€", "100€", 1.0),
    ],
)
def test_token_f1(answer: str, reference: str, expected: float) -> None:
    """As SQuAD's script; characters are words where a language writes no spaces."""
    assert shared(answer, reference) == pytest.approx(expected)
    evidence = text_evidence("token_f1", student=[answer, "x"], references=[[reference or "...", "zz"], "x"])
    assert evidence.student.value == pytest.approx(100 * (expected + 1) / 2)


def test_an_article_alone_is_no_empty_answer() -> None:
    """The right choice "A" is not what a silent student says."""
    squad_too: dict[str, Any] = {"normalise": "squad"}
    for kpi, options in (("exact_match", squad_too), ("token_f1", {})):
        assert text_evidence(kpi, student=["", "a"], references=["A", "A"], **options).student.value == 50.0


def test_squad_normalisation() -> None:
    """An article inside a word stays, and punctuation of other scripts goes."""
    assert squad("An anthem, the «Athe». ") == "anthem athe"


def test_length_ratio_in_tokens_and_characters() -> None:
    """Tokens count only where both models state them by the same tokeniser."""
    student = [generation("aaaa", ids=[1]), generation("bb", ids=[1])]
    teacher = [generation("aaaaaa", ids=[1, 2]), generation("bbbb", ids=[1, 2, 3])]
    same = text_evidence("length_ratio", student=student, teacher=teacher, words=("v", "v"))
    assert same.student.value == pytest.approx(2 / 5)
    assert "2 tokens over 5" in same.student.method
    other = text_evidence("length_ratio", student=student, teacher=teacher, words=("v", "w"))
    unknown = text_evidence("length_ratio", student=student, teacher=teacher)
    assert other.student.value == unknown.student.value == pytest.approx(6 / 10)
    assert "6 characters over 10" in other.student.method
    assert other.worst_samples == ("1", "0")
    silent = [generation("", ids=[0] * 5), student[0]]
    assert text_evidence("length_ratio", student=silent, teacher=teacher, words=("v", "v")).student.value == 1 / 5


@pytest.mark.parametrize("kpi", ["bleu", "chrf", "rouge2", "exact_match", "token_f1"])
def test_a_teacher_without_a_match_is_an_error(kpi: str) -> None:
    """Any student keeps a limit relative to 0; it can be allowed, and a limit on the value is judged."""
    answers: dict[str, Any] = {"student": ["x y"], "teacher": ["x y"], "references": ["a b"]}
    with pytest.raises(MeasurementError, match=f"{kpi} of the teacher is 0.*allow_weak_teacher=True"):
        text_evidence(kpi, "drop <= 1 pp", **answers)
    assert text_evidence(kpi, "drop <= 1 pp", allow_weak_teacher=True, **answers).student.value == 0
    assert text_evidence(kpi, ">= 10%", **answers).student.value == 0


def test_length_ratio_leaves_out_the_end_token_of_a_server() -> None:
    """A server counts it; its tokenizer, and a model that gives its tokens, do not."""
    served = replace(generation("a"), usage={"completion_tokens": 2}, counted=(1, 1))
    found = text_evidence(
        "length_ratio", student=[served] * 4, teacher=[generation("a", ids=[1])] * 4, words=("v", "v")
    )
    assert found.student.value == 1.0
    assert "4 tokens over 4" in found.student.method


def test_prompts_of_other_tokens_are_noted() -> None:
    """As where the chat template of one model lacks; other tokenisers cannot be compared."""
    models: dict[str, Any] = {
        role: [replace(generation("a"), usage={"prompt_tokens": count})] * 3
        for role, count in (("student", 5), ("teacher", 9))
    }
    note = "student and teacher got different numbers of tokens for 3 of 3 prompts"
    for kpi, limit, needed in (("exact_match", "drop <= 5 pp", ["a"] * 3), ("greedy_agreement", ">= 1%", None)):
        of = text_evidence(kpi, limit, **models, references=needed, words=("v", "v"))
        assert any(text.startswith(note) for text in of.notes)
        other = text_evidence(kpi, limit, **models, references=needed, words=("v", "w"))
        assert not any(text.startswith(note) for text in other.notes)


def test_length_ratio_of_references() -> None:
    """The nearest of several, and no teacher is needed."""
    evidence = text_evidence(
        "length_ratio", student=["abc", " d "], references=[["ab", "abcdef"], "dd"], against="references"
    )
    assert evidence.student.value == pytest.approx(4 / 4)
    with pytest.raises(MeasurementError, match="the teacher's answers are all empty"):
        text_evidence("length_ratio", student=["abc"], teacher=["\n"])


def test_length_ratio_without_teacher() -> None:
    """One error that says what to write."""
    with pytest.raises(
        MeasurementError, match="there is no teacher. Write against='references', or define teacher_model"
    ):
        text_evidence("length_ratio", student=["abc"], references=["abc"])


def test_a_student_that_stops_early_fails_its_length() -> None:
    """Limits on both sides need no allow_reversed, and none may compare with the teacher once more."""
    gate = read_gate(("length_ratio", ">= 0.9", "<= 1.1"), {})
    assert [bound.threshold for bound in gate.limits] == [0.9, 1.1]  # type: ignore[union-attr]
    with pytest.raises(UsageMistake, match="a better student would break this limit"):
        read_gate(("exact_match", "<= 90%"), {})
    with pytest.raises(UsageMistake, match="length_ratio is not compared with the teacher's"):
        read_gate(("length_ratio", "drop <= 5%"), {})


@pytest.mark.parametrize(
    ("kpi", "options", "message"),
    [
        ("exact_match", {"extract": "("}, "expected a regular expression, such as"),
        ("exact_match", {"normalise": "lower"}, "expected one of spaces, squad, none"),
        ("bleu", {"tokenize": "flores101"}, "expected one of 13a, intl, zh"),
        ("chrf", {"word_order": 1}, "expected 0 or 2"),
        ("wrong_script_share", {"script": "Klingon"}, "expected the name of a script in Unicode, such as 'Latin'"),
        ("refusal_share", {"phrases": ["", "no"]}, "with which refusals begin"),
        ("length_ratio", {"against": "student"}, "expected one of teacher, references"),
    ],
)
def test_mistakes_in_options(kpi: str, options: dict[str, Any], message: str) -> None:
    """Each is one message at collection."""
    with pytest.raises(UsageMistake, match=message):
        read_gate((kpi,), options)


NOTES = [
    ({"student": ["", ""]}, "student: all answers are empty"),
    ({"student": ["", "x"]}, "student: 1 of 2 answers are empty (empty_share)"),
    ({"student": ["yes", "yes"]}, "student: all 2 answers are equal"),
    ({"student": ["first prompt a", "b"]}, "student: 1 of 2 answers start with their prompt"),
    ({"student": ["a</s>", "b"]}, "student: 1 of 2 answers have special tokens"),
    ({"student": [generation("a", finish="length"), "b"]}, "student: 1 of 2 answers end at max_new_tokens=256"),
    ({"student": ["Yes , it is .", "No , it is not ."]}, "student: most texts have spaces before punctuation"),
    ({"references": ["Yes , it is .", "No , it is not ."]}, "references: most texts have spaces before punctuation"),
    ({"references": ["你好世界", "今天天气很好"]}, "tokenize='13a' does not split into words. Write tokenize='zh'"),
    ({"references": ["오늘 날씨가 좋다", "네"]}, "Write tokenize='ko-mecab'"),
    ({"references": ["สวัสดี", "ครับ"]}, "Write tokenize='char', or judge chrf"),
]


@pytest.mark.parametrize(("changes", "note"), NOTES)
def test_strange_answers_are_noted(changes: dict[str, Any], note: str) -> None:
    """What makes a score mean something else stands beside it; usual answers have no notes."""
    prompts = ["first prompt", [{"role": "user", "content": "second prompt"}]]
    usual: dict[str, Any] = {
        "student": ["An answer, at length.", "Another one."],
        "references": ["c", "d"],
        "prompts": prompts,
    }
    assert not text_evidence("bleu", **usual).notes
    notes = text_evidence("bleu", **(usual | changes)).notes
    assert [text for text in notes if note in text], notes


def test_a_fitting_tokeniser_is_not_noted() -> None:
    """Chinese under tokenize='zh' is split, French writes spaces, and tokenised texts are right under 'none'."""
    french = ["Est-ce vrai ? Oui !", "Vraiment ? Non !"]
    assert not text_evidence("bleu", student=french, references=french).notes
    chinese = ["你好世界", "今天天气很好"]
    assert not text_evidence("bleu", student=chinese, references=chinese, tokenize="zh").notes
    tokenised = ["Yes , it is .", "No , it is not ."]
    assert not text_evidence("bleu", student=tokenised, references=tokenised, tokenize="none").notes
