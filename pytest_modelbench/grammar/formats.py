"""Values and intervals as people read them, in a limit's own terms."""

from __future__ import annotations

import math

from pytest_modelbench.grammar.units import humanise, readable, with_unit

ESTIMATED = frozenset({"modelled", "constant"})
"""The provenances of a value that nothing measured; wherever one is shown, it bears a mark and this word."""


def format_judged(value: float, unit: str, threshold: float | None = None) -> str:
    """Format a value in a limit's own terms, with enough digits to tell it from the threshold.

    >>> format_judged(0.6123, "fraction"), format_judged(1.05, "x"), format_judged(-0.8, "pp")
    ('61.2%', '1.05x', '-0.8 pp')
    >>> format_judged(0.4998, "fraction", 0.5)
    '49.98%'
    >>> format_judged(float("inf"), "s")
    'infinite'
    """
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    factor, unit = (100.0, "%") if unit == "fraction" else (1.0, unit)
    for digits in range(3, 9):
        text = humanise(factor * value, unit, digits)
        if threshold is None or value == threshold or text != humanise(factor * threshold, unit, digits):
            break
    return text


def marked(text: str, provenance: str) -> str:
    """Return a value's text with a mark where nothing measured the value.

    >>> marked("12 J", "modelled"), marked("12 J", "measured")
    ('~12 J', '12 J')
    """
    return f"~{text}" if provenance in ESTIMATED else text


def format_interval(low: float | None, high: float | None, unit: str) -> str:
    """Format an interval with its unit once; an end that the sample does not support is a question mark.

    >>> format_interval(0.581, 0.64, "fraction"), format_interval(0.0004, float("inf"), "s")
    ('[58.1, 64]%', '[400, ?] µs')
    """
    if low is None or high is None:
        return "no interval"
    factor, unit = (100.0, "%") if unit == "fraction" else (1.0, unit)
    numbers, unit = readable([low * factor, high * factor], unit)
    return with_unit(f"[{', '.join(numbers)}]", unit)
