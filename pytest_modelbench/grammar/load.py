"""What options of load mean: rates, waits, and bounds on responses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.units import dimension_of, parse_quantity

MOST_RATE = 20_000
"""Requests a second that one loop in Python can issue, with room to spare."""
LONGEST_WAIT_S = 60.0
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "p99.9": 0.999}
_PERCENTILE = re.compile(r"\s*(p[0-9]+(?:[._][0-9]+)?)\s*<=\s*(.+)")


@dataclass(frozen=True)
class Within:
    """A bound that a percentile of responses must keep.

    >>> str(Within("p99", 0.99, 0.05))
    'p99 <= 50 ms'
    """

    name: str
    quantile: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.name} <= {self.seconds * 1e3:g} ms"


def rate_of(value: object) -> float | None:
    """Read a rate in requests a second; None if it is none, or none that can be issued.

    >>> rate_of("200/s"), rate_of("200"), rate_of("0/s")
    (200.0, None, None)
    """
    rate = _amount(value, "rate", "/s")
    return rate if rate is not None and 0 < rate <= MOST_RATE else None


def wait_of(value: object) -> float | None:
    """Read how long a request may wait for others, in seconds; None for anything else.

    >>> wait_of("5 ms"), wait_of("-1 ms")
    (0.005, None)
    """
    seconds = _amount(value, "time", "s")
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_WAIT_S else None


def bound_of(value: object) -> float | None:
    """Read a time that responses can keep, in seconds; None if it is none, or zero."""
    seconds = _amount(value, "time", "s")
    return seconds if seconds is not None and seconds > 0 else None


def within_of(value: object) -> Within | None:
    """Read a bound on a percentile of responses; None if it is none.

    >>> within_of("p99 <= 50 ms").seconds, within_of("50 ms")
    (0.05, None)
    """
    match = _PERCENTILE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match.group(1) not in PERCENTILES:
        return None
    seconds = bound_of(match.group(2))
    return None if seconds is None else Within(match.group(1), PERCENTILES[match.group(1)], seconds)


def _amount(value: object, dimension: str, unit: str) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        quantity = parse_quantity(value)
        return quantity.to(unit) if dimension_of(quantity.unit) == dimension else None
    except UsageMistake:
        return None
