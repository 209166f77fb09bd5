"""The table of hardware tiers: names in the order of their memory. The ini value `modelbench_tiers` replaces it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

DEFAULT = {
    "CPU 4 GB": 4e9,
    "T4": 16e9,
    "L4": 24e9,
    "A10": 24e9,
    "A100 40 GB": 40e9,
    "A100 80 GB": 80e9,
    "H100": 80e9,
    "H200": 141e9,
}
"""Name and memory in bytes, as their makers state it."""

_table: dict[str, float] = dict(DEFAULT)


def replace_tiers(table: Mapping[str, float]) -> None:
    """Replace the table; an empty one means the default. A session puts the table before back when it ends."""
    replacement = dict(table or DEFAULT)
    _table.clear()
    _table.update(sorted(replacement.items(), key=lambda tier: tier[1]))


def tiers() -> Mapping[str, float]:
    """Return the table in use, from the smallest."""
    return _table


def find_tier(text: str) -> float | None:
    """Return the memory of a tier, in bytes; None for a text that is not a tier's name.

    >>> find_tier("t4"), find_tier("12 ms")
    (16000000000.0, None)
    """
    return next((size for name, size in _table.items() if name.casefold() == text.strip().casefold()), None)


def smallest_tier(needed_bytes: float) -> float:
    """Return the memory of the smallest tier that is large enough; what is needed itself where none is."""
    return next((size for size in _table.values() if size >= needed_bytes), needed_bytes)


def tier_name(size_bytes: float) -> str:
    """Return what a tier of this memory is called.

    >>> tier_name(16e9), tier_name(200e9)
    ('T4', 'beyond H200')
    """
    if math.isnan(size_bytes):
        return "nan"
    name = next((name for name, size in _table.items() if size == size_bytes), None)
    return name or f"beyond {list(_table)[-1]}"


def fitting(needed_bytes: float) -> Sequence[str]:
    """Return all tiers that are large enough."""
    return [name for name, size in _table.items() if size >= needed_bytes]


def unknown_tier(text: str) -> str:
    """Say which tiers there are, the nearest first."""
    near = difflib.get_close_matches(text, _table, n=1, cutoff=0.4)
    return f"a hardware tier is one of {', '.join(_table)}" + (f"; nearest: {near[0]!r}" if near else "")
