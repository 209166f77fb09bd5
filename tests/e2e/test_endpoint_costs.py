"""What an endpoint's server needs of memory and energy is not that of this machine, which only waits for it."""

from __future__ import annotations

import numpy as np
import pytest
from servers import InferenceServer, served
from suites import FAKES, read_report

SUITE = """
import pytest

@pytest.mark.kpi("peak_memory", "<= 10 GB")
@pytest.mark.kpi("hardware_tier", "<= T4")
@pytest.mark.kpi("cold_start", "<= 100 s")
@pytest.mark.kpi("flops", "<= 10G")
@pytest.mark.kpi("energy_per_1k", "<= 100 Wh")
def test_costs(): ...
"""


def test_costs_are_not_applicable(pytester: pytest.Pytester) -> None:
    """None of them is a pass, and each says why."""
    pytester.makeconftest(FAKES)
    pytester.makepyfile(test_sla=SUITE)
    with served(InferenceServer(lambda rows: np.eye(10, dtype=np.float32)[rows[:, 0].astype(int) % 10], 1)) as place:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=kserve://{place}/digits", "--modelbench-json=report.json",
            "--modelbench-budget=2", "-p", "no:cacheprovider",
        )  # fmt: skip
    gates = {gate["kpi"]: gate for gate in read_report(pytester)["gates"]}
    assert {name: gate["verdict"] for name, gate in gates.items()} == dict.fromkeys(
        ("peak_memory", "hardware_tier", "cold_start", "flops", "energy_per_1k"), "not_applicable"
    ), str(finished.stdout)
    assert "runs at kserve://" in str(gates["peak_memory"])
    assert "runs at kserve://" in str(gates["energy_per_1k"])
