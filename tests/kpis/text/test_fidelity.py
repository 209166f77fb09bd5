"""Fidelity to the teacher: closed forms, equal models, the teacher's own answers, and other tokenisers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from likely_models import (
    FIRST,
    LETTERS,
    WORDS,
    TableModel,
    evidence,
    judged,
    judged_all,
    random_table,
    random_texts,
    uniform,
)
from sacrebleu.metrics.chrf import CHRF
from scipy.special import rel_entr

from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text import distributions, top_tokens
from pytest_modelbench.probes.text.distributions import cut, divergence, likeliest
from pytest_modelbench.probes.text.forcing_cost import bytes_per_token, cost_of
from pytest_modelbench.probes.text.measured_likelihood import pack
from pytest_modelbench.results import Evidence, Verdict
from pytest_modelbench.stats.intervals import share_interval

TEXTS = random_texts(40)
STUDENT, TEACHER = random_table(1), random_table(2)
OF_TOKENS = {"token_agreement": (), "token_kl": (), "token_kl_p99": ()}
OF_ANSWERS = {"greedy_agreement": (), "first_divergence": (), "generation_similarity": ()}


def found(gates: dict[str, Any], student: Any, teacher: Any, data: TextData, **options: Any) -> dict[str, Evidence]:
    """Return the evidence of gates that have some."""
    judged = judged_all(gates, student, teacher, data, **options)
    return {name: evidence for name, (_, evidence) in judged.items() if evidence is not None}


def lasts(texts: list[str]) -> np.ndarray[Any, Any]:
    """Return the token before each scored one."""
    return np.array([token for text in texts for token in [FIRST, *map(LETTERS.index, text[:-1])]])


@pytest.mark.parametrize("options", [{}, {"window": 6, "stride": 2}])
def test_tokens_of_texts_are_those_of_the_tables(options: dict[str, int]) -> None:
    """The divergence is scipy's relative entropy of the two rows, the agreement that of their largest entries."""
    of = found(OF_TOKENS, TableModel(STUDENT, first=FIRST), TableModel(TEACHER, first=FIRST),
               TextData(texts=TEXTS), **options)  # fmt: skip
    rows = lasts(TEXTS)
    nats = rel_entr(TEACHER, STUDENT).sum(axis=1)[rows]
    assert of["token_kl"].student.value == pytest.approx(nats.mean(), rel=1e-5)
    assert of["token_kl_p99"].student.value == pytest.approx(np.quantile(nats, 0.99), rel=1e-5)
    same = (STUDENT.argmax(axis=1) == TEACHER.argmax(axis=1))[rows]
    assert of["token_agreement"].student.value == pytest.approx(100 * same.mean())
    assert f"{len(rows)} tokens of 40 documents: texts, " in of["token_kl"].student.method


def test_windows_fit_both_models() -> None:
    """Both see the same tokens: no more than the smaller context takes."""
    student, teacher = TableModel(STUDENT, context=8), TableModel(TEACHER, context=20)
    evidence("token_kl", student=student, teacher=teacher, data=TextData(texts=TEXTS))
    assert student.calls == teacher.calls
    assert max(len(before) + len(ids) for before, ids in teacher.calls) == 8


def test_a_model_beside_itself() -> None:
    """Agrees everywhere, at no divergence at all."""
    of = found({**OF_TOKENS, **OF_ANSWERS}, TableModel(STUDENT), TableModel(STUDENT.copy()),
               TextData(random_texts(12), texts=TEXTS, max_new_tokens=9))  # fmt: skip
    values = {name: evidence.student.value for name, evidence in of.items()}
    assert values == {"token_agreement": 100.0, "token_kl": 0.0, "token_kl_p99": 0.0, "greedy_agreement": 100.0,
                      "first_divergence": 9.0, "generation_similarity": 100.0}  # fmt: skip
    assert "12 of 12 answers are equal and count with their length" in of["first_divergence"].notes[0]


def test_agreement_everywhere_is_as_sure_as_its_documents() -> None:
    """Resamples say nothing then: each document counts as one trial, so that more of them pass a stricter limit."""
    for count, verdict in ((20, Verdict.INCONCLUSIVE), (80, Verdict.PASS)):
        data = TextData(texts=random_texts(count))
        result, of = judged("token_agreement", ">= 95%", student=TableModel(STUDENT), teacher=TableModel(STUDENT.copy()),
                            data=data, confidence=0.95)  # fmt: skip
        assert of is not None
        assert result.verdict is verdict
        assert of.student.estimate == share_interval(count, count, 0.05).map(lambda share: 100 * share)


