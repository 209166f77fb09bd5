"""What the fields of our own files must be: they may have been cut, edited or written by something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Form = Mapping[str, Callable[[Any], bool]]
LARGEST = 1e300
"""A value beyond it is no measurement, and sums of such values are infinite."""


def is_text(found: Any) -> bool:
    """Whether a field is a text."""
    return isinstance(found, str)


def is_flag(found: Any) -> bool:
    """Whether a field is true or false."""
    return isinstance(found, bool)


def is_table(found: Any) -> bool:
    """Whether a field is an object."""
    return isinstance(found, dict)


def is_number(found: Any) -> bool:
    """Whether a field is a finite number, or null for one that JSON could not hold."""
    if found is None:
        return True
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) <= LARGEST


def is_count(found: Any) -> bool:
    """Whether a field is a whole number of at least 0, or null."""
    return found is None or (isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63)


def are(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a field is a list of such things."""
    return lambda found: isinstance(found, list) and all(map(one, found))


def maybe(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a field is such a thing, or null."""
    return lambda found: found is None or one(found)


def has(found: Any, fields: Form, optional: Form | None = None) -> bool:
    """Whether something is an object with every field of a form, and none of the optional ones in another form."""
    if not isinstance(found, dict):
        return False
    given = {name: fits for name, fits in (optional or {}).items() if name in found}
    return all(name in found and fits(found[name]) for name, fits in {**fields, **given}.items())


_READING: Form = {
    "value": is_number,
    "ci_low": is_number,
    "ci_high": is_number,
    "confidence": lambda found: is_number(found) and (found is None or 0 < found < 1),
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


def is_reading(found: Any) -> bool:
    """Whether something is a reading, the ends of whose interval are in order."""
    return has(found, _READING) and _in_order(found)


def is_reference(found: Any) -> bool:
    """Whether something is what a value was measured beside: a positive ratio with its ends, and settings."""
    if not has(found, _REFERENCE, {"settings": is_table}) or not _in_order(found):
        return False
    low = found["ci_low"]
    return (low is None or low >= 0) and all(found[name] is None or found[name] > 0 for name in ("ratio", "ci_high"))


def _in_order(found: Mapping[str, Any]) -> bool:
    low, high = found["ci_low"], found["ci_high"]
    return low is None or high is None or low <= high
