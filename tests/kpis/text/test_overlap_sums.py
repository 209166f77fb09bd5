"""BLEU and chrF are sacrebleu's, as functions of sums over prompts that can be resampled."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest
from text_tables import text_evidence

from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.text import overlap_sums

REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]
ANSWERS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
WORDS = [
    "the",
    "of",
    "(and)",
    "to",
    "in,",
    "is;",
    "you",
    "that",
    "it",
    "was.",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "at",
    "be",
    "this",
    "from",
    "have",
    "or",
    "by",
    "one",
]


def corpus(n: int, seed: int, wrong: float) -> tuple[list[str], list[list[str]]]:
    """Return answers that have some words wrong, and one or two references each."""
    wrongs, right = np.random.default_rng(seed), np.random.default_rng(0)
    references = [
        [" ".join(right.choice(WORDS, right.integers(1, 26)).tolist()) for _ in range(1 + at % 2)] for at in range(n)
    ]
    answers = [
        " ".join("xyz" if wrongs.random() < wrong else word for word in several[0].split()) for several in references
    ]
    return answers, references


def streams(references: Sequence[Sequence[str]]) -> list[Any]:
    """Return references as sacrebleu takes them: a list for each position."""
    most = max(map(len, references))
    return [[several[at] if at < len(several) else None for several in references] for at in range(most)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 48.530827), ({"tokenize": "none"}, 49.1919566), ({"tokenize": "intl"}, 43.91623493)],
)
def test_bleu_of_sacrebleus_own_example(options: dict[str, Any], expected: float) -> None:
    """The corpus of sacrebleu's README and tests, with the numbers stated there."""
    evidence = text_evidence("bleu", student=ANSWERS, references=REFERENCES, **options)
    assert evidence.student.value == pytest.approx(expected, abs=1e-6)
    assert f"nrefs:2|case:mixed|eff:no|tok:{options.get('tokenize', '13a')}|smooth:exp" in evidence.student.method


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [("a", "a", 100.0), ("", "reference", 0.0), ("a b c", "abc", 100.0), ("", "c", 0.0), ("aa", "ab", 25.0)],
)
def test_chrf_of_sacrebleus_own_examples(answer: str, reference: str, expected: float) -> None:
    """Its tests state them for beta 3; precision equals recall in each, so that beta does not matter."""
    evidence = text_evidence("chrf", student=[answer], references=[reference])
    assert evidence.student.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kpi", "options", "metric"),
    [
        ("bleu", {}, BLEU()),
        ("bleu", {"lowercase": True, "tokenize": "intl"}, BLEU(lowercase=True, tokenize="intl")),
        ("bleu", {"tokenize": "char"}, BLEU(tokenize="char")),
        ("chrf", {}, CHRF()),
        ("chrf", {"word_order": 2}, CHRF(word_order=2)),
        ("chrf", {"word_order": 2, "lowercase": True}, CHRF(word_order=2, lowercase=True)),
    ],
)
def test_corpus_scores_are_sacrebleus(kpi: str, options: dict[str, Any], metric: Any) -> None:
    """To 1e-9, for several references, empty answers and short ones, and the same signature."""
    answers, references = corpus(60, 1, 0.3)
    answers[:3] = ["", "x", "(Hi!) THE end."]
    evidence = text_evidence(kpi, student=answers, references=references, **options)
    assert evidence.student.value == pytest.approx(metric.corpus_score(answers, streams(references)).score, abs=1e-9)
    assert str(metric.get_signature()) in evidence.student.method


@pytest.mark.parametrize(
    ("answers", "references"),
    [(["a b c d x"], [["a b y d x"]]), (["abcdefgh", "the cat sat"], [["ab", "abc"], ["the cat sat down"]])],
    ids=["no-4-gram-matches", "references-shorter-than-6"],
)
def test_orders_without_matches(answers: list[str], references: list[list[str]]) -> None:
    """BLEU is smoothed as sacrebleu does, and chrF leaves out n-grams that a short reference cannot have."""
    metrics: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF()}
    for kpi, metric in metrics.items():
        value = text_evidence(kpi, student=answers, references=references).student.value
        expected = metric.corpus_score(answers, streams(references)).score
        assert value == pytest.approx(expected, abs=1e-9)


