"""Where a limit lies: as a distance from its threshold, and as a value of its KPI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.grammar.directions import students_value
from pytest_modelbench.reports.html.fields import number

_OPERATOR = re.compile(r"<=|>=|<|>")
_PARTS = re.compile(r"\s+if\s+.*?,?\s+else\s+")


@dataclass(frozen=True, kw_only=True)
class LimitLine:
    """A limit's threshold in its own terms, and whether smaller values hold."""

    threshold: float
    upper: bool

    def distance(self, value: float) -> float:
        """Return how far a value is on the right side, as a share of the threshold."""
        gap = self.threshold - value if self.upper else value - self.threshold
        return gap / abs(self.threshold)


def limit_line(limit: Mapping[str, Any]) -> LimitLine | None:
    """Return where a judged limit lies; None for one at 0, one on equality, or one without a value.

    A report has a limit's text, its value and the distance between value and threshold, so that the threshold follows
    without the KPI's row in a catalogue.
    """
    value, margin = number(limit["value"]), number(limit["margin"])
    text = str(limit["text"])
    operators = [_OPERATOR.search(part) for part in _PARTS.split(text)]
    directions = {operator.group()[0] for operator in operators if operator is not None}
    if value is None or margin is None or None in operators or len(directions) != 1:
        return None
    upper = directions == {"<"}
    threshold = value + margin if upper else value - margin
    return LimitLine(threshold=threshold, upper=upper) if abs(threshold) > 1e-12 * abs(value) else None


def in_kpi_terms(limit: Mapping[str, Any], gate: Mapping[str, Any]) -> LimitLine | None:
    """Return a limit as one on the student's own value, by means of the teacher's; None where that is unknown."""
    line = limit_line(limit)
    words = str(limit["text"]).split()
    if line is None or not words or " if " in str(limit["text"]):
        return None
    subject, threshold = words[0], line.threshold
    if subject in {"<=", "<", ">=", ">"} or _OPERATOR.match(subject):
        return line
    reading = gate["readings"]["teacher"]
    teacher = None if reading is None else number(reading["value"])
    if subject == "drop":
        subject = "drop_relative" if limit["unit"] == "fraction" else "drop_points"
    value = None if teacher is None else students_value(subject, teacher, threshold)
    upper = line.upper if subject in {"ratio", "difference", "increase"} else not line.upper
    return LimitLine(threshold=value, upper=upper) if value else None
