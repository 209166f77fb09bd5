"""ROUGE equals rouge-score on ASCII texts, and keeps the letters of other scripts."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from text_tables import text_evidence

from pytest_modelbench.kpis.text.overlap_rouge import SCORES, lcs_length, lcs_places, rouge_lsum
from pytest_modelbench.kpis.text.words import words

KINDS = list(SCORES)
RNG = np.random.default_rng(3)
FEW = ["a", "B", "c's", "d-e", "f_g", "7", "(h)", "a"]


def sentences() -> str:
    """Return some lines of few words, so that many are equal, with punctuation and digits."""
    lines = [" ".join(RNG.choice(FEW, RNG.integers(0, 10)).tolist()) for _ in range(RNG.integers(1, 5))]
    return str(RNG.choice(["\n", ".\n", "\n\n"])).join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_rouge_score_on_ascii(kind: str) -> None:
    """Every score of 150 random pairs of texts, to 1e-12."""
    scorer = RougeScorer([kind])
    for _ in range(150):
        reference, answer = sentences(), sentences()
        expected = scorer.score(reference, answer)[kind].fmeasure
        assert SCORES[kind](answer, reference) == pytest.approx(expected, abs=1e-12), (answer, reference)


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        ("rouge1", "testing", 1 / 2),
        ("rouge1", "testing one", 4 / 5),
        ("rouge2", "testing one", 2 / 3),
        ("rougeL", "testing one", 4 / 5),
        ("rougeL", "testing two", 4 / 5),
        *((kind, "", 0.0) for kind in KINDS),
        *((kind, "/", 0.0) for kind in KINDS),
    ],
)
def test_rouge_scores_own_examples(kind: str, answer: str, expected: float) -> None:
    """Those of its tests, with the numbers stated there; the reference has three words."""
    assert SCORES[kind](answer, "testing one two") == pytest.approx(expected)


def test_the_papers_union_of_subsequences() -> None:
    """Section 3.2 of Lin (2004): 4 of 5 words are in one of the two lines, of 10 words: F1 0.533."""
    assert lcs_places("12345", "12678") == {0, 1}
    assert lcs_places("12345", "13895") == {0, 2, 4}
    assert rouge_lsum("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5") == pytest.approx(8 / 15)
    assert lcs_length("12345", "2534") == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "สวัสดีชาวโลก",
        "今日は良い天気です",
        "你好世界",
        "größe über maß",
        "Привет, мир",
        "हिन्दी में लिखा",
        "오늘 날씨가 좋다",
    ],
)
def test_identical_text_of_any_script_is_100(kind: str, text: str) -> None:
    """rouge-score gives 0 for most of them, and 100 for letters lost alike."""
    assert text_evidence(kind, student=[text], references=[text]).student.value == pytest.approx(100)
    assert text_evidence(kind, student=["gr e ber ma"], references=[text]).student.value == 0


def test_words_of_languages() -> None:
    """Marks stay with their letters, and composed letters equal decomposed ones."""
    assert words("हिन्दी कि की") == ["हिन्दी", "कि", "की"]
    assert words("x日本y") == ["x", "日", "本", "y"]
    assert words("ดี ก็") == ["ด\u0e35", "ก\u0e47"]
    assert words(unicodedata.normalize("NFD", "Größe")) == ["größe"]
    assert words("GPT-4は「速い」") == ["gpt", "4", "は", "速", "い"]
    assert words("１２ ﬁ ̀") == ["12", "fi", "̀"]


def test_the_best_reference_counts() -> None:
    """Of each prompt, and the mean is over prompts."""
    evidence = text_evidence("rouge1", student=["x y", "a"], references=[["b", "x y"], ["a b c", "c d"]])
    assert evidence.student.value == pytest.approx(75)
    assert evidence.worst_samples == ("1",)


def test_lines_matter_for_lsum_only() -> None:
    """A note says when the answers have none and references have."""
    reference, answer = "c d\na b", "a b c d"
    assert text_evidence("rougeL", student=[answer], references=[reference]).student.value == pytest.approx(50)
    evidence = text_evidence("rougeLsum", student=[answer], references=["a b\nc d"])
    assert "student: no answer has more than one line" in " ".join(evidence.notes)
    assert not text_evidence("rougeLsum", student=[reference], references=[reference]).notes


def test_worst_samples_are_those_that_lost_most() -> None:
    """Relative to the teacher's answer to the same prompt."""
    evidence = text_evidence(
        "rougeL",
        "drop <= 5 pp",
        student=["a", "x", "a x", "x"],
        teacher=["a", "a b", "a b", "x"],
        references=["a b"] * 4,
    )
    assert evidence.worst_samples == ("1", "2")
