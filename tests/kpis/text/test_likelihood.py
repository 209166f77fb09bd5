"""Perplexity and bits per byte: closed forms, windows, first tokens, tokenisers, and what is independent."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from likely_models import FIRST, LETTERS, WORDS, TableModel, evidence, judged, judged_all, random_table, random_texts
from likely_models import uniform as uniform_model

from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.probes.text.measured_likelihood import (
    ChoiceScores,
    Forced,
    pack,
    unpack_choices,
    unpack_forcing,
)
from pytest_modelbench.results import Estimate, Verdict

TEXTS = random_texts(40)
TABLE = random_table(1)


def nats(text: str, table: Any = TABLE, first: int | None = FIRST) -> list[float]:
    """Return the negative log-likelihood of each scored token, by hand."""
    ids = [*([] if first is None else [first]), *(LETTERS.index(letter) for letter in text)]
    return [-math.log(table[before, token]) for before, token in itertools.pairwise(ids)]


def ends(estimate: Estimate) -> tuple[float, float]:
    """Return the ends of an interval that has some."""
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize("options", [{}, {"window": 7}, {"window": 7, "stride": 1}, {"window": 2}, {"bos": False}])
def test_uniform_probabilities_give_the_size_of_the_vocabulary(options: dict[str, Any]) -> None:
    """Whatever the windows are; three bits a letter are three bits a byte."""
    judged = judged_all(
        {"perplexity": (), "bits_per_byte": ()}, uniform_model(first=FIRST), None, TextData(texts=TEXTS), **options
    )
    values = {name: found.student.value for name, (_, found) in judged.items() if found is not None}
    assert values == pytest.approx({"perplexity": 8.0, "bits_per_byte": 3.0})


@pytest.mark.parametrize("options", [{}, {"window": 9}, {"window": 5, "stride": 3}, {"window": 3, "stride": 1}])
@pytest.mark.parametrize("bos", [True, False])
def test_a_model_with_a_memory_of_one_token(options: dict[str, Any], bos: bool) -> None:
    """The value is exp(sum / tokens) of the table's entries for all windows: each has at least one token before."""
    known = [nat for text in TEXTS for nat in nats(text, first=FIRST if bos else None)]
    found = evidence(
        "perplexity", student=TableModel(TABLE, first=FIRST), data=TextData(texts=TEXTS), bos=bos, **options
    )
    assert found.student.value == pytest.approx(math.exp(sum(known) / len(known)), rel=1e-6)
    assert f"{len(known)} tokens of 40 documents" in found.student.method
    assert ("begins with the first token (BOS)" in found.student.method) is bos


def test_the_value_is_of_all_tokens_together() -> None:
    """Not the mean of documents: a short and unlikely one would count as much as a long one."""
    texts = ["ab" * 20, "g"]
    table = np.full((8, 8), 0.1 / 7)
    table[[7, 0, 1], [0, 1, 0]] = 0.93
    found = evidence("perplexity", student=TableModel(table, first=FIRST), data=TextData(texts=texts))
    each = [sum(nats(text, table)) / len(text) for text in texts]
    pooled = math.exp(sum(sum(nats(text, table)) for text in texts) / 41)
    assert found.student.value == pytest.approx(pooled, rel=1e-6)
    assert found.student.value < 0.1 * np.mean(np.exp(each))
    assert found.notes == ("the interval rests on 2 documents: add some, or split long ones",)


def test_bits_count_the_bytes_of_the_scored_text() -> None:
    """Without a first token the first letter, of two bytes, is neither scored nor counted."""
    words = ("ä", "b", "c", "d")
    model = TableModel(np.full((4, 4), 0.25), words)
    found = evidence("bits_per_byte", student=model, data=TextData(texts=["äbc", "bä"]))
    assert found.student.value == pytest.approx(2 * 3 / (2 + 2))
    assert "without BOS" in found.student.method


