"""What benchmarks of tasks share: data without slices, what a session hands to a KPI, counts of wrong intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.groups import Grouping
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.results import Estimate, Evidence


class Samples:
    """Data without slices, whose samples may belong together."""

    UNIT: ClassVar[str] = "sample"

    def __init__(self, group: Sequence[Hashable] | None) -> None:
        self.group = group

    def kinds(self) -> list[Grouping]:
        return []


class Session:
    """What a session hands to a KPI: data, and the answers of both models."""

    def __init__(self, data: Any, answers: Mapping[str, TaskAnswers]) -> None:
        self._data, self._answers = data, answers

    def data(self) -> Any:
        return self._data

    def of(self, _: object, role: str) -> TaskAnswers:
        return self._answers[role]


def misses(evidence: Evidence, true: Mapping[str, float]) -> np.ndarray[Any, Any]:
    """Return whether the student's interval, and that of the difference, lies below or above the true value, (4,)."""
    difference = evidence.comparison.difference if evidence.comparison else None
    both: list[tuple[Estimate | None, float]] = [
        (evidence.student.estimate, true["student"]),
        (difference, true["student"] - true["teacher"]),
    ]
    wrong = []
    for ends, aim in both:
        wrong.append(ends is not None and ends.high is not None and ends.high < aim)
        wrong.append(ends is not None and ends.low is not None and ends.low > aim)
    return np.array(wrong, dtype=float)


def shares(missed: np.ndarray[Any, Any], repeats: int) -> str:
    """Return the shares of some repeats that missed, as cells of a table."""
    return " | ".join(f"{100 * share:.1f}%" for share in missed / repeats)
