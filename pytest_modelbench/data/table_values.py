"""Values of a table's cells as arrays: labels, numbers, latencies and times, each with its mistakes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, shown

Array = npt.NDArray[Any]
MISSING = frozenset({"", "nan"})
"""What a text that is not there looks like, in lower case."""
LATEST_S = 100 * 365.25 * 86_400
"""More seconds since 1970 are no time of a prediction, but milliseconds."""


def plain(texts: Array) -> Array:
    """Return texts as whole numbers or numbers, if all of them are; else as they are.

    >>> plain(np.array(["1", "2.0"])).tolist(), plain(np.array(["1.5"])).tolist(), plain(np.array(["a"])).tolist()
    ([1, 2], [1.5], ['a'])
    """
    if texts.dtype.kind != "U":
        return texts
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return texts
    whole = bool(np.all(np.isfinite(numbers))) and bool(np.all(numbers == np.floor(numbers)))
    return numbers.astype(np.int64) if whole and bool(np.all(np.abs(numbers) < 2**53)) else numbers


def texts_of(values: Iterable[Any], _where: str, _start: int) -> Array:
    """Return values as texts, with none for those that are missing."""
    texts = [_text(value) for value in values]
    return np.array(["" if text.lower() in MISSING else text for text in texts], dtype=np.str_)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def labels(values: Iterable[Any], where: str, start: int) -> Array:
    """Return labels as texts, with none for those that are missing.

    Raises:
        DataError: numbers and texts are in one column of a file that tells them apart, or a value is neither.
    """
    listed = list(values)
    kinds: dict[bool, int] = {}
    for at, value in enumerate(listed):
        if value is None or value != value:  # noqa: PLR0124 - NaN
            continue
        if isinstance(value, list | dict | bytes):
            raise DataError(f"{where}, row {start + at:,}: found {shown(value)}, expected a label or a number")
        kinds.setdefault(isinstance(value, str), at)
    if len(kinds) > 1:
        text, number = kinds[True], kinds[False]
        raise DataError(
            f"{where} mixes texts and numbers: {shown(listed[text])} in row {start + text:,} and "
            f"{shown(listed[number])} in row {start + number:,}; expected one kind"
        )
    return texts_of(listed, where, start)


def numbers(values: Iterable[Any], where: str, start: int) -> Array:
    """Return numbers; what is missing is NaN.

    Raises:
        DataError: a value is not a number; the message names the row.
    """
    listed = list(values)
    try:
        return np.array([_number(value) for value in listed])
    except (TypeError, ValueError, OverflowError):
        at = next(at for at, value in enumerate(listed) if not _is_number(value))
        raise DataError(f"{where}, row {start + at:,}: found {shown(listed[at])}, expected a number") from None


def _number(value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return math.nan
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        _number(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def latencies(values: Iterable[Any], where: str, start: int) -> Array:
    """Return milliseconds.

    Raises:
        DataError: a value is missing, negative or not a number; the message names the row.
    """
    latencies = numbers(values, where, start)
    bad = np.flatnonzero(~(np.isfinite(latencies) & (latencies >= 0)))
    if len(bad):
        raise DataError(
            f"{where}, row {start + int(bad[0]):,}: found {latencies[bad[0]]}, expected a latency in milliseconds, "
            "0 or more"
        )
    return latencies


def times(values: Iterable[Any], where: str, start: int) -> Array:
    """Return seconds since 1970.

    Raises:
        DataError: a value is not a time; the message names the row.
    """
    seconds = np.empty(0)
    listed = list(values)
    try:
        seconds = np.array([seconds_of(value) for value in listed])
    except ValueError:
        at = next(at for at, value in enumerate(listed) if not _is_time(value))
        raise DataError(
            f"{where}, row {start + at:,}: found {shown(listed[at])}, expected a time as ISO 8601 "
            "(2026-11-28T09:30:00Z), or seconds since 1970 (not milliseconds)"
        ) from None
    return seconds


def seconds_of(value: Any) -> float:
    """Return a time as seconds since 1970; one without a time zone is in UTC.

    >>> seconds_of("1970-01-02T00:00:00Z"), seconds_of("1970-01-01 00:01"), seconds_of(2.5)
    (86400.0, 60.0, 2.5)

    Raises:
        ValueError: it is not a time.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, str):
        try:
            return _in_range(float(value))
        except ValueError:
            return seconds_of(datetime.fromisoformat(value.strip()))
    if isinstance(value, Decimal):
        return _in_range(float(value))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return _in_range(value if number else math.inf)


def _in_range(seconds: float) -> float:
    if not abs(seconds) <= LATEST_S:
        raise ValueError(seconds)
    return float(seconds)


def _is_time(value: Any) -> bool:
    try:
        seconds_of(value)
    except ValueError:
        return False
    return True