def test_interval_of_documents_and_of_tokens() -> None:
    """Documents that are easy or hard as a whole make an interval several times that of independent tokens."""
    table = np.full((8, 8), 0.2 / 7)
    table[0, 0], table[1, :7] = 0.8, 0.8 / 7
    texts = ["a" * 40 if number % 2 else "b" * 40 for number in range(30)]
    found = evidence("bits_per_byte", student=TableModel(table), data=TextData(texts=texts)).student
    each = np.array([sum(nats(text, table, None)) / math.log(2) / 39 for text in texts])
    by_document = 1.645 * each.std(ddof=1) / math.sqrt(len(texts))
    by_token = 1.645 * each.std() / math.sqrt(39 * len(texts))
    assert found.estimate.low is not None
    assert found.value - found.estimate.low == pytest.approx(by_document, rel=0.15)
    assert found.value - found.estimate.low > 5 * by_token
    grouped = TextData(texts=texts, group=[number // 6 for number in range(30)])
    assert evidence("bits_per_byte", student=TableModel(table), data=grouped).student.n == 5


def test_the_ratio_is_paired_by_document() -> None:
    """A student that is a little worse everywhere: documents differ much more than the two models do."""
    worse = 0.97 * TABLE + 0.03 / len(TABLE)
    result, found = judged(
        "perplexity", "ratio <= 1.02", "increase <= 1%", confidence=0.95,
        student=TableModel(worse, first=FIRST), teacher=TableModel(TABLE, first=FIRST), data=TextData(texts=TEXTS),
    )  # fmt: skip
    assert found is not None
    assert found.comparison is not None
    ratio, value = found.comparison.ratio, found.student.estimate
    mean = {name: np.mean([nat for text in TEXTS for nat in nats(text, table)]) for name, table in
            (("student", worse), ("teacher", TABLE))}  # fmt: skip
    assert ratio is not None
    assert ratio.value == pytest.approx(math.exp(mean["student"] - mean["teacher"]), rel=1e-6)
    low, high = ends(ratio)
    assert (high - low) / ratio.value < 0.3 * -np.subtract(*ends(value)) / value.value
    assert [limit.verdict for limit in result.limits] == [
        Verdict.PASS if high <= 1.02 else Verdict.INCONCLUSIVE,
        Verdict.FAIL if low > 1.01 else Verdict.PASS if high <= 1.01 else Verdict.INCONCLUSIVE,
    ]


def test_other_tokenisers_share_bits_per_byte_only() -> None:
    """A tokeniser of pairs of letters has half as many tokens, and as many bits."""
    pairs = [a + b for a in LETTERS for b in LETTERS]
    words = (*LETTERS, "<s>", *pairs)
    table = np.zeros((len(words), len(words)))
    table[:, :8], table[:, 8:] = 0.1 / 8, 0.9 / len(pairs)
    models = {"student": TableModel(table, words, first=7), "teacher": uniform_model(first=7)}
    data = TextData(texts=[text for text in random_texts(80) if len(text) % 2 == 0])
    limits = {"perplexity": ("ratio <= 1.02", "<= 100"), "bits_per_byte": ("ratio <= 1.02",)}
    found = judged_all(limits, **models, data=data)
    result, of_tokens = found["perplexity"]
    assert of_tokens is not None
    assert (of_tokens.teacher, of_tokens.comparison) == (None, None)
    assert [limit.verdict for limit in result.limits] == [Verdict.NOT_APPLICABLE, Verdict.PASS]
    assert "the tokenisers of the two models differ, or are not known" in result.reason
    assert "Write bits_per_byte" in result.reason
    of_bytes = found["bits_per_byte"][1]
    assert of_bytes is not None
    assert of_bytes.comparison is not None
    assert of_bytes.teacher is not None
    letters = sum(map(len, data.texts or ()))
    assert of_bytes.student.method.startswith(f"{letters // 2:,} tokens of ")
    assert of_bytes.teacher.method.startswith(f"{letters:,} tokens of ")
    assert of_bytes.comparison.ratio is not None
    bits = (2 * math.log2(7) - math.log2(0.9)) / 2
    assert of_bytes.student.value == pytest.approx(bits)
    assert of_bytes.comparison.ratio.value == pytest.approx(bits / 3)


def test_a_previous_student_with_another_tokeniser() -> None:
    """Its perplexity is another quantity, and the message says what to compare by."""
    previous = TableModel(TABLE, (*reversed(LETTERS), "<s>"), first=FIRST)
    result, _ = judged(
        "perplexity", "regression <= 2%", student=uniform_model(first=FIRST), previous=previous,
        data=TextData(texts=TEXTS),
    )  # fmt: skip
    assert result.verdict is Verdict.ERROR
    assert "the tokenisers of the two models differ" in result.reason


def test_one_measurement_serves_both() -> None:
    """Each document is asked for once, though the two KPIs judge with other options."""
    model = uniform_model(first=FIRST)
    judged_all({"perplexity": (), "bits_per_byte": ()}, model, None, TextData(texts=TEXTS))
    assert len(model.calls) == len(TEXTS)
    assert [scored for _, scored in model.calls] == [model.text_ids(text) for text in TEXTS]


def test_other_windows_are_noted() -> None:
    """The contexts of the models differ: each is judged in its own, and the note says how both have the same."""
    found = evidence(
        "perplexity", "ratio <= 2", student=uniform_model(context=8), teacher=uniform_model(context=20),
        data=TextData(texts=TEXTS),
    )  # fmt: skip
    assert found.notes[0].startswith("student: window 8 tokens, stride 4, without BOS")
    assert found.notes[0].endswith("Write window=8 to compare them with as much before each token")


@pytest.mark.parametrize(
    ("student", "data", "message"),
    [
        (uniform_model(), {"texts": ["a", "b"]}, "no document has a token that the student can score. Write longer"),
        (TableModel(np.eye(8)), {"texts": ["aa", "ab"]}, "student gives the probability 0 to a token of document 2"),
        (
            uniform_model(),
            {"prompts": ["a"]},
            "it needs documents, and the evaluation data have none. Write EvalData(",
        ),
        (uniform_model(context=8), {"texts": ["ab"]}, "window=20: the context of student is 8 tokens"),
    ],
)
def test_what_has_no_likelihood(student: TableModel, data: dict[str, Any], message: str) -> None:
    """Every case is an error with its reason, never a number."""
    options = {"window": 20} if student.context else {}
    result, _ = judged("perplexity", "<= 9", student=student, data=TextData(**data), **options)
    assert result.verdict is Verdict.ERROR
    assert message in result.reason


def test_models_without_likelihoods() -> None:
    """A function gives texts only, and an encoder-decoder continues none."""
    result, _ = judged("perplexity", "<= 9", student=lambda text: text, data=TextData(texts=["ab"]))
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "which student does not give: it is a text function. Return (module, tokenizer)" in result.reason
    encoding = uniform_model()
    encoding.encodes = True
    result, _ = judged("perplexity", "<= 9", student=encoding, data=TextData(texts=["ab"]))
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "student has an encoder" in result.reason


def test_altered_texts_are_noted() -> None:
    """A tokeniser without a letter has the likelihood of another text."""
    found = evidence("bits_per_byte", student=TableModel(TABLE, WORDS), data=TextData(texts=["abc x", "ab"] * 6))
    assert found.notes == (
        "the tokeniser of the student does not give back 6 of 12 documents: their bits are those of another text",
    )


def test_measurements_travel_as_arrays() -> None:
    """What is packed comes back equal, also without a number among it."""
    scores = ChoiceScores(
        model="m", vocabulary="v", how="h", nats=np.array([1.5]), tokens=np.array([2]), sizes=np.array([1]), glued=1
    )
    assert unpack_choices(pack(scores)) == scores
    forced = Forced(
        model="m", vocabulary="", how="h", divergences=np.array([0.5], dtype=np.float32), agrees=np.array([True]),
        sizes=np.array([1]), of_prompts=True,
    )  # fmt: skip
    assert pack(unpack_forcing(pack(forced))) == pack(forced)
