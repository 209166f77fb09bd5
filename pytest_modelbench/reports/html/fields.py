"""Reads the parts of a report that plots are made from: a part that is missing or has another form has no plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.store.forms import LARGEST

Row = Mapping[str, Any]


def number(value: Any) -> float | None:
    """Return a field as a finite number; None where it is not one.

    >>> number(3), number("3"), number(True), number(float("inf"))
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return None
    return float(value)


def numbers(value: Any) -> list[float] | None:
    """Return a field as a list of finite numbers; None where it is not one, or is empty."""
    if not isinstance(value, list) or not value:
        return None
    read = [number(entry) for entry in value]
    return [entry for entry in read if entry is not None] if None not in read else None


def table(value: Any) -> Row:
    """Return a field as an object, an empty one where it is not."""
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[Row]:
    """Return the objects of a field that is a list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return a field as a text."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def key_of(gate: Row) -> str:
    """Return what makes two gates ask the same of one student: several tests may."""
    return json.dumps([gate["student"], gate.get("suite", ""), gate["kpi"], gate.get("options", {})], sort_keys=True)


def batch_size(gate: Row) -> float:
    """Return the batch size that a gate was measured at; 1 where it has none, 0 for the best of a sweep."""
    options = table(gate.get("options"))
    size = options.get("batch_size", 1)
    return number(size) or 0.0


def distinct(gates: Sequence[Row]) -> list[Row]:
    """Return one gate of each question, the first that has a value."""
    by_key: dict[str, Row] = {}
    for gate in gates:
        kept = by_key.setdefault(key_of(gate), gate)
        if kept["readings"]["student"] is None:
            by_key[key_of(gate)] = gate
    return list(by_key.values())


def finite(*values: float | None) -> list[float]:
    """Return the values that are finite numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
