"""Words and scripts of texts in any language, by Unicode's tables.

Languages that write no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) are taken
character by character, with the marks that belong to each.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "BOPOMOFO"})
EAST_ASIAN = "CJK"
SPACED, UNSPACED, MARK, OTHER = "spaced", "unspaced", "mark", "other"
LAST_OF_PLANE = 0xFFFF


@functools.lru_cache(maxsize=20_000)
def kind_of(character: str) -> str:
    """Return whether a character is part of a spaced word, a word by itself, a mark on one, or none of them.

    >>> [kind_of(character) for character in "a中_"]
    ['spaced', 'unspaced', 'other']
    """
    category = unicodedata.category(character)[0]
    if category == "M":
        return MARK
    if category not in "LN":
        return OTHER
    return UNSPACED if unicodedata.name(character, "").startswith(_UNSPACED) else SPACED


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, as ROUGE compares them: no punctuation, no underscore.

    ASCII texts give the words of rouge-score's tokeniser without its stemmer.

    >>> words("Größe über Maß!"), words("ไทย 日本 x_1")
    (['größe', 'über', 'maß'], ['ไ', 'ท', 'ย', '日', '本', 'x', '1'])
    """
    lowered = unicodedata.normalize("NFKC", text).lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered)
    return "".join(" " if kind_of(character) == OTHER else character for character in apart(lowered)).split()


def apart(text: str) -> str:
    """Return a text with spaces around each character, and its marks, of a language that writes none.

    >>> apart("x日本y")
    'x 日 本 y'
    """
    parts, unspaced = [], False
    for character in text:
        kind = kind_of(character)
        if kind == UNSPACED or (unspaced and kind != MARK):
            parts.append(" ")
        unspaced = kind == UNSPACED or (unspaced and kind == MARK)
        parts.append(character)
    return "".join(parts)


def is_spaced(text: str) -> bool:
    """Whether at least half of a text's letters are of scripts that write spaces between words."""
    kinds = Counter(kind_of(character) for character in text)
    return kinds[SPACED] >= kinds[UNSPACED]


@functools.lru_cache(maxsize=20_000)
def script_of(character: str) -> str:
    """Return the script of a letter by the first word of its name, "" for other characters.

    Chinese characters and the Japanese syllabaries are one, `CJK`.

    >>> [script_of(character) for character in "aжαあ한1"]
    ['Latin', 'Cyrillic', 'Greek', 'CJK', 'Hangul', '']
    """
    if not character.isalpha():
        return ""
    first = re.split(r"[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
    return EAST_ASIAN if first in _EAST_ASIAN else first.capitalize()


def script_named(name: str) -> str:
    """Return a script's name as `script_of` writes it.

    >>> script_named("latin"), script_named("cjk")
    ('Latin', 'CJK')
    """
    return EAST_ASIAN if name.upper() == EAST_ASIAN else name.capitalize()


def scripts_of(text: str) -> Counter[str]:
    """Return the number of letters of each script."""
    scripts = Counter(map(script_of, unicodedata.normalize("NFKC", text)))
    del scripts[""]
    return scripts


def most_common_script(texts: Iterable[str]) -> str:
    """Return the script of most letters of some texts, "" where there are none."""
    letters: Counter[str] = Counter()
    for text in texts:
        letters += scripts_of(text)
    return letters.most_common(1)[0][0] if letters else ""


@functools.cache
def all_scripts() -> frozenset[str]:
    """Return the names of the scripts in Unicode's first plane."""
    return frozenset(map(script_of, map(chr, range(LAST_OF_PLANE)))) - {""}
