"""`regression`: against the student that ships today, and against an earlier report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suites import Judge

PREVIOUS = """
@pytest.fixture(scope="session")
def previous_model():
    return student(outputs=answers({wrong}), cost_ns={cost}, parameters=8_000, size_bytes=40_000)
"""
SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "regression <= 5%")
@pytest.mark.kpi("top1_accuracy", "regression <= 1%")
@pytest.mark.kpi("parameters", "regression <= 30%")
@pytest.mark.kpi("agreement", "regression <= 1%")
def test_no_worse(): ...
"""
SLOWER = "STUDENT = student(cost_ns=4.6e5)\n"
ALONE = """
@pytest.fixture(scope="session")
def teacher_model():
    raise RuntimeError("the teacher is not there")
"""


def test_previous_student(judge: Judge) -> None:
    """Timed in the same rounds, paired by sample; its values are the baseline of the report."""
    finished = judge(SUITE, more=PREVIOUS.format(wrong=3, cost=3.9e5))
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert {kpi: gate["verdict"] for kpi, gate in gates.items()} == dict.fromkeys(gates, "pass")
    assert gates["latency_p50"]["limits"][0]["value"] == pytest.approx(4 / 3.9 - 1)
    assert gates["latency_p50"]["readings"]["baseline"]["value"] == pytest.approx(0.39)
    assert gates["top1_accuracy"]["limits"][0]["value"] == pytest.approx((98.5 - 98) / 98.5)
    assert (
        gates["top1_accuracy"]["limits"][0]["ci_high"] > 0.01
    )  # one sample more: the interval says how little that is
    assert gates["top1_accuracy"]["limits"][0]["weak"]
    assert gates["parameters"]["limits"][0]["value"] == pytest.approx(0.25)
    assert gates["agreement"]["limits"][0]["value"] == pytest.approx(0.5 / 99.5)
    assert finished.report["models"]["previous"]["kind"] == "fake"
    assert set(finished.report["models"]["students"]) == {"student"}
    timing = finished.report["timings"][0]
    assert set(timing["minor_faults_per_call"]) == {"student", "previous"}


def test_previous_student_was_better(judge: Judge) -> None:
    """Each regression fails with both values."""
    suite = SUITE.replace('"agreement", "regression <= 1%"', '"agreement", "regression <= 0.5%"')
    finished = judge(suite, more=PREVIOUS.format(wrong=2, cost=3.7e5).replace("8_000", "5_000"))
    assert set(finished.verdicts.values()) == {"fail"}
    finished.result.stdout.fnmatch_lines(
        ["*latency_p50 of student: FAIL: regression <= 5% does not hold: 8.11%*", "*before: *370 µs*"]
    )


def test_without_the_teacher(judge: Judge) -> None:
    """A teacher is not loaded where only the previous student is compared with."""
    suite = SUITE.replace('@pytest.mark.kpi("agreement", "regression <= 1%")\n', "")
    finished = judge(suite, more=PREVIOUS.format(wrong=4, cost=4e5) + ALONE)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text


def test_previous_student_that_fails_to_load(judge: Judge) -> None:
    """An error of the gates that need it, and of no other."""
    suite = SUITE + '\n@pytest.mark.kpi("latency_p90", "<= 1 s")\ndef test_other(): ...\n'
    broken = PREVIOUS.format(wrong=4, cost=4e5).replace("return", 'raise RuntimeError("gone")\n    return')
    finished = judge(suite, more=broken)
    assert finished.verdicts.pop("test_sla.py::test_other:latency_p90") == "pass"
    assert finished.gate("latency_p50")["reason"] == "fixture previous_model raised RuntimeError: gone"
    assert finished.gate("latency_p50")["verdict"] == "error"


def test_previous_by_option_and_file(pytester: pytest.Pytester) -> None:
    """`--modelbench-previous` and `[models] previous`."""
    Path("shop.py").write_text(
        """
import numpy as np
from pytest_modelbench import FakeModel

def small():
    return FakeModel(parameters=10)

def larger():
    return FakeModel(parameters=20)

def data():
    return np.zeros((4, 1)), np.zeros(4)
"""
    )
    limits = '[data]\neval = "shop:data"\n[kpi]\nparameters = "regression <= 5%"\n'
    Path("modelbench.toml").write_text('[models]\nstudent = "shop:larger"\nprevious = "shop:small"\n' + limits)
    result = pytester.runpytest_inprocess("--modelbench")
    result.stdout.fnmatch_lines(["*regression <= 5% does not hold: 100%*"])
    assert result.ret == 1
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-previous=shop:larger")
    assert result.ret == 0
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-previous=shop:lager")
    result.stderr.fnmatch_lines(["*--modelbench-previous: *lager*"])
    assert result.ret == 4


