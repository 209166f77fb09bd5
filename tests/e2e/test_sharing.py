"""One measurement, many gates; the teacher only where it is needed."""

from __future__ import annotations

import pytest
from suites import Judge

from pytest_modelbench.probes.timing import allocator
from pytest_modelbench.probes.timing import engine as timing
from pytest_modelbench.probes.timing.interference import Counters

COUNTING = """
import pytest

def pytest_unconfigure():
    print(f"calls: teacher {TEACHER.calls}, student {STUDENT.calls}")
"""
TIMED = ("mean", "p50", "p90", "p95")


def latency_gates(count: int) -> str:
    gates = [
        f'@pytest.mark.kpi("latency_{TIMED[i % len(TIMED)]}", "<= {5 + i} ms", "reduction >= {10 + i}%")\n'
        f"def test_{i}(): ...\n"
        for i in range(count)
    ]
    return "import pytest\n" + "\n".join(gates)


def calls(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("calls: ")]
    return line


def test_twenty_latency_gates_cost_one_measurement(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models are called as often for twenty gates as for four, and one measurement is in the report."""
    monkeypatch.setattr(timing, "read_counters", Counters)  # a quiet machine: no round is repeated
    monkeypatch.setattr(allocator, "_steady_since", [True])  # and no first run that also tries the other allocator
    few, many = judge(latency_gates(4), more=COUNTING), judge(latency_gates(20), more=COUNTING)
    assert many.result.ret == 0
    assert len(many.report["gates"]) == 20
    assert len(many.report["timings"]) == 1
    assert calls(many.text) == calls(few.text)


def test_other_batch_size_is_another_measurement(judge: Judge) -> None:
    """Gates at batch size 1 and 8 are measured apart."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_one(): ...
        @pytest.mark.kpi("latency_p50", "<= 5 ms", batch_size=8)
        def test_eight(): ...
        """
    )
    assert [timing["batch_size"] for timing in finished.report["timings"]] == [1, 8]


def test_all_quality_gates_cost_one_forward_pass(judge: Judge) -> None:
    """Ten quality KPIs and the NaN check read the same outputs: 200 rows in one batch of 256, one call a model."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 5 pp")
        @pytest.mark.kpi("top5_accuracy", ">= 90%")
        @pytest.mark.kpi("f1", "drop <= 5 pp")
        @pytest.mark.kpi("precision", ">= 50%")
        @pytest.mark.kpi("recall", ">= 50%")
        @pytest.mark.kpi("balanced_accuracy", ">= 50%")
        @pytest.mark.kpi("roc_auc", ">= 50%")
        @pytest.mark.kpi("log_loss", "<= 5")
        @pytest.mark.kpi("agreement", ">= 50%")
        @pytest.mark.kpi("mcnemar_p")
        def test_quality(): ...

        @pytest.mark.kpi("nonfinite_outputs", "== 0")
        def test_finite(): ...
        """,
        more=COUNTING,
    )
    assert finished.result.ret == 0
    assert calls(finished.text) == "calls: teacher 1, student 1"
    assert finished.report["models"]["teacher"]["forward_passes"] == 1


def test_models_of_equal_content_share_what_was_measured(judge: Judge) -> None:
    """The cache key is the model's content: two torch modules with the same weights cost one pass."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", ">= 0.1%")
        def test_accuracy(): ...
        """,
        fakes="""
