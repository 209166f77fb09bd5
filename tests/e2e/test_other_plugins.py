"""Beside other plugins: random order, timeouts, repeats, reruns."""

from __future__ import annotations

import pytest
from suites import Judge

pytestmark = pytest.mark.slow

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_accuracy(): ...

@pytest.mark.kpi("latency_p50", "<= 5 ms", "reduction >= 50%")
def test_p50(): ...

@pytest.mark.kpi("latency_mean", "<= 5 ms")
def test_mean(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
def test_size(): ...
"""


def test_random_order(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes first takes the shared measurement; every gate has its verdict."""
    monkeypatch.delenv("PYTEST_ADDOPTS")
    orders = set()
    for seed in ("1", "2", "3"):
        finished = judge(SUITE, f"--randomly-seed={seed}", process=True)
        assert finished.result.ret == 0, finished.text
        assert len(finished.report["timings"]) == 1
        orders.add(tuple(test["nodeid"] for test in finished.report["tests"]))
    assert len(orders) > 1


def test_repeated_items_share_what_was_measured(judge: Judge) -> None:
    """Each repeat is an item with its own gate, and reads the one measurement."""
    finished = judge(SUITE, "--count=3", process=True)
    assert finished.result.ret == 0, finished.text
    assert len(finished.report["gates"]) == 12
    assert len(finished.report["timings"]) == 1
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 1


def test_timeout_that_leaves_room(judge: Judge) -> None:
    """A timeout beyond the budget is none of our business, and untimed gates may have any."""
    finished = judge(SUITE, "--timeout=61", process=True)
    assert finished.result.ret == 0, finished.text
    finished = judge(SUITE, "--timeout=5", "-k", "size or accuracy", process=True)
    assert finished.result.ret == 0, finished.text


@pytest.mark.parametrize(
    ("arguments", "given"),
    [(("--timeout=30",), "30"), (("-o", "timeout=60"), "60"), (("--timeout=100", "--modelbench-budget=200"), "100")],
    ids=["option", "ini", "longer budget"],
)
def test_timeout_shorter_than_the_budget_is_a_mistake(judge: Judge, arguments: tuple[str, ...], given: str) -> None:
    """It would end the measurement without a verdict; told at collection, with what to write."""
    finished = judge(SUITE, *arguments, process=True)
    assert finished.result.ret == 4
    budget = "200" if "200" in arguments[-1] else "60"
    assert (
        f"pytest-timeout stops this test after {given} s, and its timed measurements may take {budget} s. "
        f"Write @pytest.mark.timeout({2 * int(budget)}), or --modelbench-budget={int(given) / 2:g}"
    ) in finished.text


def test_timeout_shorter_than_the_rounds_of_energy(judge: Judge) -> None:
    """They are taken whatever the budget is, three of them for two models and the idle machine."""
    suite = 'import pytest\n@pytest.mark.kpi("energy_per_1k", "ratio <= 1")\ndef test_energy(): ...\n'
    arguments = ("--timeout=30", "--modelbench-budget=10", "--modelbench-energy-window=5", "--collect-only")
    finished = judge(suite, *arguments, process=True)
    assert finished.result.ret == 4
    assert "stops this test after 30 s, and its timed measurements may take 40 s" in finished.text


def test_each_load_takes_a_budget(judge: Judge) -> None:
    """Two rates are two measurements; a percentile and a share at one rate are one."""
    gates = [("response_p99", "100/s", ""), ("goodput", "100/s", ', within="9 ms"'), ("response_p99", "200/s", "")]
    marks = "\n".join(
        f'    @pytest.mark.kpi("{name}", rate="{rate}"{more})\n    def test_{number}(self): ...'
        for number, (name, rate, more) in enumerate(gates)
    )
    whole = "import pytest\n" + "".join(
        f'@pytest.mark.kpi("{name}", rate="{rate}"{more})\n' for name, rate, more in gates[1:]
    )
    arguments = ("--timeout=30", "--modelbench-budget=20", "--collect-only")
    finished = judge(f"{whole}def test_both(): ...\n", *arguments, process=True)
    assert finished.result.ret == 4
    assert "its timed measurements may take 40 s" in finished.text
    finished = judge(f"import pytest\nclass TestLoads:\n{marks}\n", "--timeout=21", *arguments[1:], process=True)
    assert finished.result.ret == 0, finished.text


def test_timeout_marker_is_the_closest(judge: Judge) -> None:
    """A marker beats the command line, in both directions; 0 is no timeout."""
    marked = SUITE.replace("def test_p50", "@pytest.mark.timeout(0)\ndef test_p50").replace(
        "def test_mean", "@pytest.mark.timeout(300)\ndef test_mean"
    )
    assert judge(marked, "--timeout=10", process=True).result.ret == 0
    finished = judge(SUITE.replace("def test_p50", "@pytest.mark.timeout(9)\ndef test_p50"), process=True)
    assert finished.result.ret == 4
    assert "pytest-timeout stops this test after 9 s" in finished.text


def test_timeout_that_strikes_is_an_ordinary_failure(judge: Judge) -> None:
    """A body that hangs: its gate is not run, the others are judged, the report is whole."""
    hanging = (
        SUITE
        + "\n@pytest.mark.kpi('sparsity')\n@pytest.mark.timeout(1)\ndef test_hangs():\n    import time; time.sleep(60)\n"
    )
    finished = judge(hanging, process=True)
    assert finished.result.ret == 1
    assert finished.report["complete"] is True
    assert finished.gate("sparsity")["verdict"] == "not_run"


def test_rerun_failures_does_not_measure_again(judge: Judge) -> None:
    """A verdict that failed fails again without a second measurement."""
    finished = judge(SUITE.replace('"reduction >= 50%"', '"reduction >= 90%"'), "--reruns=2", process=True)
    assert finished.result.ret == 1
    assert finished.gate("latency_p50")["verdict"] == "fail"
    assert len(finished.report["timings"]) == 1


def test_empty_storage_of_pytest_benchmark_is_not_left(pytester: pytest.Pytester) -> None:
    """It makes its folder wherever pytest runs; one that is empty and new goes, one that was there stays."""
    pytester.makepyfile("def test_plain(): ...")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert not (pytester.path / ".benchmarks").exists()
    (pytester.path / ".benchmarks").mkdir()
    pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert (pytester.path / ".benchmarks").exists()