def test_bleu_is_of_the_corpus() -> None:
    """The mean of the sentences' scores is another number, and lower case another one."""
    answers, references = corpus(40, 1, 0.2)
    value = text_evidence("bleu", student=answers, references=references).student.value
    sentences = [
        BLEU(effective_order=True).sentence_score(*pair).score for pair in zip(answers, references, strict=True)
    ]
    assert abs(np.mean(sentences) - value) > 0.5
    shouted = [answer.upper() for answer in answers]
    assert text_evidence("bleu", student=shouted, references=references).student.value < 5
    lower = text_evidence("bleu", student=shouted, references=references, lowercase=True).student.value
    assert lower == pytest.approx(value, abs=1e-9)


def test_references_belong_to_their_prompt() -> None:
    """Two prompts with two references each cannot be transposed silently: each list is that of one prompt."""
    references = [["one two three four", "five six seven eight"], ["nine ten eleven twelve", "a b c d"]]
    own = text_evidence("bleu", student=["five six seven eight", "a b c d"], references=references)
    other = text_evidence("bleu", student=["nine ten eleven twelve", "five six seven eight"], references=references)
    assert own.student.value == pytest.approx(100)
    assert other.student.value == 0


def test_the_paired_bootstrap_is_sacrebleus(caplog: pytest.LogCaptureFixture) -> None:
    """The half-width of the score equals that of its own test, and a clear difference is one for both."""
    caplog.set_level(logging.ERROR)
    teacher, references = corpus(200, 1, 0.1)
    student, _ = corpus(200, 2, 0.2)
    test = PairedTest(
        [("teacher", teacher), ("student", student)],
        {"BLEU": BLEU()},
        streams(references),
        test_type="bs",
        n_samples=500,
    )
    theirs: Any = test()[1]["BLEU"][1]
    evidence = text_evidence(
        "bleu", "drop <= 1 pp", student=student, teacher=teacher, references=references, confidence=0.975
    )
    low, high = evidence.student.estimate.low, evidence.student.estimate.high
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(theirs.ci, rel=0.15)
    assert theirs.p_value < 0.01
    assert evidence.comparison is not None
    assert evidence.comparison.difference is not None
    assert (evidence.comparison.difference.high or 0) < 0


def test_paired_is_narrower_than_unpaired() -> None:
    """Errors that both models make cancel."""
    answers, references = corpus(100, 1, 0.3)
    student = [answer.replace("the", "a") for answer in answers]
    evidence = text_evidence("chrf", "drop <= 1 pp", student=student, teacher=answers, references=references)
    assert evidence.comparison is not None
    assert evidence.teacher is not None
    width, own, theirs = (
        (estimate.high or 0) - (estimate.low or 0)
        for estimate in (evidence.comparison.difference, evidence.student.estimate, evidence.teacher.estimate)
        if estimate is not None
    )
    assert width < 0.7 * np.hypot(own, theirs)