import pytest, torch
from pytest_modelbench import EvalData
def build(scale):
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)
@pytest.fixture(scope="session", params=["one", "same"])
def student_model(request): return build(request.param)
@pytest.fixture(scope="session")
def eval_data(): return EvalData(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
""",
    )
    students = finished.report["models"]["students"]
    assert students["one"]["hash"] == students["same"]["hash"]
    assert students["one"]["forward_passes"] + students["same"]["forward_passes"] == 1


def test_teacher_is_not_loaded_for_absolute_limits(judge: Judge) -> None:
    """No limit needs the teacher, so a teacher that cannot be loaded does no harm."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        @pytest.mark.kpi("top1_accuracy", ">= 90%")
        @pytest.mark.kpi("parameters", "<= 50k")
        @pytest.mark.kpi("nonfinite_outputs", "== 0")
        def test_student(): ...
        """,
        more='\n@pytest.fixture(scope="session")\ndef teacher_model(): raise MemoryError("too large")\n',
    )
    assert finished.result.ret == 0
    assert finished.report["models"]["teacher"] is None


def test_teacher_excuses_what_is_its_own(judge: Judge) -> None:
    """NaN where the teacher gives NaN too is not the student's fault."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("nonfinite_outputs", "== 0")
        def test_finite(): ...
        """,
        more="\nTEACHER, STUDENT = (make(outputs=answers(nan_class=3)) for make in (teacher, student))\n",
    )
    assert finished.result.ret == 0
    assert finished.report["models"]["teacher"]["forward_passes"] == 1


def test_budget_ends_a_measurement_that_cannot_decide(judge: Judge) -> None:
    """A limit at the true value is never decided: inconclusive within the budget, with the time it would need."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "ratio <= 1")
        def test_p50(): ...
        """,
        "--modelbench-budget=2",
        more="""
noise = np.random.default_rng(0)
TEACHER, STUDENT = (make(cost_ns=lambda: noise.lognormal(13, 0.1)) for make in (teacher, student))
""",
    )
    assert finished.result.ret == 1
    gate = finished.gate("latency_p50")
    assert gate["verdict"] == "inconclusive"
    assert "smallest effect resolved" in gate["reason"]
    (timing,) = finished.report["timings"]
    assert timing["budget_exhausted"] is True
    assert timing["elapsed_s"] <= 2.5


def test_percentile_without_enough_calls_is_not_proven(judge: Judge) -> None:
    """A model too slow for 299 calls within the budget has no proven p99, and the reason says what it needs."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p99", "<= 900 ms")
        def test_p99(): ...
        """,
        "--modelbench-budget=20",
        more="\nSTUDENT = student(cost_ns=2e8)\n",
    )
    gate = finished.gate("latency_p99")
    assert gate["verdict"] == "inconclusive"
    assert "independent calls for an upper bound" in gate["reason"]


def test_slow_model_is_judged_within_the_default_budget(judge: Judge) -> None:
    """A student of 0.5 s a call against a teacher of 2 s is decided, a few calls each."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "speedup >= 2x")
        def test_p50(): ...
        """,
        more="\nTEACHER, STUDENT = teacher(cost_ns=2e9), student(cost_ns=5e8)\n",
    )
    assert finished.result.ret == 0
    (timing,) = finished.report["timings"]
    assert timing["calls_per_block"] == {"student": 1, "teacher": 1}


def test_model_that_fails_in_the_middle_of_a_measurement(judge: Judge) -> None:
    """A crash at the thousandth call is one error for all gates that shared the measurement."""
    finished = judge(
        latency_gates(3) + '\n@pytest.mark.kpi("parameters", "<= 50k")\ndef test_size(): ...\n',
        more="""
tick = itertools.count()
def moody(batch):
    if next(tick) == 1000:
        raise RuntimeError("out of handles")
    return batch
STUDENT = student(outputs=moody)
""",
    )
    verdicts = [gate["verdict"] for gate in finished.report["gates"]]
    assert verdicts == ["error", "error", "error", "pass"]
    assert finished.text.count("student raised RuntimeError on inputs of shape (1, 1): out of handles") >= 3


def test_models_that_cannot_be_copied_get_a_resolution_floor(judge: Judge) -> None:
    """Placement cannot be varied, so a difference of half a percent stays open and says why."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "ratio <= 1.002")
        def test_p50(): ...
        """,
        "--modelbench-budget=3",
        more="\nTEACHER, STUDENT = (make(cost_ns=1e6, copyable=False) for make in (teacher, student))\n",
    )
    assert finished.gate("latency_p50")["verdict"] == "inconclusive"
    assert finished.report["timings"][0]["placements_copied"] is False
    finished.result.stdout.fnmatch_lines(["*placements that could not be copied*"])
