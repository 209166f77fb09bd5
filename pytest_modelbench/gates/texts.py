"""Keywords of KPIs of generated text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.gates.keyword import COUNT, Keyword, are_names, choice, is_number, is_text, number, truth
from pytest_modelbench.grammar.option_values import Number

TOKENISERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")


def is_pattern(value: Any) -> bool:
    """Whether a value is a regular expression."""
    try:
        return is_text(value) and bool(re.compile(value).pattern)
    except (re.error, OverflowError, RecursionError):
        return False


def is_script(value: Any) -> bool:
    """Whether a value is the name of a script."""
    from pytest_modelbench.kpis.text.words import all_scripts, script_named

    return is_text(value) and script_named(value) in all_scripts()


CONTEXT = Number(least=2, most=10_000_000, whole=True)

TEXT: Mapping[str, Keyword] = {
    "normalise": choice(
        "what is done to answers and references before they are compared", ("spaces", "squad", "none")
    ),
    "extract": Keyword(
        told="a regular expression: its group 1 is compared, or the whole match, of answers and references",
        schema={"type": "string", "minLength": 1},
        takes=is_pattern,
        expected="a regular expression, such as r'#### (-?[0-9]+)'",
        unset="the whole text is compared",
    ),
    "tokenize": choice("sacrebleu's tokeniser", TOKENISERS),
    "lowercase": truth("compare in lower case"),
    "word_order": Keyword(
        told="2 to compare words and pairs of words in addition to characters (chrF++), 0 for none",
        schema={"enum": [0, 2]},
        takes=lambda v: is_number(v) and v in {0, 2},
        expected="0 or 2",
    ),
    "script": Keyword(
        told="the script of right answers, as in Unicode: Latin, Cyrillic, Greek, CJK, Hangul, Arabic, Thai ...",
        schema={"type": "string"},
        takes=is_script,
        expected="the name of a script in Unicode, such as 'Latin', 'Cyrillic' or 'CJK' (Chinese and Japanese)",
        unset="that of the references, else of the teacher's answers",
    ),
    "phrases": Keyword(
        told="how refusals begin, in place of the list in English",
        schema={"type": ["string", "array"], "items": {"type": "string"}},
        takes=lambda v: are_names(v) and all(phrase.strip() for phrase in ([v] if is_text(v) else v)),
        expected="a string, or a list of some, with which refusals begin",
        unset="a list of openings in English",
    ),
    "window": number(
        "the most tokens of a text that a model sees at once",
        Number(least=2, most=10_000_000, whole=True),
        unset="the model's context",
    ),
    "stride": number(
        "by how many tokens the next window begins later",
        Number(least=1, most=10_000_000, whole=True),
        unset="half of the window",
    ),
    "bos": truth("begin each window with the tokeniser's first token (BOS), if it has one"),
    "top_k": number(
        "how many of the teacher's likeliest tokens a contract holds at each place, the others as one; if the "
        "teacher itself is there, all tokens count",
        Number(least=1, most=10_000, whole=True),
    ),
    "length_norm": choice(
        "what the log-likelihood of a choice is divided by: nothing, or its length", ("none", "tokens", "bytes")
    ),
    "tokens": number("tokens of each answer, forced", COUNT, unset="the length that the model gives each answer"),
    "min_tokens": number("tokens that an answer has at least; shorter ones are left out", COUNT),
    "cache": choice(
        "whether prompts are in the server's cache of prefixes: cold ones begin with a line of their own, warm ones "
        "are asked once before they are timed",
        ("cold", "warm"),
        unset="cold where a model runs elsewhere, and neither on this machine",
    ),
    "of": choice(
        "whose first text counts: that of everything, or that of the answer after reasoning", ("any", "answer")
    ),
    "against": choice("what the lengths of answers are compared with", ("teacher", "references")),
    "context": number("tokens of the prompt after which the cache is counted", CONTEXT, unset="256, or the model's"),
}
