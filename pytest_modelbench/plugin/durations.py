"""How long measurements took, kept in pytest's cache for `--modelbench-plan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_modelbench.reports.plan import duration_key, duration_of

_KEY = "modelbench/timings"


def remember_durations(config: pytest.Config, timings: Iterable[Mapping[str, Any]]) -> None:
    """Keep how long measurements took, beside what is known of others.

    Args:
        config: whose cache it is.
        timings: notes of measurements, as they are in the report.
    """
    cache, notes = getattr(config, "cache", None), list(timings)
    if cache is not None and notes:
        cache.set(_KEY, {**known_durations(config), **{duration_key(note): duration_of(note) for note in notes}})


def known_durations(config: pytest.Config) -> dict[str, Any]:
    """Return how long measurements took in earlier runs, empty where nothing is known."""
    cache = getattr(config, "cache", None)
    return dict(cache.get(_KEY, None) or {}) if cache is not None else {}
