"""Keywords of KPIs of generated text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.gates.keyword import Keyword, are_names, choice, is_number, is_text, truth

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
    "of": choice(
        "of times: the first text, or the first after reasoning; of lengths: what they are compared with",
        ("any", "answer", "teacher", "references"),
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
}
