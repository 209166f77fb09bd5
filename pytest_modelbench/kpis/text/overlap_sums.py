"""What each answer adds to the corpus scores BLEU and chrF, and the scores of sums.

Sources: Papineni et al. (2002) and Post (2018) for BLEU, whose sums and score are sacrebleu's; Popović (2015, 2017)
for chrF, whose n-grams are sacrebleu's.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_modelbench.errors import MeasurementError, cause_of
from pytest_modelbench.stats.cells import FloatArray

if TYPE_CHECKING:
    from types import ModuleType

ORDERS = 4
CHARACTERS = 6
BETA = 2
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
References = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class CorpusScore:
    """A score of a corpus, from 0 to 100.

    Attributes:
        adds: what an answer with its references adds, as one row of numbers.
        value: turns sums (resamples, kinds) into scores (resamples,).
        each: turns what each answer adds (n, kinds) into how good it is by itself, from 0 to 1 (n,).
        signature: sacrebleu's, with everything that the score depends on.
    """

    adds: Callable[[str, References], list[float]]
    value: Callable[[FloatArray], FloatArray]
    each: Callable[[FloatArray], FloatArray]
    signature: str

    def table(self, answers: Iterable[str], references: Iterable[References]) -> FloatArray:
        """Return what each answer adds, (n, kinds)."""
        pairs = zip(answers, references, strict=True)
        return np.array([self.adds(answer, several) for answer, several in pairs], dtype=np.float64)


def sacrebleu_metrics(kpi: str) -> ModuleType:
    """Import sacrebleu's metrics.

    Raises:
        MeasurementError: it is not installed.
    """
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MeasurementError(
            f'{kpi} needs sacrebleu ({cause_of(error)}). Install it: pip install "pytest-modelbench[text]"'
        ) from error
    return metrics


def count_of(references: Sequence[References]) -> int:
    """Return how many references each prompt has, -1 where that differs, as sacrebleu states it."""
    counts = set(map(len, references))
    return counts.pop() if len(counts) == 1 else -1


def bleu(options: Mapping[str, Any], references: Sequence[References]) -> CorpusScore:
    """Return BLEU with sacrebleu's smoothing `exp`.

    Raises:
        MeasurementError: sacrebleu is missing, or what its tokeniser needs.
    """
    metrics = sacrebleu_metrics("bleu")
    settings = {"lowercase": bool(options["lowercase"]), "tokenize": str(options["tokenize"])}
    try:
        metric = metrics.BLEU(**settings)
    except (ImportError, RuntimeError) as error:
        language = str(settings["tokenize"])[:2]
        raise MeasurementError(
            f"tokenize={settings['tokenize']!r} needs a tokeniser that is not installed. Install it: pip install "
            f'"sacrebleu[{language}]"'
        ) from error
    metric.num_refs = count_of(references)
    sentences = metrics.BLEU(**settings, effective_order=True)  # the same counts, without a warning for each answer

    def adds(answer: str, several: References) -> list[float]:
        score = sentences.sentence_score(answer, several)
        return [score.sys_len, score.ref_len, *score.counts, *score.totals]

    def of_row(row: FloatArray) -> float:
        lengths, counts = [round(count) for count in row[:2]], [round(count) for count in row[2:]]
        score = metrics.BLEU.compute_bleu(counts[:ORDERS], counts[ORDERS:], *lengths, smooth_method="exp")
        return float(score.score)

    return CorpusScore(
        adds=adds,
        value=lambda sums: np.array([of_row(row) for row in sums]),
        each=matched,
        signature=metric.get_signature().format(),
    )


def matched(table: FloatArray) -> FloatArray:
    """Return the share of n-grams that match, of those of the answer or its reference, of which there are more.

    BLEU of a single answer is 0 for most short ones, also right ones.
    """
    ours, theirs = (sum(np.maximum(table[:, at] - n, 0) for n in range(ORDERS)) for at in (0, 1))
    most = np.maximum(np.maximum(ours, theirs), 1)
    share: FloatArray = np.where(table[:, :2].any(axis=1), table[:, 2 : 2 + ORDERS].sum(axis=1) / most, 1.0)
    return share


def chrf(options: Mapping[str, Any], references: Sequence[References]) -> CorpusScore:
    """Return chrF2 of characters up to 6-grams, with word_order=2 also of words up to pairs (chrF++).

    Raises:
        MeasurementError: sacrebleu is missing.
    """
    order, lowercase = int(options["word_order"]), bool(options["lowercase"])
    metric = sacrebleu_metrics("chrf").CHRF(word_order=order, lowercase=lowercase)
    metric.num_refs = count_of(references)

    def ngrams(text: str) -> list[Counter[str]]:
        return _ngrams(text.lower() if lowercase else text, order)

    def adds(answer: str, several: References) -> list[float]:
        ours = ngrams(answer)
        rows = np.array([_matches(ours, ngrams(reference)) for reference in several], dtype=np.float64)
        best: list[float] = rows[chrf_of(rows).argmax()].tolist()
        return best

    return CorpusScore(
        adds=adds, value=chrf_of, each=lambda table: chrf_of(table) / 100, signature=metric.get_signature().format()
    )


def _ngrams(text: str, word_order: int) -> list[Counter[str]]:
    from sacrebleu.metrics.helpers import extract_all_char_ngrams, extract_word_ngrams

    listed = list(itertools.chain.from_iterable(map(_without_punctuation, text.split())))
    return [
        *extract_all_char_ngrams(text, CHARACTERS),
        *(extract_word_ngrams(listed, n) for n in range(1, word_order + 1)),
    ]


def _without_punctuation(word: str) -> tuple[str, ...]:
    """Return a word with the punctuation at its end, or else at its beginning, as a word by itself."""
    if len(word) > 1 and word[-1] in _PUNCTUATION:
        return word[:-1], word[-1]
    if len(word) > 1 and word[0] in _PUNCTUATION:
        return word[0], word[1:]
    return (word,)


def _matches(answer: Sequence[Counter[str]], reference: Sequence[Counter[str]]) -> list[int]:
    """Return the n-grams of the answer (where the reference has any), of the reference, and of both, by order."""
    return [
        count
        for ours, theirs in zip(answer, reference, strict=True)
        for count in (ours.total() if theirs else 0, theirs.total(), (ours & theirs).total())
    ]


def chrf_of(sums: FloatArray) -> FloatArray:
    """Return chrF of sums: precision and recall averaged over the orders that both have, then their F with beta 2.

    Args:
        sums: (resamples, 3 x orders).
    """
    orders = sums.reshape(len(sums), -1, 3)
    answer, reference, both = orders[..., 0], orders[..., 1], orders[..., 2]
    defined = (answer > 0) & (reference > 0)
    count = np.maximum(defined.sum(axis=1), 1)
    precision, recall = (
        np.divide(both, whole, out=np.zeros_like(both), where=defined).sum(axis=1) / count
        for whole in (answer, reference)
    )
    below = BETA**2 * precision + recall
    score: FloatArray = np.divide(
        100 * (1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0
    )
    return score
