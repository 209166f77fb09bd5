"""What the fields of our own files must be: they may have been cut, edited or written by something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Form = Mapping[str, Callable[[Any], bool]]
LARGEST = 1e300
"""A value beyond it is no measurement, and sums of such values are infinite."""


def is_text(value: Any) -> bool:
    """Whether a field is a text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Whether a field is true or false."""
    return isinstance(value, bool)


def is_table(value: Any) -> bool:
    """Whether a field is an object."""
    return isinstance(value, dict)


def is_number(value: Any) -> bool:
    """Whether a field is a finite number, or null for one that JSON could not hold."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_count(value: Any) -> bool:
    """Whether a field is a whole number of at least 0, or null."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63)


def are(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a field is a list of such things."""
    return lambda value: isinstance(value, list) and all(map(fits, value))


def maybe(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a field is such a thing, or null."""
    return lambda value: value is None or fits(value)


def has(value: Any, fields: Form, optional: Form | None = None) -> bool:
    """Whether something is an object with every field of a form, and none of the optional ones in another form."""
    if not isinstance(value, dict):
        return False
    present = {name: fits for name, fits in (optional or {}).items() if name in value}
    return all(name in value and fits(value[name]) for name, fits in {**fields, **present}.items())


_READING: Form = {
    "value": is_number,
    "ci_low": is_number,
    "ci_high": is_number,
    "confidence": lambda value: is_number(value) and (value is None or 0 < value < 1),
    "n": is_count,
    "unit": is_text,
    "provenance": is_text,
    "method": is_text,
}
_REFERENCE: Form = {
    "kind": is_text,
    "hash": is_text,
    "ratio": is_number,
    "ci_low": is_number,
    "ci_high": is_number,
}


def is_reading(value: Any) -> bool:
    """Whether something is a reading, the ends of whose interval are in order."""
    return has(value, _READING) and _in_order(value)


def is_reference(value: Any) -> bool:
    """Whether something is what a value was measured beside: a positive ratio with its ends, and settings."""
    if not has(value, _REFERENCE, {"settings": is_table}) or not _in_order(value):
        return False
    low = value["ci_low"]
    return (low is None or low >= 0) and all(value[name] is None or value[name] > 0 for name in ("ratio", "ci_high"))


def _in_order(value: Mapping[str, Any]) -> bool:
    low, high = value["ci_low"], value["ci_high"]
    return low is None or high is None or low <= high
