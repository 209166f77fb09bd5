"""ROUGE: the overlap of words, pairs of words and subsequences of an answer with a reference.

Source: Lin, ROUGE: A Package for Automatic Evaluation of Summaries (2004). Equal to rouge-score without its stemmer
on ASCII texts; other scripts keep their letters (`words`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_modelbench.kpis.text.words import words

Words = Sequence[str]
Score = Callable[[str, str], float]


def f1(hits: int, answer: int, reference: int) -> float:
    """Return the harmonic mean of precision and recall, from 0 to 1.

    >>> f1(1, 1, 3)
    0.5
    """
    return 2 * hits / (answer + reference) if hits else 0.0


def _of_ngrams(n: int) -> Score:
    def ngrams(text: str) -> Counter[tuple[str, ...]]:
        listed = words(text)
        return Counter(zip(*(listed[at:] for at in range(n)), strict=False))

    def score(answer: str, reference: str) -> float:
        ours, theirs = ngrams(answer), ngrams(reference)
        return f1((ours & theirs).total(), ours.total(), theirs.total())

    return score


def subsequences(reference: Words, answer: Words) -> list[int]:
    """Return for each beginning of the reference the row of the table of longest common subsequences, as bits.

    The length for the first j words of the answer is the number of zeros among the lowest j bits. Source: Hyyrö,
    Bit-parallel LCS-length computation revisited (2004); 64 words of the answer take one machine operation.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(answer):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(answer)) - 1
    row = every
    rows = [row]
    for word in reference:
        here = row & places.get(word, 0)
        row = ((row + here) | (row - here)) & every
        rows.append(row)
    return rows


def lcs_length(reference: Words, answer: Words) -> int:
    """Return the length of the longest common subsequence.

    >>> lcs_length("abcde", "bxdcae")
    3
    """
    return len(answer) - subsequences(reference, answer)[-1].bit_count()


def lcs_places(reference: Words, answer: Words) -> set[int]:
    """Return which words of the reference are in the longest common subsequence that rouge-score finds."""
    rows, places = subsequences(reference, answer), set()
    at, left = len(reference), len(answer)
    while at and left:
        if reference[at - 1] == answer[left - 1]:
            places.add(at - 1)
            at, left = at - 1, left - 1
        elif _zeros(rows[at], left) > _zeros(rows[at - 1], left):
            left -= 1
        else:
            at -= 1
    return places


def _zeros(row: int, count: int) -> int:
    return count - (row & ((1 << count) - 1)).bit_count()


def rouge_l(answer: str, reference: str) -> float:
    """Return the F1 of the longest common subsequence of words, line ends ignored."""
    ours, theirs = words(answer), words(reference)
    return f1(lcs_length(theirs, ours), len(ours), len(theirs))


def rouge_lsum(answer: str, reference: str) -> float:
    """Return the F1 of the union of longest common subsequences, each line a sentence; no word counts twice."""
    ours, theirs = _lines(answer), _lines(reference)
    left = Counter(word for line in ours for word in line)
    total, hits = left.total(), 0
    for line in theirs:
        union = set[int]().union(*(lcs_places(line, other) for other in ours))
        for at in sorted(union):
            if left[line[at]]:
                left[line[at]] -= 1
                hits += 1
    return f1(hits, total, sum(map(len, theirs)))


def _lines(text: str) -> list[list[str]]:
    return [words(line) for line in text.split("\n") if line]


SCORES: Mapping[str, Score] = {
    "rouge1": _of_ngrams(1),
    "rouge2": _of_ngrams(2),
    "rougeL": rouge_l,
    "rougeLsum": rouge_lsum,
}
"""The score of an answer with one reference, from 0 to 1, by the KPI's name."""


def best(score: Score, answer: str, references: Iterable[str]) -> float:
    """Return the score with the reference that fits best; 0 without one."""
    return max((score(answer, reference) for reference in references), default=0.0)
