"""Corruptions of text, before a tokenizer: one string at a time.

The severity is the share of letters, characters or words that change. Sources: Belinkov and Bisk, Synthetic and
Natural Noise Both Break Neural Machine Translation (ICLR 2018), for typos; Pruthi et al., Combating Adversarial
Misspellings with Robust Word Recognition (ACL 2019), for swaps and drops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

SHARES: Mapping[str, tuple[float, ...]] = {
    "keyboard_typos": (0.01, 0.03, 0.05, 0.1, 0.2),
    "swapped_letters": (0.01, 0.03, 0.05, 0.1, 0.2),
    "dropped_letters": (0.01, 0.03, 0.05, 0.1, 0.2),
    "random_case": (0.05, 0.1, 0.2, 0.35, 0.5),
    "whitespace": (0.02, 0.05, 0.1, 0.2, 0.3),
    "lookalikes": (0.02, 0.05, 0.1, 0.2, 0.4),
    "truncation": (0.1, 0.2, 0.35, 0.5, 0.7),
}
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS: Mapping[str, str] = {
    letter: "".join(
        other
        for r, keys in enumerate(_ROWS)
        for c, other in enumerate(keys)
        if other != letter and abs(r - row) <= 1 and abs(c - column) <= 1
    )
    for row, letters in enumerate(_ROWS)
    for column, letter in enumerate(letters)
}
LOOKALIKES: Mapping[str, str] = dict(zip("aceiopsxyABCEHIKMOPTX", "асеіорѕхуАВСЕНІКМОРТХ", strict=True))


def keyboard_typos(text: str, share: float, rng: np.random.Generator) -> str:
    """Replace letters by a neighbour on the keyboard, in the same case."""

    def typed(letter: str) -> str:
        near = NEIGHBOURS[letter.lower()]
        other = near[int(rng.integers(len(near)))]
        return other.upper() if letter.isupper() else other

    return _some(text, share, rng, lambda letter: letter.lower() in NEIGHBOURS, typed)


def random_case(text: str, share: float, rng: np.random.Generator) -> str:
    """Write letters in the other case."""
    return _some(text, share, rng, lambda c: len(c.swapcase()) == 1 and c.swapcase() != c, str.swapcase)


def lookalikes(text: str, share: float, rng: np.random.Generator) -> str:
    """Write Cyrillic letters that look like Latin ones."""
    return _some(text, share, rng, LOOKALIKES.__contains__, LOOKALIKES.__getitem__)


def dropped_letters(text: str, share: float, rng: np.random.Generator) -> str:
    """Leave characters out, but never all of them."""
    return _some(text, share, rng, lambda _: True, lambda _: "") or text[:1]


def swapped_letters(text: str, share: float, rng: np.random.Generator) -> str:
    """Exchange letters with the next one of the same word; each moves once at most."""
    letters, drawn, at = list(text), rng.random(len(text)), 0
    while at < len(letters) - 1:
        if drawn[at] < share and letters[at].isalpha() and letters[at + 1].isalpha():
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
            at += 1
        at += 1
    return "".join(letters)


def whitespace(text: str, share: float, rng: np.random.Generator) -> str:
    """Leave spaces out, and add some after other characters: a fifth as often, as words are about five letters."""
    drawn = rng.random(len(text))
    changed = (
        ("" if chance < share else letter) if letter.isspace() else letter + (" " if chance < share / 5 else "")
        for letter, chance in zip(text, drawn, strict=True)
    )
    return "".join(changed)


def truncation(text: str, share: float, _: np.random.Generator) -> str:
    """Leave out the last words, but never the first."""
    words = text.split(" ")
    return " ".join(words[: max(1, round(len(words) * (1 - share)))])


def _some(
    text: str, share: float, rng: np.random.Generator, fits: Callable[[str], bool], change: Callable[[str], str]
) -> str:
    """Change a share of the characters that fit."""
    drawn = rng.random(len(text))
    return "".join(
        change(letter) if chance < share and fits(letter) else letter
        for letter, chance in zip(text, drawn, strict=True)
    )


TEXT: Mapping[str, Callable[[str, float, np.random.Generator], str]] = {
    function.__name__: function
    for function in (
        keyboard_typos, swapped_letters, dropped_letters, random_case, whitespace, lookalikes, truncation,
    )
}  # fmt: skip
