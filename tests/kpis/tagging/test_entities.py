"""Entities are those of seqeval, in its default and in its strict mode, on random tags of each scheme."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE1, IOE2, Entities, auto_detect

from pytest_modelbench.kpis.tagging.entities import LETTERS, entities_of, marks_of, scheme_of

SCHEMES = {"IOB1": IOB1, "IOB2": IOB2, "IOE1": IOE1, "IOE2": IOE2, "IOBES": IOBES, "BILOU": BILOU}
Sentences = list[list[str]]
Found = set[tuple[int, str, int, int]]


def ours(sentences: Sentences, scheme: str | None) -> Found:
    vocabulary = sorted({tag for tags in sentences for tag in tags})
    codes = np.array([vocabulary.index(tag) for tags in sentences for tag in tags], dtype=np.intp)
    owner = np.repeat(np.arange(len(sentences)), [len(tags) for tags in sentences])
    marks = marks_of(vocabulary)
    entities = entities_of(codes, owner, len(sentences), marks, scheme)
    starts = np.concatenate([[0], np.cumsum([len(tags) for tags in sentences])]) + np.arange(len(sentences) + 1) + 1
    return {
        (int(s), marks.types[t], int(a - starts[s]), int(b - starts[s]))
        for s, t, a, b in zip(entities.sentence, entities.type, entities.start, entities.end, strict=True)
    }


def of_seqeval(sentences: Sentences, scheme: str | None) -> Found:
    if scheme is not None:
        every = Entities(sentences, SCHEMES[scheme]).entities
        return {(e.sent_id, e.tag, e.start, e.end - 1) for found in every for e in found}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {(s, *entity) for s, tags in enumerate(sentences) for entity in get_entities(tags)}


def tags_of(scheme: str) -> st.SearchStrategy[Sentences]:
    letters = LETTERS[scheme].replace("O", "")
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC-X"))]
    return st.lists(st.lists(st.sampled_from(tags), max_size=9), min_size=1, max_size=5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities_are_those_of_seqeval(scheme: str) -> None:
    """Strict mode follows the scheme; the default mode is conlleval's, which reads L as E and U as S."""

    @settings(max_examples=120, deadline=None)
    @given(tags_of(scheme))
    def check(sentences: Sentences) -> None:
        assert ours(sentences, scheme) == of_seqeval(sentences, scheme)
        read = [[tag.replace("L-", "E-").replace("U-", "S-") for tag in tags] for tags in sentences]
        assert ours(sentences, None) == of_seqeval(read, None)

    check()


def test_entities_by_hand() -> None:
    """I- without B- begins an entity by default only; an entity may be the last of its sentence."""
    sentences = [["O", "I-PER", "I-PER", "B-PER"], [], ["B-LOC", "I-PER"]]
    assert ours(sentences, None) == {(0, "PER", 1, 2), (0, "PER", 3, 3), (2, "LOC", 0, 0), (2, "PER", 1, 1)}
    assert ours(sentences, "IOB2") == {(0, "PER", 3, 3), (2, "LOC", 0, 0)}
    assert ours([["B", "I", "O"]], None) == {(0, "_", 0, 1)}


@pytest.mark.parametrize(
    ("letters", "scheme"),
    [
        ("OBI", "IOB2"),
        ("OIE", "IOE2"),
        ("OBIES", "IOBES"),
        ("OBILU", "BILOU"),
        ("OI", None),
        ("O", None),
        ("SL", None),
    ],
)
def test_scheme_is_that_of_the_prefixes(letters: Sequence[str], scheme: str | None) -> None:
    """I- alone fits IOB1 and IOE1."""
    assert scheme_of([letter if letter == "O" else f"{letter}-X" for letter in letters]) == scheme


@pytest.mark.parametrize("letters", ["BIE", "BE", "BIES", "BI", "B", "IE", "E", "BILU"])
def test_schemes_are_those_that_seqeval_detects(letters: str) -> None:
    tags = ["O", *(f"{letter}-X" for letter in letters)]
    assert SCHEMES[str(scheme_of(tags))] is auto_detect([tags], suffix=False)
