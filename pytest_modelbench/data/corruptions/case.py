"""One corrupted batch of the evaluation data, for the body of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import rows
from pytest_modelbench.data.corruptions.applying import apply
from pytest_modelbench.data.corruptions.fitting import fit
from pytest_modelbench.data.corruptions.names import BUILT_IN, Cell
from pytest_modelbench.data.edge_cases import EdgeCase
from pytest_modelbench.data.evaldata import EvalData


@dataclass(frozen=True, kw_only=True)
class CorruptedCase(EdgeCase):
    """The first batch of the data under a corruption; `plain` is the batch as it is.

    Attributes:
        severity: from 1 to 5.
        targets: of the samples; None without.
        ids: of the samples.
    """

    severity: int
    targets: Any = field(default=None, repr=False)
    ids: Sequence[Any] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"corruption {self.name!r} ({self.what})"


def make_case(cell: Cell, data: EvalData, teacher: Callable[[], Any]) -> CorruptedCase:
    """Corrupt the first batch of the data.

    Args:
        cell: the corruption, its severity and seed.
        data: the evaluation data.
        teacher: returns the teacher, or None.

    Raises:
        NotApplicable: the inputs are token ids.
        DoesNotFit: the corruption is for other inputs, or their range is not known.
        DataError: a custom corruption breaks its form.
    """
    found = fit(data, (cell.corruption,))
    batch = next(iter(data.batches()))
    custom = (getattr(cell.corruption.function, "__doc__", None) or "").strip()
    what = BUILT_IN[str(cell.corruption)].what if cell.corruption.function is None else custom or "custom"
    return CorruptedCase(
        name=str(cell),
        what=f"{what.splitlines()[0]}, severity {cell.severity}",
        inputs=apply(batch.inputs, batch.ids, cell, found.leaves[cell.corruption.family]),
        plain=batch.inputs,
        origin=np.full(rows(batch.inputs), -1),
        select=data.select,
        teacher=teacher,
        severity=cell.severity,
        targets=batch.targets,
        ids=batch.ids,
    )
