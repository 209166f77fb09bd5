"""Which rounds a latency is read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.probes.timing import TimingMeasurement

FIRST, REPEATED = [[np.full(100, 9e6)]] * 3, [[np.full(100, 1e6)]] * 3


class Taken:
    """Hands out one measurement whose every round was disturbed and repeated."""

    def timing(self) -> TimingMeasurement:
        return TimingMeasurement(
            series={"student": FIRST},
            calm={"student": REPEATED},
            batch_sizes={"student": 1},
            looks=(3,),
            elapsed_s=(1.0,),
            copied=True,
            settings={"calls_per_second": {"student": 1e9}, "budget_s": 60.0},
        )


@pytest.mark.parametrize(("kpi", "ms"), [("mean", 1), ("p50", 1), ("p90", 9), ("p95", 9), ("p99", 9), ("p99_9", 9)])
def test_tails_are_read_from_what_was_measured_first(kpi: str, ms: float) -> None:
    """Repeated rounds are for means and medians; a percentile from p90 up leaves nothing out."""
    taken: Any = Taken()
    (evidence,) = evidence_for(Question(kpi=CATALOGUE[f"latency_{kpi}"], options={"batch_size": 1}), taken)
    assert evidence.student.value == ms
