"""What the pytest layer keeps on pytest's own objects, and the names it looks for. Read whenever pytest starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_modelbench.gates import Gate
    from pytest_modelbench.judging import Judging
    from pytest_modelbench.session import BenchSession

MODEL_FIXTURES = ("teacher_model", "student_model", "eval_data")
OWN_FIXTURES = frozenset({*MODEL_FIXTURES, "teacher", "student", "kpi"})

# on the config
JUDGING: pytest.StashKey[Judging] = pytest.StashKey()
SESSION: pytest.StashKey[BenchSession] = pytest.StashKey()
MISTAKES: pytest.StashKey[list[str]] = pytest.StashKey()
UNJUDGED: pytest.StashKey[int] = pytest.StashKey()

# on an item
GATES: pytest.StashKey[tuple[Gate, ...]] = pytest.StashKey()
LABEL: pytest.StashKey[str] = pytest.StashKey()
