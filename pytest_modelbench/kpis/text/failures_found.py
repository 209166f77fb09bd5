"""How each kind of failure of an answer is recognised."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.kpis.text.words import is_spaced, words
from pytest_modelbench.models.generation import Generation

TIMES = 4
"""How often in a row a block of words makes a loop."""
IN_A_ROW = 16
"""The least words, or equal tokens or characters, of a loop."""
LONGEST_BLOCK = 200
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
_SPECIAL = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>"
    r"|</?s>"
    r"|<(?:pad|unk|eos|bos|sep|cls|mask|start_of_turn|end_of_turn|extra_id_[0-9]+)>"
    r"|\[/?INST\]|\[(?:PAD|UNK|CLS|SEP|MASK)\]"
    r"|<</?SYS>>"
)
REFUSALS = (
    "i'm sorry, but i",
    "i am sorry, but i",
    "i'm sorry, i can",
    "sorry, but i can",
    "sorry, i can",
    "i apologize, but",
    "i apologise, but",
    "i can't help with",
    "i cannot help with",
    "i can't assist with",
    "i cannot assist with",
    "i can't provide",
    "i cannot provide",
    "i can't fulfill",
    "i cannot fulfill",
    "i can't comply",
    "i cannot comply",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "i won't be able to",
    "i must decline",
    "as an ai",
    "as a language model",
    "as a large language model",
)
"""How refusals in English begin, in lower case with straight apostrophes."""


def is_empty(text: str) -> bool:
    r"""Return whether a text has nothing but white space and invisible characters.

    >>> is_empty(" \u200b\n"), is_empty("0")
    (True, False)
    """
    return all(character.isspace() or unicodedata.category(character)[0] == "C" for character in text)


def is_truncated(answer: Generation, settings: GenerationSettings) -> bool | None:
    """Return whether an answer ended at the limit of tokens; None where neither why nor the tokens are known."""
    if answer.finish is not None:
        return answer.finish == "length"
    count = answer.own_tokens if answer.tokens is None else answer.tokens
    return None if count is None else count >= settings.max_new_tokens


def special_tokens(text: str) -> Counter[str]:
    """Return the special tokens in a text, with how often each is there.

    >>> dict(special_tokens("Yes.</s><|im_end|>"))
    {'</s>': 1, '<|im_end|>': 1}
    """
    return Counter(_SPECIAL.findall(text))


def without_special_tokens(text: str) -> str:
    """Return a text without the special tokens in it."""
    return _SPECIAL.sub("", text)


def is_json(text: str) -> bool:
    """Return whether a text is one JSON value by the standard, without NaN, and without a code fence."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def is_fenced_json(text: str) -> bool:
    """Return whether a text is one JSON value in a code fence."""
    fenced = _FENCE.match(text.strip())
    return fenced is not None and is_json(fenced[1])


def refusal(text: str, openings: Sequence[str]) -> str:
    """Return the opening of a refusal that an answer begins with, "" for none.

    >>> refusal("I’m sorry, but I can't do that.", REFUSALS)
    "i'm sorry, but i"
    """
    flat = " ".join(text.replace("\u2019", "'").lower().split()).lstrip("\"'*_ ")
    return next((opening for opening in openings if flat.startswith(" ".join(opening.lower().split()))), "")


def loop(answer: Generation) -> str:
    """Return the part that an answer repeats over and over, "" for none.

    A block of up to 200 words (characters, where a text has no spaces) at least 4 times in a row, and at least 16
    words in all: so are 4 words 4 times, and one word 16 times. Or 16 equal tokens in a row; or 16 equal characters
    in a row that are at least half of the answer.
    """
    text = unicodedata.normalize("NFKC", answer.text)
    units = words(text)
    block = _repeated_block(units)
    if block:
        return (" " if is_spaced(text) else "").join(block)
    ids = answer.token_ids
    if ids is not None and _longest_run(np.diff(np.asarray(ids)) == 0) >= IN_A_ROW - 1:
        return text[-IN_A_ROW:].strip() or f"the token {ids[-1]}, which has no text"
    return _repeated_character(text)


def _repeated_block(units: Sequence[str]) -> tuple[str, ...]:
    """Return the shortest block that repeats; `period` equal distances in a row make a block twice, and so on."""
    number = {unit: at for at, unit in enumerate(dict.fromkeys(units))}
    ids = np.array([number[unit] for unit in units], dtype=np.intp)
    for period in range(1, min(LONGEST_BLOCK, len(ids) // TIMES) + 1):
        least = max(TIMES * period, IN_A_ROW) - period
        start = _run_from(ids[period:] == ids[:-period], least)
        if start is not None:
            return tuple(units[start : start + period])
    return ()


def _run_from(equal: npt.NDArray[np.bool_], least: int) -> int | None:
    """Return where the first run of so many True starts."""
    ends = np.flatnonzero(np.concatenate([[True], ~equal, [True]]))
    long = np.flatnonzero(np.diff(ends) > least)
    return int(ends[long[0]]) if len(long) else None


def _longest_run(equal: npt.NDArray[np.bool_]) -> int:
    ends = np.flatnonzero(np.concatenate([[True], ~equal, [True]]))
    return int(np.diff(ends).max()) - 1


def _repeated_character(text: str) -> str:
    dense = "".join(text.split())
    edges = [0, *(at for at, (left, right) in enumerate(pairwise(dense), 1) if left != right), len(dense)]
    length, start = max(((end - start, start) for start, end in pairwise(edges)), default=(0, 0))
    return dense[start] if length >= IN_A_ROW and 2 * length >= len(dense) else ""