def saved(judge: Judge, *arguments: str, suite: str = SUITE, **more: Any) -> dict[str, Any]:
    finished = judge(suite, "--modelbench-save-baseline=before.json", *arguments, **more)
    assert "baseline: before.json" in finished.text
    return dict(json.loads(Path("before.json").read_text()))


@pytest.mark.parametrize("reference", ["teacher", "workload"])
def test_baseline(judge: Judge, reference: str) -> None:
    """Unchanged code passes and slower code fails, by the ratio to the teacher or to the reference workload."""
    before = saved(judge, f"--modelbench-reference={reference}")
    timed = next(gate for gate in before["gates"] if gate["kpi"] == "latency_p50")
    assert timed["reference"]["kind"] == reference
    assert timed["verdict"] == "no_baseline"
    finished = judge(SUITE, "--modelbench-baseline=before.json")
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    assert finished.report["baseline"]["path"].endswith("before.json")
    assert finished.report["baseline"]["environment"]["processor"] == before["environment"]["processor"]
    assert finished.gate("latency_p50")["reference"]["kind"] == reference
    finished = judge(SUITE, "--modelbench-baseline=before.json", more=SLOWER)
    assert finished.gate("latency_p50")["verdict"] == "fail"
    assert finished.gate("latency_p50")["limits"][0]["value"] == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("reference", ["teacher", "workload"])
def test_slower_machine(judge: Judge, reference: str) -> None:
    """Every timing takes 1.7 times as long: no false alarm, and a student that got slower is still found."""
    slow = """
class SlowClock(FakeClock):
    def advance(self, duration_ns):
        super().advance(1.7 * duration_ns)

CLOCK = SlowClock()
COSTS = np.tile([1.0, 1.01, 1.02, 1.03, 1.04], 20) + np.eye(100)[:3].sum(0)
TEACHER, STUDENT = teacher(cost_ns=1e6 * COSTS), student(cost_ns={changed} * COSTS)
"""
    suite = """
    import pytest

    @pytest.mark.kpi("latency_p50", "regression <= 5%")
    @pytest.mark.kpi("latency_p99", "regression <= 5%")
    @pytest.mark.kpi("latency_mean", "regression <= 5%")
    @pytest.mark.kpi("throughput", "regression <= 5%", batch_size=8)
    def test_no_worse(): ...
    """
    saved(
        judge, f"--modelbench-reference={reference}", suite=suite, more=slow.format(changed=4e5).replace("1.7", "1")
    )
    finished = judge(suite, "--modelbench-baseline=before.json", more=slow.format(changed=4e5))
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    assert finished.gate("latency_p50")["readings"]["student"]["value"] == pytest.approx(0.6936)
    assert finished.gate("latency_p50")["readings"]["baseline"]["value"] == pytest.approx(0.408)
    finished = judge(suite, "--modelbench-baseline=before.json", more=slow.format(changed=4.5e5))
    assert set(finished.verdicts.values()) == {"fail"}, finished.text


def test_every_gate_at_once(judge: Judge) -> None:
    """`--modelbench-fail-on-regression` is a limit of every gate without one, beside the gate's own limits."""
    suite = """
    import pytest

    @pytest.mark.kpi("latency_p50", "<= 1 s")
    @pytest.mark.kpi("top1_accuracy")
    @pytest.mark.kpi("nonfinite_outputs", "== 0")
    @pytest.mark.kpi("parameters", "regression <= 300%")
    @pytest.mark.kpi("mcnemar_p")
    def test_all(): ...
    """
    saved(judge, suite=suite)
    worse = "STUDENT = student(outputs=answers(20, nan_class=None), parameters=20_000, cost_ns=5e5)\n"
    run = ("--modelbench-baseline=before.json", "--modelbench-fail-on-regression=5%")
    assert set(judge(suite, *run).verdicts.values()) == {"pass", "reported"}
    finished = judge(suite, *run, more=worse)
    limits = {
        gate["kpi"]: {one["text"]: one["verdict"] for one in gate["limits"]} for gate in finished.report["gates"]
    }
    assert limits == {
        "latency_p50": {"<= 1 s": "pass", "regression <= 5%": "fail"},
        "top1_accuracy": {"regression <= 5%": "fail"},
        "nonfinite_outputs": {"== 0": "pass", "regression <= 5%": "pass"},
        "parameters": {"regression <= 300%": "pass"},
        "mcnemar_p": {},
    }
    finished = judge(suite, *run, more="STUDENT = student(outputs=answers(4, nan_class=3))\n")
    assert finished.gate("nonfinite_outputs")["limits"][1]["verdict"] == "fail"  # from none to some