def test_without_texts_the_teachers_own_answers_are_compared() -> None:
    """The teacher answers each prompt once for all KPIs; the student is asked about those tokens after its prompt."""
    student, teacher = TableModel(STUDENT, first=FIRST), TableModel(TEACHER, first=FIRST)
    prompts = random_texts(15, tokens=4)
    of = found({**OF_TOKENS, **OF_ANSWERS}, student, teacher, TextData(prompts, max_new_tokens=6))
    assert (len(teacher.answered), len(student.answered), len(student.calls)) == (15, 15, 15)
    assert [student.text_of(before) for before, _ in student.calls] == prompts
    rows = np.array([row for before, ids in teacher.calls for row in [before[-1], *ids[:-1]]])
    assert of["token_kl"].student.value == pytest.approx(
        rel_entr(TEACHER, STUDENT).sum(axis=1)[rows].mean(), rel=1e-5
    )
    assert of["token_kl"].student.method.startswith("90 tokens of 15 answers: the teacher's own answers")


def test_intervals_are_by_document() -> None:
    """Documents that differ as a whole: the interval is that of their means, several times that of tokens."""
    student = np.full((8, 8), 1 / 8)
    student[0] = [0.02] * 7 + [0.86]
    texts = ["a" * 40 if number % 2 else "b" * 40 for number in range(40)]
    of = found(OF_TOKENS, TableModel(student), uniform(), TextData(texts=texts))
    nats = np.array([rel_entr(np.full(8, 1 / 8), student[LETTERS.index(text[0])]).sum() for text in texts])
    half = of["token_kl"].student.value - (of["token_kl"].student.estimate.low or 0.0)
    assert half == pytest.approx(1.645 * nats.std(ddof=1) / np.sqrt(len(texts)), rel=0.15)
    assert set(of["token_kl"].worst_samples) <= {*(str(number) for number in range(1, 40, 2)), "and 10 more"}


def test_the_tail_is_by_document() -> None:
    """One hard document of 40 has all high values: independent tokens would bound the percentile, documents do not."""
    student = np.vstack([STUDENT[:6], np.full((2, 8), 1 / 8)])
    data = TextData(texts=["abcdef" * 7, *(["g" * 42] * 39)])
    tail = evidence("token_kl_p99", student=TableModel(student), teacher=uniform(), data=data).student
    nats = rel_entr(np.full((8, 8), 1 / 8), student).sum(axis=1)
    each = np.array([nats[LETTERS.index(letter)] for text in data.texts or () for letter in text[:-1]])
    assert tail.value == pytest.approx(np.quantile(each, 0.99), rel=1e-5)
    assert tail.estimate.high == np.inf
    assert (each <= tail.value).mean() ** len(each) < 0.05  # what independent tokens would say


