"""Entities in sequences of tags, as seqeval finds them, in arrays over all sentences at once.

Source: seqeval 1.2.2, `metrics.sequence_labeling.get_entities` (that of conlleval) and `scheme.Tokens` (strict).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
PREFIXES = "OBIES"
OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
RENAMED: Mapping[str, str] = {"L": "E", "U": "S"}
"""BILOU's letters for the last token and for entities of one: seqeval without a scheme does not know them."""
LETTERS: Mapping[str, str] = {
    "IOB1": "IOB", "IOB2": "IOB", "IOE1": "IOE", "IOE2": "IOE", "IOBES": "IOBES", "BILOU": "IOBLU",
}  # fmt: skip
"""The prefixes that a scheme allows."""
SAME, DIFFERENT, ANY = (1,), (0,), (0, 1)
Patterns = Sequence[tuple[str, str, tuple[int, ...]]]
STARTS: Mapping[str, Patterns] = {
    "IOB1": (("O", "I", ANY), ("I", "I", DIFFERENT), ("B", "I", ANY), ("I", "B", SAME), ("B", "B", SAME)),
    "IOE1": (("O", "I", ANY), ("I", "I", DIFFERENT), ("E", "I", ANY), ("E", "E", SAME)),
    "IOB2": ((PREFIXES, "B", ANY),),
    "IOE2": (("OE", "IE", ANY), ("I", "IE", DIFFERENT)),
    "IOBES": ((PREFIXES, "BS", ANY),),
}
INSIDES: Mapping[str, Patterns] = {
    "IOB1": (("BI", "I", SAME),),
    "IOE1": (("I", "IE", SAME),),
    "IOB2": (("BI", "I", SAME),),
    "IOE2": (("I", "IE", SAME),),
    "IOBES": (("BI", "IE", SAME),),
}
ENDS: Mapping[str, Patterns] = {
    "IOB1": (("I", "I", DIFFERENT), ("I", "OB", ANY), ("B", "O", ANY), ("B", "I", DIFFERENT), ("B", "B", SAME)),
    "IOE1": (
        *(("I", "I", DIFFERENT), ("I", "O", ANY), ("I", "E", DIFFERENT)),
        *(("E", "I", SAME), ("E", "E", SAME)),
    ),
    "IOB2": (("I", "OB", ANY), ("I", "I", DIFFERENT), ("B", "OB", ANY), ("B", "I", DIFFERENT)),
    "IOE2": (("E", PREFIXES, ANY),),
    "IOBES": (("SE", PREFIXES, ANY),),
}
"""The patterns of `seqeval.scheme`: the prefix before, the prefix, and whether the types are the same."""


@dataclass(frozen=True, kw_only=True)
class Entities:
    """Entities of all sentences, in order.

    Attributes:
        start: the first token of each, counted over all sentences, with one place between two sentences.
        end: the last token.
        type: the number of its type.
        sentence: that it is in.
    """

    start: IntArray
    end: IntArray
    type: IntArray
    sentence: IntArray

    def among(self, others: Entities) -> Mask:
        """Return which entities are among others, (entities,): of the same tokens and type."""
        at = np.searchsorted(others.start, self.start)
        inside = at < len(others.start)
        at = np.where(inside, at, 0)
        if not len(others.start):
            return np.zeros(len(self.start), dtype=bool)
        same = (others.start[at] == self.start) & (others.end[at] == self.end) & (others.type[at] == self.type)
        return np.asarray(inside & same)


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The tags of a vocabulary taken apart: the number of each tag's prefix, and of its type."""

    prefix: IntArray
    type: IntArray
    types: tuple[str, ...]


def is_marked(tag: str) -> bool:
    """Whether a tag is O, or has a prefix of some scheme.

    >>> [is_marked(tag) for tag in ("O", "B-PER", "U", "NOUN", "B_PER")]
    [True, True, True, False, False]
    """
    return tag == "O" or (tag[0] in "BIESLU" and (len(tag) == 1 or tag[1] == "-"))


def type_of(tag: str) -> str:
    """Return the type of a tag as seqeval reads it, `_` where it has none."""
    return tag[1:].split("-", maxsplit=1)[-1] or "_"