def test_groups_are_resampled_together() -> None:
    """Ten prompts of one conversation that are right or wrong together are worth less than ten."""
    references = [f"word{at // 10} is the answer here" for at in range(100)]
    student = [text if (at // 10) % 2 else "no" for at, text in enumerate(references)]
    alone = text_evidence("chrf", student=student, references=references)
    grouped = text_evidence(
        "chrf", student=student, references=references, data={"group": [at // 10 for at in range(100)]}
    )
    widths = [
        (evidence.student.estimate.high or 0) - (evidence.student.estimate.low or 0) for evidence in (alone, grouped)
    ]
    assert widths[1] > 2 * widths[0]


def test_resamples_read_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer of each model is compared with its references once, for 999 resamples."""
    read: list[str] = []
    original = BLEU.sentence_score

    def noted(self: BLEU, answer: str, references: Sequence[str]) -> Any:
        read.append(answer)
        return original(self, answer, references)

    monkeypatch.setattr(BLEU, "sentence_score", noted)
    answers, references = corpus(30, 1, 0.2)
    text_evidence("bleu", "drop <= 1 pp", student=answers, teacher=answers, references=references)
    assert sorted(read) == sorted(answers * 2)


@pytest.mark.parametrize("limits", [("drop <= 1 pp",), ("drop <= 2%",), (">= 30",), ("ratio >= 0.99x",)])
def test_points_and_relative_limits(limits: tuple[str, ...]) -> None:
    """`pp` counts BLEU points, `%` is relative to the teacher, and a plain number is a score."""
    answers, references = corpus(20, 1, 0.1)
    evidence = text_evidence("bleu", *limits, student=answers, teacher=answers, references=references)
    assert evidence.student.unit == "%"


def test_worst_samples_of_bleu() -> None:
    """A right answer of three words is none of them, though BLEU of it alone is 0; one too long or short is."""
    references = ["a b c", "a b c d e f", "a b c d e f", "x"]
    answers = ["a b c", "a b c", "a b c d e f g", "y"]
    evidence = text_evidence("bleu", student=answers, references=references)
    assert evidence.worst_samples == ("3", "1", "2")


def test_without_sacrebleu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error that names the extra."""
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MeasurementError, match=r'pip install "pytest-modelbench\[text\]"'):
        text_evidence("bleu", student=["a"], references=["a"])


def test_a_tokeniser_that_is_not_installed() -> None:
    """One error that names the extra of sacrebleu."""
    with pytest.raises(MeasurementError, match=r'tokenize=\'ja-mecab\' needs .* pip install "sacrebleu\[ja\]"'):
        text_evidence("bleu", student=["a"], references=["a"], tokenize="ja-mecab")


def test_without_references() -> None:
    """One error that says what to write."""
    with pytest.raises(MeasurementError, match=r"bleu needs references.*references="):
        text_evidence("bleu", student=["a"])


def test_references_under_another_name() -> None:
    """A table without references has columns: the error names them."""
    data = TextData({"prompt": ["a", "b"], "completion": ["c", "d"]})
    assert data.advice_on_references() == (
        "Rename the column of right answers to 'reference': the mapping has 'completion'"
    )


def test_chrf_of_nothing_is_zero() -> None:
    """Also for sums without any n-gram, which a resample may have."""
    assert overlap_sums.chrf_of(np.zeros((2, 18))).tolist() == [0, 0]


def test_few_groups_are_noted_and_widen() -> None:
    """Two conversations bound no other; shares cannot tell how alike the prompts of one are."""
    data = {"group": [0, 0, 0, 0, 1, 1, 1, 1]}
    models: dict[str, Any] = {"student": ["a b"] * 4 + ["a c"] * 4, "references": ["a b"] * 8}
    of = text_evidence("rouge1", data=data, confidence=0.95, **models)
    assert of.student.value == 75.0
    assert of.student.estimate.low is not None
    assert of.student.estimate.low < 50.0  # the value of the worse one of both, which percentiles end at
    note = "2 groups are too few to show how alike"
    assert any(note in text for text in text_evidence("exact_match", data=data, **models).notes)
    assert not any(note in text for text in text_evidence("exact_match", **models).notes)
    eight = {"group": [*range(8), 0]}
    all_right: dict[str, Any] = {"student": ["a b"] * 9, "references": ["a b"] * 9}
    note = "8 groups without a difference do not show how alike"
    assert any(note in text for text in text_evidence("exact_match", data=eight, **all_right).notes)
    one_wrong = {**all_right, "student": ["a b"] * 8 + ["x"]}
    assert not any("how alike" in text for text in text_evidence("exact_match", data=eight, **one_wrong).notes)
