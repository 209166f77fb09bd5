"""Shares of answers that fail, with or without references."""

from __future__ import annotations

from typing import Any

import pytest
from text_tables import generation, text_evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.text.failures_found import loop, special_tokens

POEM = "The woods are lovely, dark and deep, but I have promises to keep, and miles to go before I sleep."


@pytest.mark.parametrize(
    ("text", "block"),
    [
        (f"Well. {'I do not know. ' * 4}", "i do not know"),
        ("I do not know. " * 3, ""),
        ("ha " * 16, "ha"),
        ("ha " * 15, ""),
        ("yes no " * 8, "yes no"),
        ("yes no " * 7, ""),
        (f"Start. {'the cat sat on the red mat. ' * 4} end", "the cat sat on the red mat"),
        ("the cat sat on the red mat. " * 3, ""),
        (POEM, ""),
        (POEM * 4, POEM.lower().replace(",", "").replace(".", "")),
        ("我不知道" * 4, "我不知道"),
        ("哈" * 16, "哈"),
        ("!" * 16, "!"),
        (f"# Title\n{'-' * 79}\nThe section has some text, {POEM} {POEM}", ""),
        (" ".join(f"{at}. item" for at in range(30)), ""),
        ("", ""),
        (" \n" * 40, ""),
    ],
)
def test_loops(text: str, block: str) -> None:
    """Four words four times, one word sixteen times, or a longer block four times."""
    assert loop(generation(text)) == block


@pytest.mark.parametrize("times", [15, 16])
def test_a_loop_of_one_token(times: int) -> None:
    """Also if its text is none that repeats: equal tokens 16 times in a row."""
    assert bool(loop(generation("x", ids=[1, *[7] * times, 2]))) is (times == 16)
    silent = "the token 7, which has no text" if times == 16 else ""
    assert loop(generation("", ids=[7] * times)) == silent


def test_repetition_names_what_repeats() -> None:
    """With the ids of the samples, and Tango's interval of the difference from the teacher."""
    evidence = text_evidence(
        "repetition_share", "difference <= 2 pp", student=["go on " * 9, "a"], teacher=["b", "a"], confidence=0.95
    )
    assert evidence.student.value == 50
    assert evidence.worst_samples == ("0",)
    assert evidence.notes == ("0 repeats 'go on'",)
    assert evidence.comparison is not None
    assert evidence.comparison.method == "Tango's score interval"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hi<|im_end|>", {"<|im_end|>"}),
        ("<s>[INST] x [/INST]</s><pad><unk>", {"<s>", "[INST]", "[/INST]", "</s>", "<pad>", "<unk>"}),
        ("<｜end▁of▁sentence｜><start_of_turn>", {"<｜end▁of▁sentence｜>", "<start_of_turn>"}),
        ("if a < b | c > d: <p>text</p> [1] <stop>", set()),
    ],
)
def test_special_tokens(text: str, tokens: set[str]) -> None:
    """Those of the usual chat templates and tokenisers; HTML and comparisons are none."""
    assert set(special_tokens(text)) == tokens


@pytest.mark.parametrize(
    ("kpi", "student", "options", "expected"),
    [
        ("empty_share", ["", " \n", "\u200b", "x"], {}, 75),
        ("truncated_share", [generation("a", finish="length"), generation("b", finish="stop")], {}, 50),
        (
            "truncated_share",
            [generation("a", ids=[1] * 8), generation("b", ids=[1] * 7)],
            {"data": {"max_new_tokens": 8}},
            50,
        ),
        ("special_token_share", ["a</s>", "b"], {}, 50),
        ("special_token_share", ["a</s>", "b<pad>"], {"references": ["</s> closes", "x"]}, 50),
        (
            "invalid_json_share",
            ['{"a": 1}', "[1]", "{'a': 1}", '```json\n{"a": 1}\n```', "", "NaN", "4 5", "[" * 9999],
            {},
            75,
        ),
        (
            "refusal_share",
            ["I’m sorry, but I can't.", "  **As an AI** model", "I'm sorry for your loss.", "Yes"],
            {},
            50,
        ),
        ("refusal_share", ["Das kann  ich nicht.", "I'm sorry, but no"], {"phrases": ["das kann ich"]}, 50),
        ("refusal_share", ["Das kann ich", "Ja"], {"phrases": "das kann ich"}, 50),
    ],
)
def test_shares(kpi: str, student: list[Any], options: dict[str, Any], expected: float) -> None:
    """In percent of the prompts, with the ids of those that fail."""
    evidence = text_evidence(kpi, student=student, **options)
    assert evidence.student.value == expected
    assert len(evidence.worst_samples) == expected * len(student) / 100