def marks_of(vocabulary: Sequence[str]) -> Marks:
    """Take tags apart; L and U become E and S."""
    types = sorted({type_of(tag) for tag in vocabulary if tag != "O"})
    number = {name: place for place, name in enumerate(types)}
    letters = [RENAMED.get(tag[0], tag[0]) for tag in vocabulary]
    return Marks(
        prefix=np.array([PREFIXES.index(letter) for letter in letters], dtype=np.intp),
        type=np.array([-1 if tag == "O" else number[type_of(tag)] for tag in vocabulary], dtype=np.intp),
        types=tuple(types),
    )


def scheme_of(tags: Iterable[str]) -> str | None:
    """Return the scheme that the prefixes of tags leave no doubt of, as `seqeval.scheme.auto_detect`; else None.

    >>> scheme_of(["O", "B-PER", "I-PER"]), scheme_of(["O", "U-PER"]), scheme_of(["O", "I-PER"])
    ('IOB2', 'BILOU', None)
    """
    letters = {tag[0] for tag in tags} - {"O"}
    if letters & set("LU"):
        return "BILOU" if letters <= set("BILU") else None
    if "S" in letters or {"B", "E"} <= letters:
        return "IOBES" if letters <= set("BIES") else None
    return {"B": "IOB2", "E": "IOE2"}.get(next(iter(letters - {"I"}), ""))


def entities_of(codes: IntArray, owner: IntArray, sentences: int, marks: Marks, scheme: str | None) -> Entities:
    """Return the entities of all sentences.

    Args:
        codes: of the tags in the vocabulary, (tokens,), sentence after sentence.
        owner: the sentence of each token, (tokens,).
        sentences: how many there are.
        marks: of the vocabulary.
        scheme: that of seqeval's strict mode; None is its default mode, that of conlleval.
    """
    size = len(codes) + sentences + 1  # an outside token before the first sentence, and one after each
    prefix, kind, sentence = (np.full(size, fill, dtype=np.intp) for fill in (OUTSIDE, -1, -1))
    at = np.arange(len(codes)) + owner + 1
    prefix[at], kind[at], sentence[at] = marks.prefix[codes], marks.type[codes], owner
    same = kind[1:] == kind[:-1]
    if scheme is None:
        start, end = _lenient(prefix[:-1], prefix[1:], same)
        first, last = np.flatnonzero(start) + 1, np.flatnonzero(end)
    else:
        first, last = _strict(prefix, same, "IOBES" if scheme == "BILOU" else scheme)
    return Entities(start=first, end=last, type=kind[first], sentence=sentence[first])


def _lenient(before: IntArray, now: IntArray, same: Mask) -> tuple[Mask, Mask]:
    """Return where a chunk starts and where the one before ended, as `start_of_chunk` and `end_of_chunk`."""
    closed, opened = np.isin(before, (END, SINGLE)), np.isin(now, (BEGIN, SINGLE))
    outside = before == OUTSIDE
    start = opened | ((closed | outside | ~same) & (now != OUTSIDE))
    end = ~outside & (closed | opened | (now == OUTSIDE) | ~same)
    return start, end


def _strict(prefix: IntArray, same: Mask, scheme: str) -> tuple[IntArray, IntArray]:
    """Return first and last tokens as `Tokens.entities`: a start, all that is inside after it, and an end."""
    start, inside, end = (
        np.concatenate([[False], _matches(patterns[scheme], prefix, same)]) for patterns in (STARTS, INSIDES, ENDS)
    )
    places = np.arange(len(prefix))
    breaks = np.maximum.accumulate(np.where(inside, 0, places))
    starts = np.cumsum(start)
    begun = starts - starts[breaks] + start[breaks] > 0
    goes_on = inside & np.concatenate([[False], begun[:-1]])
    first = np.flatnonzero(start & ~goes_on)
    stops = np.flatnonzero(~inside)
    after = stops[np.minimum(np.searchsorted(stops, first, side="right"), len(stops) - 1)]
    whole = end[after]
    return first[whole], after[whole] - 1


def _matches(patterns: Patterns, prefix: IntArray, same: Mask) -> Mask:
    table = np.zeros((len(PREFIXES), len(PREFIXES), 2), dtype=bool)
    for before, now, same_type in patterns:
        rows, columns = ([PREFIXES.index(letter) for letter in letters] for letters in (before, now))
        table[np.ix_(rows, columns, same_type)] = True
    return np.asarray(table[prefix[:-1], prefix[1:], same.astype(np.intp)])
