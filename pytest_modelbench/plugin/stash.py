"""What the pytest layer keeps on pytest's own objects, and the names it looks for. Read whenever pytest starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_modelbench.bench.asking import ItemPlan
    from pytest_modelbench.gates.assignment import Assignment
    from pytest_modelbench.models.named import NamedSpec
    from pytest_modelbench.plugin.state import SessionState
    from pytest_modelbench.settings import Settings

MODEL_FIXTURES = ("teacher_model", "student_model", "eval_data", "previous_model")
_OTHERS = (
    "teacher",
    "student",
    "previous",
    "kpi",
    "edge_case",
    "corruption",
    "memory_meter",
    "energy_meter",
    "profiler",
    "diagnosis",
)
OWN_FIXTURES = frozenset({*MODEL_FIXTURES, *_OTHERS})

READY_MADE = "modelbench_ready_made"
"""Marks the function of a suite's item, which nobody wrote for these models and data."""

# on the config
STATE: pytest.StashKey[SessionState] = pytest.StashKey()
"""There only where gates are judged."""
MISTAKES: pytest.StashKey[list[str]] = pytest.StashKey()
UNJUDGED: pytest.StashKey[int] = pytest.StashKey()
HAD_STORAGE: pytest.StashKey[bool] = pytest.StashKey()
"""Whether pytest-benchmark's folder was there before this run."""
IMPORT_S: pytest.StashKey[float] = pytest.StashKey()
"""Seconds that a model's library took to import, in a fresh process."""

# on a modelbench.toml
NAMED: pytest.StashKey[dict[str, tuple[NamedSpec, ...]]] = pytest.StashKey()
"""The models and data that the file names, by fixture."""

# on an item, and on a modelbench.toml whose items have settings of their own
SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()

# on an item
GATES: pytest.StashKey[tuple[Assignment, ...]] = pytest.StashKey()
PLAN: pytest.StashKey[ItemPlan] = pytest.StashKey()
LABEL: pytest.StashKey[str] = pytest.StashKey()
CASE: pytest.StashKey[str] = pytest.StashKey()
