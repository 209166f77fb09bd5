"""The overlap of answers with references."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import GENERATIONS

_BOOTSTRAP = "paired bootstrap of the sums, by prompt or group"
_LIN = "Lin, ROUGE: A Package for Automatic Evaluation of Summaries (2004)"


def _kpi(name: str, definition: str, method: str, source: str, derive: str, **more: Any) -> Kpi:
    options = {**more.pop("options", {}), "confidence": None, "allow_weak_teacher": False}
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better="higher",
        definition=definition,
        method=method,
        source=source,
        probe=GENERATIONS,
        derive=f"{ROOM}.text.overlap:{derive}",
        bounds=SHARE,
        options=options,
        **more,
    )


def _rouge(name: str, of: str) -> Kpi:
    return _kpi(
        name,
        f"mean F1 of {of} that answers share with their best reference",
        f"words of any language in lower case, no stemmer; {_BOOTSTRAP}",
        _LIN,
        "rouge",
        statistic=name,
    )


KPIS = (
    _kpi(
        "bleu",
        "BLEU of the corpus, from 0 to 100",
        f"sacrebleu's sums and smoothing, its signature in the reading; {_BOOTSTRAP}",
        "Post, A Call for Clarity in Reporting BLEU Scores, WMT (2018)",
        "bleu",
        options={"tokenize": "13a", "lowercase": False},
    ),
    _kpi(
        "chrf",
        "chrF2 of the corpus, from 0 to 100: F of n-grams of characters, with word_order=2 of words, too (chrF++)",
        f"sacrebleu's signature in the reading; {_BOOTSTRAP}",
        "Popovic, chrF: character n-gram F-score, WMT (2015); chrF++, WMT (2017)",
        "chrf",
        options={"word_order": 0, "lowercase": False},
    ),
    _rouge("rouge1", "words"),
    _rouge("rouge2", "pairs of words"),
    _rouge("rougeL", "the longest common subsequence of words"),
    _rouge("rougeLsum", "the longest common subsequences of words, line by line,"),
)
