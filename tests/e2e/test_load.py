"""KPIs under load in real pytest runs: markers and modelbench.toml, the report, the terminal, the plan."""

from __future__ import annotations

import pytest
from suites import Judge

SUITE = """
import pytest

@pytest.mark.kpi("response_p99", "<= 20 ms", "reduction >= 20%", rate="200/s")
def test_response(): ...

@pytest.mark.kpi("goodput", ">= 99%", rate="200/s", within="20 ms")
def test_goodput(): ...

@pytest.mark.kpi("max_qps", ">= 400/s", within="p99 <= 20 ms")
def test_capacity(): ...
"""
FACTS = {
    "requests",
    "offered_per_s",
    "achieved_per_s",
    "utilisation",
    "late_p50_ms",
    "late_p99_ms",
    "late_max_ms",
    "backlog_most",
    "backlog_end",
    "errors",
    "mean_batch",
    "seed",
}


def test_gates_pass_and_the_report_tells_the_load(judge: Judge) -> None:
    """Offered and achieved rate, utilisation, lateness, backlog, errors, batches and seed are in the breakdown."""
    finished = judge(SUITE)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    gate = finished.gate("response_p99")
    assert [row["name"] for row in gate["breakdown"]] == ["student", "teacher"]
    for row in gate["breakdown"]:
        assert set(row) >= FACTS
        assert row["offered_per_s"] == 200.0
        assert row["achieved_per_s"] == pytest.approx(200.0, rel=0.02)
    assert gate["breakdown"][0]["utilisation"] == pytest.approx(0.08, rel=0.02)
    assert "poisson arrivals at 200/s" in gate["readings"]["student"]["method"]
    assert gate["options"]["rate"] == "200/s"
    assert set(gate["load"]["responses_ms"]) == {"student", "teacher"}
    assert len(gate["load"]["backlog"]["seconds"]) == 200
    capacity = finished.gate("max_qps")
    assert (capacity["load"]["rate"], set(capacity["load"]["services_ms"])) == (400.0, {"student"})
    assert "under load" not in finished.text  # nothing failed


def test_the_terminal_tells_the_rate_and_why_a_gate_failed(judge: Judge, pytester: pytest.Pytester) -> None:
    """The row names the rate, and the cause names the capacity."""
    tests = SUITE.replace("200/s", "2000/s")
    finished = judge(tests, "--modelbench-html=report.html", more="STUDENT = student(cost_ns=1e6)")
    assert "response_p99 at 2000/s" in finished.text
    assert finished.gate("response_p99")["verdict"] == "fail"
    assert "it can serve about 1e+03/s" not in finished.text
    assert "it can serve about 1,000/s, and 2,000/s were offered" in finished.text
    assert "  load:    student: answered 1,000/s of 2,000/s, 100% busy" in finished.text
    table = " ".join(finished.text.partition("under load (")[2].split())
    assert "Load Offered Answered Busy Call Response Late Backlog" in table
    assert "goodput at 2000/s of student student 2,000/s 1,000/s 100% 1 ms" in table
    assert "next: it can serve about 1,000/s" in table
    assert "no end" in finished.text
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert "Backlog over time at 2,000/s" in page


def test_a_file_says_the_same(judge: Judge, pytester: pytest.Pytester) -> None:
    """In modelbench.toml the options stand beside the limits; a trace is a path from the folder of the run."""
    (pytester.path / "trace.txt").write_text("\n".join(str(number * number / 100) for number in range(50)))
    (pytester.path / "modelbench.toml").write_text(
        '[kpi.response_p95]\nlimits = "<= 20 ms"\nrate = "100/s"\narrivals = "trace.txt"\nmax_batch = 4\n'
        'max_wait = "1 ms"\n'
    )
    finished = judge("")
    assert finished.gate("response_p95")["verdict"] == "pass", finished.text


def test_the_plan_states_the_load(judge: Judge) -> None:
    """It is a measurement of its own, named with its KPIs."""
    finished = judge(SUITE, "--modelbench-plan")
    assert "load     student and teacher: response_p99, goodput" in finished.text
    assert "too slow" not in finished.text


def test_the_plan_says_what_a_budget_cannot_decide(judge: Judge) -> None:
    """A percentile needs so many requests, whatever the model does with them."""
    slow = judge(SUITE.replace('rate="200/s"', 'rate="2/s"'), "--modelbench-plan")
    assert "an upper bound on response_p99 needs 299 requests of each model, at 2/s at least 299 s" in slow.text
    assert "--modelbench-budget=598" in slow.text


REGRESSION = """
import pytest

@pytest.mark.kpi("response_p95", "regression <= 20%", rate="200/s")
def test_response(): ...

@pytest.mark.kpi("max_qps", "regression <= 20%", within="p99 <= 20 ms")
def test_capacity(): ...
"""
PREVIOUS = """
@pytest.fixture(scope="session")
def previous_model():
    return student(cost_ns={})
"""


@pytest.mark.parametrize(("cost_ns", "verdict"), [("2e5", "fail"), ("8e5", "pass")])
def test_the_previous_student_is_compared(judge: Judge, cost_ns: str, verdict: str) -> None:
    """It answers the same schedule; a student of twice its time has regressed, one of half has not."""
    finished = judge(REGRESSION, more=PREVIOUS.format(cost_ns))
    gate = finished.gate("response_p95")
    assert gate["verdict"] == verdict, finished.text
    assert 1.0 <= gate["readings"]["baseline"]["value"] / (float(cost_ns) / 1e6) < 2.0
    capacity = finished.gate("max_qps")
    assert capacity["verdict"] == verdict, finished.text
    assert capacity["readings"]["baseline"]["value"] > 900


def test_a_contract_holds_the_teachers_responses(judge: Judge) -> None:
    """Recorded once, they are compared with where the teacher is not there."""
    suite = SUITE.replace('"reduction >= 20%"', '"difference <= 1 ms"')
    recorded = judge(suite, "--modelbench-record-contract=teacher.mbc")
    assert recorded.result.ret == pytest.ExitCode.OK, recorded.text
    finished = judge(suite, "--modelbench-contract=teacher.mbc")
    gate = finished.gate("response_p99")
    assert gate["readings"]["teacher"]["value"] == pytest.approx(2.42, rel=0.1), finished.text
    assert gate["verdict"] == "pass", finished.text


@pytest.mark.slow
def test_workers_share_a_load(judge: Judge) -> None:
    """Two tests in two workers tell of one measurement."""
    parallel = judge(SUITE, "-n", "2", process=True)
    assert set(parallel.verdicts.values()) == {"pass"}, parallel.text
    first, second = parallel.gate("response_p99"), parallel.gate("goodput")
    assert first["breakdown"][0]["requests"] == second["breakdown"][0]["requests"]