def test_what_fails_is_quoted() -> None:
    """The beginning of long answers, the end of those that are cut off, and counts by token or opening."""
    long = "[INST] " + "x " * 100
    evidence = text_evidence("special_token_share", student=[long, "[INST]</s>"])
    assert evidence.notes[0].startswith("0: '[INST] x x x")
    assert evidence.breakdown == (
        {"name": "[INST]", "n": 2, "value": 100.0},
        {"name": "</s>", "n": 1, "value": 50.0},
    )
    cut = text_evidence("truncated_share", student=[generation(f"{long}and th", finish="length")])
    assert cut.notes[0].endswith("x x and th'")
    refused = text_evidence("refusal_share", student=["As an AI, I", "I cannot assist with it"])
    assert [row["name"] for row in refused.breakdown] == ["as an ai", "i cannot assist with"]


def test_reasoning_without_an_answer_is_empty() -> None:
    """A note says that there is reasoning: a larger max_new_tokens may help."""
    evidence = text_evidence("empty_share", student=[generation("", before="Let me think"), generation("")])
    assert evidence.student.value == 100
    assert "1 of them have reasoning and no answer after it" in evidence.notes


def test_json_in_a_fence_is_noted() -> None:
    """It is not valid, and easy to put right."""
    evidence = text_evidence("invalid_json_share", student=["```json\n[1]\n```", "{"])
    assert "1 of them are JSON in a code fence, which a parser refuses" in evidence.notes


def test_truncation_must_be_known() -> None:
    """A function states no reason: the KPI does not fit; single unknown ends are noted."""
    with pytest.raises(MeasurementError, match="states neither why its answers end.*Judge length_ratio"):
        text_evidence("truncated_share", student=["a", "b"])
    evidence = text_evidence("truncated_share", student=["a", generation("b", finish="length")])
    assert evidence.student.value == 50
    assert "1 answers state no reason for their end and count as complete" in evidence.notes


LATIN = ["The answer is in English letters.", "Another answer of letters."]


@pytest.mark.parametrize(
    ("student", "options", "expected"),
    [
        (["Ответ", "An answer"], {"references": LATIN}, 50),
        (["Ответ", "An answer"], {"teacher": LATIN}, 50),
        (["Ответ", "An answer"], {"script": "cyrillic"}, 50),
        (["東京です", "Tokyo is the capital"], {"script": "CJK"}, 50),
        (["123", "4 + 4"], {"script": "Latin"}, 0),
        (["Ответ на русском языке", "An answer"], {"references": ["Ответ на русском языке, да", LATIN[1]]}, 0),
        (["An answer", "An answer"], {"references": ["Ответ на русском языке, да", LATIN[1]]}, 50),
        (["да", "An answer"], {"references": ["да", LATIN[1]]}, 0),
        (["It is 4", "Это 7"], {"references": ["4", "7"]}, 0),
        (["это ГПТ", "English words"], {"references": ["GPT", "Ответ на русском языке, да"]}, 50),
    ],
)
def test_wrong_script(student: list[str], options: dict[str, Any], expected: float) -> None:
    """Each answer may be in the script of its own references; digits are of none."""
    assert text_evidence("wrong_script_share", student=student, **options).student.value == expected


def test_other_scripts_are_named() -> None:
    """Answers that switch for some letters are noted, those that are mostly in another script counted."""
    evidence = text_evidence("wrong_script_share", student=["Ответ", "It is 好", "Αλφα"], references=[LATIN[0]] * 3)
    assert [row["name"] for row in evidence.breakdown] == ["Cyrillic", "Greek"]
    assert evidence.notes == ("0: 'Ответ'", "2: 'Αλφα'", "1 more answers have some letters of another script")
    assert evidence.worst_samples == ("0", "2")


def test_the_right_script_must_be_known() -> None:
    """Without references and teacher it is stated."""
    with pytest.raises(MeasurementError, match="neither references nor a teacher. Write script='Latin'"):
        text_evidence("wrong_script_share", student=["Yes"])
