"""The fixture `diagnosis`: why a student is slow, asked in a test's body."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pytest_modelbench.diagnosis.finding import Diagnosis
from pytest_modelbench.diagnosis.run import BUDGET_S, Asked, diagnose
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.watchdog import beat, watchdog_for
from pytest_modelbench.reports.diagnosis import diagnosis_lines

_SECTION = "modelbench diagnosis"


class Diagnoser:
    """Diagnoses students in a test's body; what it finds goes into the item's report.

    `found = diagnosis(student, teacher, batch)`, then `found.causes`, `found.refuted`, `found.skipped`.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __call__(
        self,
        student: Model,
        teacher: Model | None,
        inputs: Any,
        *,
        budget_s: float = BUDGET_S,
        only: Collection[str] | None = None,
    ) -> Diagnosis:
        """Test every hypothesis on a student, however fast it is.

        Args:
            student: the model that is too slow.
            teacher: the model that it is compared with; None for none.
            inputs: one batch that both take.
            budget_s: seconds that the diagnosis may take.
            only: names of the causes to test; None for all.
        """
        __tracebackhide__ = True
        asked = Asked(budget_s=budget_s, reason="asked by the test", only=only, beat=beat)
        with watchdog_for(budget_s, f"the diagnosis of {student.name}"):
            diagnosis = diagnose(student, teacher, inputs, asked)
        lines = diagnosis_lines({"diagnosis": [diagnosis.to_json()]})
        self._item.add_report_section("call", f"{_SECTION}: {student.name}", "\n".join(lines))
        return diagnosis