def test_a_wider_output_layer_counts_where_both_have_tokens() -> None:
    """An output layer that is padded to a round size has columns that no token has."""
    wide = np.zeros((8, 11))
    wide[:, :8], wide[:, 8:] = 0.97 * STUDENT, 0.01
    values = [
        evidence("token_kl", student=student, teacher=TableModel(TEACHER), data=TextData(texts=TEXTS)).student.value
        for student in (TableModel(STUDENT), TableModel(np.vstack([wide, np.full((3, 11), 1 / 11)]), WORDS))
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def test_divergences_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows at once give the same values; a token that the teacher rules out adds nothing."""
    with np.errstate(divide="ignore"):
        student, teacher = np.log(STUDENT).astype(np.float32), np.log(np.eye(8)).astype(np.float32)
    whole = divergence(student, teacher)
    monkeypatch.setattr(distributions, "MOST_VALUES", 24)
    assert np.array_equal(divergence(student, teacher), whole)
    assert whole == pytest.approx(-np.log(STUDENT.diagonal()), rel=1e-5)
    assert whole.dtype == np.float32
    assert not divergence(teacher, teacher).any()


@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_the_likeliest_tokens_bound_the_divergence(count: int) -> None:
    """The others as one token lose some of it; all tokens lose nothing. The likeliest is the one of argmax."""
    student, teacher = (np.log(table).astype(np.float32) for table in (STUDENT, TEACHER))
    ids = likeliest(teacher, count)
    assert ids.shape == (8, min(count, 8))
    assert np.array_equal(ids, np.argsort(-teacher, axis=1, kind="stable")[:, :count])
    short = cut(teacher, ids)
    assert np.exp(short.astype(np.float64)).sum(axis=1) == pytest.approx(np.ones(8))
    bound, whole = divergence(cut(student, ids), short), divergence(student, teacher)
    assert (bound <= whole + 1e-6).all()
    assert np.allclose(bound, whole, atol=1e-5) is (count >= 8)


def test_the_size_of_a_recording_is_known_beforehand() -> None:
    """The plan states it for each token; the first token of each text, which is not scored, takes less."""
    taking = Taking(model=TableModel(STUDENT), data=TextData(texts=TEXTS), options={"top_k": 3})
    arrays = pack(top_tokens.take(taking))
    size = sum(array.nbytes for name, array in arrays.items() if name not in {"text", "sizes"})
    tokens, first = sum(map(len, TEXTS)), len(TEXTS)
    assert size == tokens * bytes_per_token(3) - first * 4 * (3 + 3 + 1)
    assert cost_of({"top_k": 32}) == "a contract holds 264 bytes for each token"


def test_the_first_of_equally_likely_tokens_comes_first() -> None:
    """As argmax has it, so that a student beside the recorded teacher agrees where it does beside the teacher."""
    ties = np.log(np.full((1, 50), 0.02)).astype(np.float32)
    assert likeliest(ties, 3)[0, 0] == 0
    assert len(set(likeliest(ties, 3)[0])) == 3


def test_other_tokenisers() -> None:
    """Tokens are compared with nothing; answers by their characters, which the note states."""
    other = TableModel(STUDENT, (*"gfedcba", "<s>"))
    data = TextData(random_texts(12), max_new_tokens=5)
    result, _ = judged("token_kl", "<= 0.1 nat", student=other, teacher=TableModel(TEACHER), data=data)
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "Write bits_per_byte, greedy_agreement or generation_similarity" in result.reason
    of = evidence("first_divergence", student=other, teacher=TableModel(TEACHER), data=data)
    assert of.notes[0].startswith("in characters; 0 of 12 answers are equal")


def test_no_teacher_with_probabilities() -> None:
    """A teacher that is a function has texts only."""
    result, _ = judged("token_kl", "<= 0.1 nat", student=uniform(), teacher=lambda text: text, data=TextData(["ab"]))
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "the fidelity of tokens needs the probabilities of stated tokens, which teacher does not" in result.reason


def test_an_impossible_token_is_an_error() -> None:
    """The divergence is infinite then; how many tokens it is of is stated."""
    result, _ = judged(
        "token_kl", "<= 9 nat", student=TableModel(np.eye(8)), teacher=uniform(), data=TextData(texts=TEXTS)
    )
    assert result.verdict is Verdict.ERROR
    tokens = sum(map(len, TEXTS)) - len(TEXTS)
    assert (
        f"the divergence of {tokens} of {tokens} tokens is infinite: student gives the probability 0" in result.reason
    )


def answering(answers: dict[str, str]) -> Any:
    """Return a model that is a function."""
    return lambda prompt: answers[prompt]


def test_answers_by_hand() -> None:
    """Four prompts: equal, parting after three letters, at once, and where one answer ends before the other."""
    theirs = {"p": "same text", "q": "abcdef", "r": "xyz", "s": "the cat sat"}
    mine = {**theirs, "q": "abcxyz", "r": "uvw", "s": "the cat"}
    data = TextData(list(theirs), ids=list(theirs))
    of = found(OF_ANSWERS, answering(mine), answering(theirs), data)
    assert of["greedy_agreement"].student.value == 25.0
    assert of["greedy_agreement"].worst_samples == ("q", "r", "s")
    assert of["first_divergence"].student.value == np.median([9, 3, 0, 7])
    chrf = [100.0, *(CHRF().sentence_score(mine[name], [theirs[name]]).score for name in "qrs")]
    assert of["generation_similarity"].student.value == pytest.approx(np.mean(chrf))
    assert of["generation_similarity"].worst_samples == ("r", "q", "s")


def test_methods_of_built_in_classes_are_functions() -> None:
    """They have no module, and answer as well as others."""
    of = evidence("greedy_agreement", student=str.upper, teacher=str.swapcase, data=TextData(["ab", "aB"]))
    assert of.student.value == 50.0


def test_empty_answers_of_both_are_noted() -> None:
    """They are equal, and say nothing; a teacher that answers nothing at all is one that any silent student equals."""
    data = TextData(["a", "b"])
    of = found({"greedy_agreement": ()}, lambda _: "", {"a": "", "b": "x"}.get, data)
    assert of["greedy_agreement"].notes == ("both models answered 1 of 2 prompts with nothing",)
    for kpi, (result, _) in judged_all(dict.fromkeys(OF_ANSWERS, ()), lambda _: "", lambda _: " ", data).items():
        assert result.verdict is Verdict.ERROR
        assert f"{kpi} compares nothing: all answers of the teacher are empty" in result.reason


def test_a_windows_message_names_the_model_whose_context_it_is() -> None:
    """The smaller one of both."""
    student, teacher = (TableModel(random_table(1), first=FIRST, context=size) for size in (8, 16))
    result, _ = judged("token_kl", student=student, teacher=teacher, data=TextData(texts=TEXTS), window=12)
    assert "window=12: the context of the other model is 8 tokens. Write window=8" in result.reason


def test_a_recorded_token_that_the_student_has_no_column_for_is_impossible() -> None:
    """As where the teacher's output layer is wider than the student's."""
    rows = np.log(np.full((2, 4), 0.25)).astype(np.float32)
    logs = cut(rows, np.array([[5, 1], [0, 1]], dtype=np.int32))
    assert logs[0].tolist() == pytest.approx([-np.inf, np.log(0.25), np.log(0.75)], rel=1e-6)
    assert logs[1].tolist() == pytest.approx([np.log(0.25), np.log(0.25), np.log(0.5)], rel=1e-6)
