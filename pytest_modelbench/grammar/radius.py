"""How far an attack may move an input: `8/255` or `0.03` of the range, `8 levels` of 0 to 255, `0.1 sd`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

EXPECTED = "a text with its unit: '8/255' or '0.03' of the range, '8 levels' of 0 to 255, or '0.1 sd' of each column"
LEVELS = 255
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_RADIUS = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER}))?\s*(levels|sd)?\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Radius:
    """The radius of a ball around each input.

    Attributes:
        text: as the user wrote it.
        share: of the range of the inputs, or of each column's standard deviation.
        of_columns: whether it is in standard deviations.
    """

    text: str
    share: float
    of_columns: bool = False

    def __str__(self) -> str:
        return self.text


def read_radius(text: object, norm: str = "linf") -> Radius:
    """Read a radius.

    Args:
        text: such as `8/255`.
        norm: `linf`, or `l2`, in which inputs of many values are further apart than the range.

    Raises:
        ValueError: it is none, or not between 0 and the whole range; the message states what is expected.

    >>> read_radius("8/255").share == read_radius("8 levels").share
    True
    >>> read_radius("0.1 sd").of_columns
    True
    >>> read_radius("1.5", norm="l2").share
    1.5
    >>> read_radius("8")
    Traceback (most recent call last):
    ValueError: less than the whole range, and 8 is 8 times the range. Is it '8/255' or '8 levels'?
    """
    match = _RADIUS.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[2] is not None and (match[3] or not float(match[2]))):
        raise ValueError(EXPECTED)
    value = float(match[1]) / (float(match[2]) if match[2] else LEVELS if match[3] == "levels" else 1)
    of_columns = match[3] == "sd"
    if not 0 < value < math.inf:
        raise ValueError(f"more than 0: {EXPECTED}")
    if value >= 1 and not of_columns and norm == "linf":
        raise ValueError(
            f"less than the whole range, and {match[0].strip()} is {value:g} times the range. Is it "
            f"'{value:g}/255' or '{value:g} levels'?"
        )
    return Radius(text=match[0].strip(), share=value, of_columns=of_columns)