def test_own_values(judge: Judge) -> None:
    """What a test records: the previous value beside the student's, or that of an earlier report."""
    suite = """
    import pytest

    @pytest.mark.kpi("clicks", "regression <= 5%", better="higher", unit="")
    def test_clicks(kpi):
        kpi.record(student=95, previous={previous})
    """
    gate = judge(suite.format(previous=96)).gate("clicks")
    assert gate["verdict"] == "pass"
    assert gate["limits"][0]["value"] == pytest.approx(1 / 96)
    assert judge(suite.format(previous=101)).gate("clicks")["verdict"] == "fail"
    saved(judge, suite=suite.format(previous=None))
    worse = suite.replace("95", "90").format(previous=None)
    assert judge(worse, "--modelbench-baseline=before.json").gate("clicks")["verdict"] == "fail"


NEW_SAMPLES = """
@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS[:100], TARGETS[:100])
"""
PARTIAL = """{"schema_version": "1", "gates": [{"kpi": "parameters", "student": "student", "nodeid": "", "options": {},
"verdict": "pass", "reason": "", "readings": {"student": {"value": 1}}}]}"""


@pytest.mark.parametrize(
    ("change", "more", "kpi", "words"),
    [
        (
            lambda gate: gate.update(student="int8"),
            "",
            "parameters",
            "has parameters of 'int8', and not of 'student'",
        ),
        (lambda gate: gate.update(kpi="sparsity"), "", "parameters", "before.json has no gate on parameters"),
        (
            lambda gate: gate.update(options={"batch_size": 8}),
            "",
            "latency_p50",
            "has latency_p50 of student with other options: batch_size was 8 and is 1",
        ),
        (
            lambda gate: gate.update(verdict="error", reason="it was killed", readings={"student": None}),
            "",
            "parameters",
            "has no value (error: it was killed)",
        ),
        (
            lambda gate: gate.update(reference=None),
            "",
            "latency_p50",
            "measured no teacher and no reference workload beside it, and a bare ms of another session is not comparable",
        ),
        (
            lambda gate: gate.get("reference") and gate["reference"].update(hash="torch:1"),
            "",
            "latency_p50",
            "has it relative to another teacher (torch:1, and here fake:",
        ),
        (lambda _: None, NEW_SAMPLES, "top1_accuracy", "has it for other samples ("),
    ],
    ids=["student", "kpi", "options", "no value", "no reference", "teacher", "samples"],
)
def test_no_baseline(judge: Judge, change: Any, more: str, kpi: str, words: str) -> None:
    """A gate that the report does not know passes and says so; with --modelbench-strict it fails."""
    report = saved(judge)
    for gate in report["gates"]:
        if gate["kpi"] == kpi:
            change(gate)
    Path("before.json").write_text(json.dumps(report))
    finished = judge(SUITE, "--modelbench-baseline=before.json", more=more)
    gate = finished.gate(kpi)
    assert gate["verdict"] == "no_baseline", gate
    assert words in gate["reason"]
    assert words.partition("(")[0].strip() in " ".join(finished.text.split())
    strict = judge(SUITE, "--modelbench-baseline=before.json", "--modelbench-strict", more=more)
    assert strict.result.ret == 1


def test_what_does_not_depend_on_the_samples(judge: Judge) -> None:
    """Size is compared although the test set was refreshed."""
    saved(judge)
    more = NEW_SAMPLES + "STUDENT = student(parameters=20_000)\n"
    assert judge(SUITE, "--modelbench-baseline=before.json", more=more).gate("parameters")["verdict"] == "fail"


def test_tiers_have_no_regression(judge: Judge) -> None:
    """A limit for every gate is left out where it cannot be judged."""
    suite = "import pytest\n\n@pytest.mark.kpi('hardware_tier', '<= T4')\ndef test_tier(): ...\n"
    finished = judge(suite, "--modelbench-fail-on-regression=5%", "--collect-only")
    assert finished.result.ret == 0, finished.text


def test_two_students_of_one_name(judge: Judge) -> None:
    """A baseline in which they have other values cannot say which one is meant."""
    report = saved(judge)
    gate = next(gate for gate in report["gates"] if gate["kpi"] == "parameters")
    other = json.loads(json.dumps(gate))
    other["readings"]["student"]["value"] = 1.0
    for one, nodeid in ((gate, "a/test_a.py::test"), (other, "b/test_b.py::test")):
        one["nodeid"] = nodeid
    Path("before.json").write_text(json.dumps({**report, "gates": [*report["gates"], other]}))
    gate = judge(SUITE, "--modelbench-baseline=before.json").gate("parameters")
    assert gate["verdict"] == "no_baseline"
    assert "has several students 'student' with parameters: a/test_a.py::test, b/test_b.py::test" in gate["reason"]


