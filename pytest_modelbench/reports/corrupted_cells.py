"""The cells of KPIs under corruptions: what teacher and student get right under each corruption and severity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KPIS = frozenset({
    "corruption_accuracy", "worst_corruption_accuracy", "corruption_drop", "mce", "relative_mce",
    "corruption_error_ratio", "corruption_invariance",
})  # fmt: skip
"""Those whose breakdown has a row for each cell."""


@dataclass(frozen=True, kw_only=True)
class CorruptedCell:
    """A corruption at a severity: what is right of n samples, in percent; None of a teacher that was not asked."""

    corruption: str
    severity: str
    n: int
    student: float
    teacher: float | None = None

    @property
    def drop(self) -> float | None:
        """Points that the student is below the teacher."""
        return None if self.teacher is None else self.teacher - self.student

    @property
    def badness(self) -> float:
        """How bad the cell is: its drop, or what is wrong where no teacher was asked."""
        return 100 - self.student if self.drop is None else self.drop


def cells_of(gate: Mapping[str, Any]) -> list[CorruptedCell]:
    """Return the cells of a gate's breakdown, in its order; none of another KPI's."""
    rows = gate.get("breakdown")
    if gate.get("kpi") not in KPIS or not isinstance(rows, list):
        return []
    return [cell for row in rows if isinstance(row, dict) and (cell := _cell(row)) is not None]


def _cell(row: Mapping[str, Any]) -> CorruptedCell | None:
    corruption, _, severity = str(row.get("name", "")).rpartition(":")
    student, teacher = _share(row.get("value")), _share(row.get("teacher"))
    if "by" in row or not corruption or len(severity) != 1 or student is None:
        return None
    n = row.get("n")
    size = n if isinstance(n, int) else 0
    return CorruptedCell(corruption=corruption, severity=severity, n=size, student=student, teacher=teacher)


def _share(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and 0 <= value <= 100 else None


def worst_of(gates: Sequence[Mapping[str, Any]], most: int) -> Iterator[tuple[str, CorruptedCell]]:
    """Yield the worst cells of each student, with its name; of several gates with the same cell the first counts."""
    by_student: dict[str, dict[tuple[str, str], CorruptedCell]] = {}
    for gate in gates:
        for cell in cells_of(gate) if gate["kpi"] != "corruption_invariance" else ():
            by_student.setdefault(gate["student"], {}).setdefault((cell.corruption, cell.severity), cell)
    for student, cells in by_student.items():
        for cell in sorted(cells.values(), key=lambda cell: -cell.badness)[:most]:
            yield student, cell
