"""processes=N and the best batch size, through pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import Judge

pytestmark = pytest.mark.slow

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 1 s", "ratio <= 2", processes=3)
@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_p50(): ...

@pytest.mark.kpi("latency_mean", "<= 1 s", processes=3)
def test_mean(): ...
"""
BUILT = """
import os
def pytest_sessionfinish():
    with open(ROOT / "built", "a") as file:
        file.write(f"{os.getpid()} {STUDENT.calls}\\n")
from pathlib import Path
ROOT = Path(__file__).parent
"""


def test_comparison_is_repeated_in_fresh_processes(judge: Judge) -> None:
    """Both gates share three of them; the rest of the item is judged once, here."""
    finished = judge(SUITE, more=BUILT)
    assert finished.result.ret == 0, finished.text
    (timing,) = finished.report["timings"]
    assert timing["processes"] == 3
    assert set(timing["spread_of_log_ratio"]) == {"process", "placement", "round"}
    assert "over 3 processes" in finished.gate("latency_mean")["readings"]["student"]["method"]
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 1
    built = Path("built").read_text(encoding="utf-8").splitlines()
    assert len({line.split()[0] for line in built}) == 4  # three processes and this one
    assert all(int(line.split()[1]) > 0 for line in built)


def test_child_that_fails_says_why(judge: Judge) -> None:
    """A factory that works here and not in a fresh process: an error with its reason, and the other gates stand."""
    finished = judge(
        SUITE,
        more="""
import sys
@pytest.fixture(scope="session")
def student_model():
    if any("modelbench-child" in argument for argument in sys.argv):
        raise OSError("no such bucket")
    return STUDENT
""",
    )
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert {kpi: gate["verdict"] for kpi, gate in gates.items()} == {
        "latency_p50": "error",
        "top1_accuracy": "pass",
        "latency_mean": "error",
    }
    assert "ended with exit code 1, without a measurement" in gates["latency_p50"]["reason"]
    assert "no such bucket" in gates["latency_p50"]["reason"]


def test_child_with_another_model_is_refused(judge: Judge) -> None:
    """What a fixture builds must not depend on the process: a verdict on another model would be nobody's."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("latency_p50", "<= 1 s", processes=3)
        def test_p50(): ...
        """,
        fakes="""
import os, pytest, torch
@pytest.fixture(scope="session")
def student_model(): torch.manual_seed(os.getpid()); return torch.nn.Linear(4, 3)
@pytest.fixture(scope="session")
def eval_data(): return torch.randn(8, 4), torch.zeros(8, dtype=torch.long)
""",
    )
    assert finished.gate("latency_p50")["verdict"] == "error"
    assert "in a fresh process the student is another model" in finished.gate("latency_p50")["reason"]


def test_body_runs_once_and_may_read_every_gate(judge: Judge) -> None:
    """Processes only measure; what the test does beside that happens here, and once."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("latency_p50", "<= 1 s", processes=2)
        @pytest.mark.kpi("clicks", "drop <= 1%", better="higher", unit="")
        @pytest.mark.kpi("top1_accuracy", ">= 50%")
        def test_all(kpi):
            with open("ran", "a") as file:
                file.write("once ")
            kpi.record(teacher=100, student=100)
            assert kpi["top1_accuracy"].student.value > 50
            assert kpi["latency_p50"].student.value < 1000
        """
    )
    assert finished.result.ret == 0, finished.text
    assert Path("ran").read_text(encoding="utf-8") == "once "


def test_works_with_workers_and_addopts(judge: Judge) -> None:
    """Children take neither the workers nor the addopts of the run."""
    finished = judge(SUITE, "-n", "2", "-o", "addopts=--strict-markers -x", more=BUILT, process=True)
    assert finished.result.ret == 0, finished.text
    assert len(finished.report["timings"]) == 1


def test_throughput_is_the_best_of_a_sweep(judge: Judge) -> None:
    """The curve of each model is in the report, and each is measured at its own best size."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("throughput", ">= 1 qps", "ratio >= 1.1")
        def test_throughput(): ...

        @pytest.mark.kpi("latency_per_sample", "<= 1 s", "reduction >= 10%")
        def test_per_sample(): ...

        @pytest.mark.kpi("throughput", ">= 1 qps", batch_size=4)
        def test_pinned(): ...
        """,
        more="""
class Knee(FakeModel):
    knee = 16
    def bind(self, inputs):
        call = super().bind(inputs)
        def costed():
            self.clock.advance(1e4 * (len(inputs) if len(inputs) <= self.knee else 60 * len(inputs)))
            return call()
        return costed

class Early(Knee):
    knee = 8

@pytest.fixture(scope="session")
def teacher_model():
    return Early(outputs=answers(2), cost_ns=4e6, clock=CLOCK)

@pytest.fixture(scope="session")
def student_model():
    return Knee(outputs=answers(4), cost_ns=1e6, clock=CLOCK)
""",
    )
    assert finished.result.ret == 0, finished.text
    swept = next(timing for timing in finished.report["timings"] if timing["sweep"])
    pinned = next(timing for timing in finished.report["timings"] if not timing["sweep"])
    assert len(finished.report["timings"]) == 2
    assert swept["batch_sizes"] == {"student": 16, "teacher": 8}
    assert [point["batch_size"] for point in swept["sweep"]["student"]["curve"]] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert pinned["batch_sizes"] == {"student": 4}
    found = next(gate for gate in finished.report["gates"] if "test_throughput" in gate["nodeid"])
    assert round(found["readings"]["student"]["value"]) == round(16 / (1e-3 + 16e-5))
    assert round(found["readings"]["teacher"]["value"]) == round(8 / (4e-3 + 8e-5))
    assert round(found["limits"][1]["value"], 3) == round(16 / 1.16 / (8 / 4.08), 3)
    per_sample = finished.gate("latency_per_sample")
    assert round(per_sample["readings"]["student"]["value"], 4) == round(1.16 / 16, 4)
    assert round(per_sample["limits"][1]["value"], 3) == round(1 - (1.16 / 16) / (4.08 / 8), 3)


def test_model_too_slow_for_its_percentile_is_told_early(judge: Judge) -> None:
    """The measurement does not use up its budget for what it cannot prove; the median that shares it is judged."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("latency_p99", "<= 5 s")
        @pytest.mark.kpi("latency_p50", "<= 5 s")
        def test_slow(): ...
        """,
        more="""
@pytest.fixture(scope="session")
def student_model():
    return student(cost_ns=1.5e9)
""",
    )
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {"latency_p99": "inconclusive", "latency_p50": "pass"}
    reason = finished.gate("latency_p99")["reason"]
    assert "latency_p99 needs 546 independent calls for an upper bound" in reason
    assert "they take at least 552 s, and the budget is 60 s: give --modelbench-budget=1104" in reason
    assert finished.report["timings"][0]["budget_exhausted"] is False