def test_an_inconclusive_baseline_counts_by_its_interval(judge: Judge) -> None:
    """What was not known then is not known now."""
    report = saved(judge)
    gate = next(gate for gate in report["gates"] if gate["kpi"] == "latency_p50")
    gate["verdict"] = "inconclusive"
    gate["reference"].update(ci_low=0.3, ci_high=0.5)
    Path("before.json").write_text(json.dumps(report))
    gate = judge(SUITE, "--modelbench-baseline=before.json", "--modelbench-budget=1").gate("latency_p50")
    assert gate["verdict"] == "inconclusive"
    assert any("it was inconclusive; its interval counts" in note for note in gate["notes"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read * No such file or directory. Write one with --modelbench-save-baseline=PATH"),
        ("", "before.json is empty. Write one with --modelbench-save-baseline=PATH"),
        ('{"schema_version": "1", "gates": [', "is not JSON, or only a part of it: *"),
        ("{}", "is not a report of pytest-modelbench: it has no schema_version*"),
        (
            PARTIAL,
            "is not a report of pytest-modelbench: its gates cannot be *",
        ),
        (
            '{"schema_version": "2"}',
            "has schema_version '2', and this version of pytest-modelbench reads '1'. Update *",
        ),
        (
            '{"schema_version": "1", "gates": [{"kpi": 1}]}',
            "is not a report of pytest-modelbench: its gates cannot be *",
        ),
        (
            '{"schema_version": "1", "gates": []}',
            "before.json has none of the KPIs whose regression is judged here (*): it is another project's. *",
        ),
    ],
    ids=["missing", "empty", "half", "other", "reading", "newer", "gates", "project"],
)
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "workers"])
def test_a_file_that_is_no_baseline(judge: Judge, content: str | None, words: str, workers: tuple[str, ...]) -> None:
    """A mistake, told before anything runs."""
    if content is not None:
        Path("before.json").write_text(content)
    finished = judge(SUITE, "--modelbench-baseline=before.json", *workers)
    assert finished.result.ret == 4
    lines = finished.result.stdout if workers else finished.result.stderr
    lines.fnmatch_lines([f"ERROR: --modelbench-baseline: *{words}"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--modelbench-save-baseline=tests", "found 'tests', expected a path that ends in .json*"),
        ("--modelbench-fail-on-regression=5 ms", "found '5 ms', expected a percentage, such as 5%"),
        ("--modelbench-reference=clock", "found 'clock', expected one of teacher, workload"),
    ],
)
def test_mistaken_options(judge: Judge, option: str, words: str) -> None:
    """Told with what was expected."""
    finished = judge(SUITE, option)
    assert finished.result.ret == 4
    finished.result.stderr.fnmatch_lines([f"ERROR: {option.partition('=')[0]}: {words}"])


def test_a_baseline_is_measured_until_it_is_worth_comparing_with(judge: Judge) -> None:
    """Its interval would be part of every later one: until it is narrow, or the budget has ended."""
    noisy = "STUDENT = student(cost_ns=4e5 * np.random.default_rng(0).normal(1, 0.2, 5000).clip(0.5))\n"
    suite = """
    import pytest

    @pytest.mark.kpi("latency_mean", "<= 1 s", "regression <= 4%")
    def test_mean(): ...
    """
    long = saved(judge, suite=suite, more=noisy)
    reference = long["gates"][0]["reference"]
    assert reference["ci_high"] - reference["ci_low"] < 0.02 * reference["ratio"]
    (short,) = judge(suite, more=noisy).report["timings"]
    assert short["placements"] < long["timings"][0]["placements"]


def test_default_name(judge: Judge) -> None:
    """`--modelbench-save-baseline` alone."""
    judge(SUITE, "--modelbench-save-baseline")
    assert json.loads(Path("modelbench-baseline.json").read_text())["complete"]


def test_workers(judge: Judge) -> None:
    """A baseline written and judged under xdist."""
    saved(judge, "-n", "2", process=True)
    finished = judge(SUITE, "--modelbench-baseline=before.json", "-n", "2", process=True)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == dict.fromkeys(["latency_p50", "top1_accuracy", "parameters", "agreement"], "pass"), (
        finished.text
    )
    assert finished.report["data"]
