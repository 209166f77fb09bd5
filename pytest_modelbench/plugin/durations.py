"""How long measurements took, kept in pytest's cache from one session to the next, for --modelbench-plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_modelbench.reports.plan import duration_key, duration_of

DURATIONS = "modelbench/timings"


def known_durations(config: pytest.Config) -> dict[str, Any]:
    """Return how long measurements took in earlier sessions, in seconds; empty where there is no cache."""
    cache = getattr(config, "cache", None)
    return dict(cache.get(DURATIONS, None) or {}) if cache is not None else {}


def remember_durations(config: pytest.Config, timings: Sequence[Mapping[str, Any]]) -> None:
    """Keep how long a session's measurements took, beside what is known of others."""
    cache = getattr(config, "cache", None)
    if cache is not None and timings:
        known = known_durations(config)
        known.update({duration_key(note): duration_of(note) for note in timings})
        cache.set(DURATIONS, known)
