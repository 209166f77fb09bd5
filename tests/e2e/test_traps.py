"""Traps that once gave a wrong verdict, each with the verdict that is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import Finished, Judge, read_report

from pytest_modelbench.data import evaldata

GATE = "import pytest\n@pytest.mark.kpi({})\ndef test_gate(): ...\n"


def texts(finished: Finished) -> str:
    return finished.text.replace("\n", " ")


@pytest.mark.parametrize(
    ("gate", "more", "verdict", "words"),
    [
        (
            "'nonfinite_outputs', '== 0'",
            "TEACHER, STUDENT = (m(outputs=lambda b: np.full((len(b), 3), np.nan)) for m in (teacher, student))",
            "error",
            "compared nothing",
        ),
        (
            "'top1_accuracy', 'drop <= 2 pp'",
            "TEACHER, STUDENT = (make(outputs=lambda b: np.array(['x'] * len(b))) for make in (teacher, student))",
            "error",
            "none of them is among the targets",
        ),
        (
            "'latency_p50', '<= 40 ms'",
            "STUDENT = student(cost_ns=lambda: 3e7 if next(TURN) % 10 == 0 else 2.3e8)\nTURN = itertools.count()",
            "fail",
            "<= 40 ms does not hold: 230 ms",
        ),
        (
            "'throughput', '<= 0.1 qps', batch_size=1, allow_reversed=True",
            "COSTS = np.random.default_rng(0)\nSTUDENT = student(cost_ns=lambda: COSTS.exponential(2e9))",
            "inconclusive",
            "<= 0.1 qps is inconclusive",
        ),
        (
            "'f1', '>= 50%'",
            "TARGETS = np.eye(10, dtype=int)[TARGETS]\nSTUDENT = student(outputs=lambda b: -np.ones((len(b), 10)))",
            "error",
            "has a single 1: one label per sample, or several?",
        ),
    ],
    ids=["nothing-compared", "labels-of-another-kind", "slow-model-on-one-batch", "rate-from-a-wide-mean", "one-hot"],
)
def test_no_silent_pass(judge: Judge, gate: str, more: str, verdict: str, words: str) -> None:
    """What cannot be judged is an error; what is judged is judged on all of it."""
    finished = judge(GATE.format(gate), more=f"\n{more}\n")
    assert finished.report["gates"][0]["verdict"] == verdict
    assert words in texts(finished)


def test_slow_models_see_every_batch(judge: Judge) -> None:
    """With one call a block the calls still go through the batches, and the report counts those used."""
    finished = judge(
        GATE.format("'latency_p50', '<= 900 ms'"),
        more="""
SEEN = set()
def look(batch):
    SEEN.add(float(batch[0, 0]))
    return batch
STUDENT = student(outputs=look, cost_ns=3e8)

def pytest_unconfigure():
    print("batches seen:", len(SEEN))
""",
    )
    assert finished.report["timings"][0]["distinct_batches"] >= 6
    assert int(finished.text.partition("batches seen: ")[2].split()[0]) >= 6


@pytest.mark.parametrize(
    "teacher_model",
    ["return lambda batch: batch", "pytest.skip('no GPU for it')", "raise OSError('no weights')"],
    ids=["callable", "skips", "raises"],
)
def test_absolute_gate_does_not_need_the_teacher_of_another_gate(judge: Judge, teacher_model: str) -> None:
    """A teacher that cannot be counted, skips or raises changes nothing for a limit on the student alone."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 1k")
        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_absolute(): ...

        @pytest.mark.kpi("latency_p50", "speedup >= 2x")
        def test_relative(): ...
        """,
        more=f'\n@pytest.fixture(scope="session")\ndef teacher_model(): {teacher_model}\n',
    )
    verdicts = {(gate["nodeid"].split("::")[1], gate["kpi"]): gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts["test_absolute", "parameters"] == "fail"
    assert verdicts["test_absolute", "latency_p50"] == "pass"
    assert verdicts["test_relative", "latency_p50"] in {"error", "not_run"}


def test_student_that_writes_into_its_inputs_harms_nobody_else(judge: Judge) -> None:
    """The data are what they were for the student after it."""
    finished = judge(
        GATE.format("'top1_accuracy', '>= 90%'"),
        more="""
def wipe(batch):
    batch[:] = 0
    return np.zeros((len(batch), 10))

@pytest.fixture(scope="session", params=["wipes", "good"])
def student_model(request): return student(outputs=wipe) if request.param == "wipes" else student()
""",
    )
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["error", "pass"]


def test_classes_of_one_name_are_different_models(pytester: pytest.Pytester) -> None:
    """Two folders that each define `class Net` without weights are not taken for one model."""
    for folder, sign in (("right", 1), ("wrong", -1)):
        path = pytester.mkdir(folder)
        path.joinpath("conftest.py").write_text(
            "import pytest, torch\n"
            "class Net(torch.nn.Module):\n"
            f"    def forward(self, x): return {sign} * x\n"
            '@pytest.fixture(scope="session")\n'
            "def student_model(): return Net()\n"
            '@pytest.fixture(scope="session")\n'
            "def eval_data(): return torch.eye(4) * 3, torch.arange(4)\n"
        )
        path.joinpath(f"test_{folder}.py").write_text(GATE.format("'top1_accuracy', '>= 90%'"))
    pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json").assert_outcomes(passed=1, failed=1)
    assert [gate["verdict"] for gate in read_report(pytester)["gates"]] == ["pass", "fail"]


@pytest.mark.parametrize(
    ("gate", "columns"),
    [
        ("'top1_accuracy', 'drop <= 1 pp'", "INPUTS[order], TARGETS[order]"),
        ("'agreement', '>= 1%'", "(INPUTS[order],)"),
    ],
    ids=["targets", "no-targets"],
)
def test_data_that_change_between_passes_are_not_paired(judge: Judge, gate: str, columns: str) -> None:
    """A dataset that shuffles anew for every model pairs nothing, also without targets that would show it."""
    finished = judge(
        GATE.format(gate),
        more="""
class Shuffled:
    passes = 0
    def __iter__(self):
        Shuffled.passes += 1
        order = np.random.default_rng(Shuffled.passes).permutation(ROWS)
        yield COLUMNS

@pytest.fixture(scope="session")
def eval_data(): return Shuffled()
""".replace("COLUMNS", columns),
    )
    assert finished.report["gates"][0]["verdict"] == "error"
    assert "batch 1 of the evaluation data (samples 0 to 199) holds other inputs" in texts(finished)


def test_noise_in_the_data_is_not_the_students(judge: Judge) -> None:
    """A model that is deterministic is not blamed for a dataset that is not."""
    finished = judge(
        GATE.format("'determinism', '== 0'"),
        more="""
class Noisy:
    def __iter__(self):
        yield INPUTS + np.random.default_rng().random(INPUTS.shape) / 4, TARGETS

@pytest.fixture(scope="session")
def eval_data(): return Noisy()
""",
    )
    assert finished.gate("determinism")["verdict"] == "error"
    assert "holds other inputs" in texts(finished)


def test_choice_of_the_target_is_in_the_report(judge: Judge) -> None:
    """A column that is recognised by its name stands among the notes of the data."""
    finished = judge(
        GATE.format("'top1_accuracy', '>= 90%'"),
        more="""
TEACHER, STUDENT = (FakeModel(lambda batch: answers(4)(batch["x"])) for _ in range(2))

@pytest.fixture(scope="session")
def eval_data(): return EvalData({"x": INPUTS, "label": TARGETS})
""",
    )
    assert finished.gate("top1_accuracy")["verdict"] == "pass"
    (notes,) = finished.report["data"].values()
    assert notes["notes"] == ["targets: the column 'label', by its name"]


def test_dataset_that_raises_is_an_error_of_the_data(judge: Judge) -> None:
    """A broken image is told as such, without our frames, and the verdict is error."""
    finished = judge(
        GATE.format("'top1_accuracy', '>= 1%'"),
        more="""
class Broken:
    def __iter__(self):
        yield INPUTS[:5], TARGETS[:5]
        raise OSError("broken image 270.png")

@pytest.fixture(scope="session")
def eval_data(): return Broken()
""",
    )
    assert finished.gate("top1_accuracy")["verdict"] == "error"
    assert "reading the evaluation data raised OSError: broken image 270.png" in texts(finished)
    assert Path(evaldata.__file__).name not in finished.text


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("@pytest.mark.kpi('parameters', '<= 5M')\ndef test_gate(kpi): ...\n@pytest.fixture\ndef kpi(): ...",
         "your fixture kpi overrides"),
        ("@pytest.mark.kpi('top1_accuracy', '>= 0.9')\ndef test_gate(): ...", "Write '>= 90%', or '>= 0.9%' if"),
        ("@pytest.mark.kpi(['f1'], '>= 90%')\ndef test_gate(): ...", "found ['f1']"),
        ("@pytest.mark.kpi('x', '>= 1', better=['lower'], unit='')\ndef test_gate(): ...", "better=['lower'],"),
    ],
)  # fmt: skip
def test_more_mistakes(judge: Judge, tests: str, words: str) -> None:
    """Each is told at collection."""
    finished = judge(f"import pytest\n{tests}\n")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in finished.text
    assert "Traceback" not in finished.text


@pytest.mark.parametrize("flag", [(), ("--modelbench",)], ids=["disabled", "enabled"])
def test_odd_parametrisations_collect(judge: Judge, pytester: pytest.Pytester, flag: tuple[str, ...]) -> None:
    """Keyword arguments, generators of ids, static methods and doctests beside a module marker are no mistakes."""
    finished = judge(
        '''
        """Docs.

        >>> 1 + 1
        2
        """
        import pytest
        pytestmark = pytest.mark.kpi("parameters", "<= 50k")

        @pytest.mark.parametrize(argnames="n", argvalues=[1, 2])
        def test_keywords(n): ...

        @pytest.mark.parametrize("n", [1, 2], ids=(f"n{i}" for i in range(2)))
        def test_generator(n): ...

        class TestStatic:
            @pytest.mark.kpi("size_on_disk", "<= 50 kB")
            @staticmethod
            def test_above(): ...

            @staticmethod
            @pytest.mark.kpi("size_on_disk", "<= 50 kB")
            def test_below(): ...
        ''',
        "--doctest-modules",
        more="""
@pytest.fixture(scope="session", params=[1, 2], ids=(f"s{i}" for i in range(2)))
def student_model(request): return student()
""",
    )
    finished.result.assert_outcomes(passed=13)
    assert {gate["student"] for gate in finished.report["gates"]} == {"s0", "s1"}


def test_students_made_from_another_fixtures_parameters(judge: Judge) -> None:
    """A student that depends on a parametrised fixture is named after its parameter."""
    finished = judge(
        GATE.format("'parameters', '<= 50k'"),
        more="""
@pytest.fixture(scope="session", params=["small", "tiny"])
def width(request): return request.param

@pytest.fixture(scope="session")
def student_model(width): return student()
""",
    )
    assert {gate["student"] for gate in finished.report["gates"]} == {"small", "tiny"}


def test_command_line_and_parametrize_cannot_both_name_the_student(judge: Judge, pytester: pytest.Pytester) -> None:
    """Two sources for one test are a mistake, not a crash."""
    pytester.makepyfile(shop="def load(): ...")
    finished = judge(
        "import pytest\n@pytest.mark.parametrize('student_model', [1], scope='session')\n"
        "@pytest.mark.kpi('parameters', '<= 50k')\ndef test_gate(): ...\n",
        "--modelbench-student=shop.py:load",
    )
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "brings its own student_model by parametrize()" in finished.text


def test_text_that_is_no_unicode_does_not_lose_the_report(judge: Judge) -> None:
    """A file name with a stray byte in an error message is written escaped."""
    finished = judge(
        GATE.format("'nonfinite_outputs', '== 0'"),
        more="\ndef fail(batch): raise OSError('img_\\udc80.png')\nSTUDENT = student(outputs=fail)\n",
    )
    assert finished.gate("nonfinite_outputs")["verdict"] == "error"


@pytest.mark.parametrize("module_marker", ["", "pytestmark = pytest.mark.kpi('parameters', '<= 50k')"])
def test_objects_that_refuse_to_be_looked_into(judge: Judge, module_marker: str) -> None:
    """A test module may hold a proxy that raises on every attribute (flask.request does) without being disturbed."""
    finished = judge(
        f"""
        import pytest
        class Proxy:
            def __getattribute__(self, name): raise RuntimeError("outside of a context")
        request_proxy = Proxy()
        test_proxy = 3
        {module_marker}
        def test_plain(): ...
        """
    )
    finished.result.assert_outcomes(passed=1)


def test_student_that_crashed_is_not_tried_again_without_its_teacher(judge: Judge) -> None:
    """A student that raises once in a shared measurement fails every gate of it, the absolute ones too."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_absolute(): ...

        @pytest.mark.kpi("latency_p90", "reduction >= 50%")
        def test_relative(): ...
        """,
        more="""
tick = itertools.count()
def moody(batch):
    if next(tick) == 1000:
        raise RuntimeError("out of handles")
    return batch
STUDENT = student(outputs=moody)
""",
    )
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["error", "error"]


def test_equal_students_are_timed_until_their_own_limits_are_decided(judge: Judge) -> None:
    """What stopped early for one label's limit does not serve the other label's, though the model is the same."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "<= 500 ms")
        def test_loose(): ...

        @pytest.mark.kpi("latency_p99", "<= 500 ms")
        def test_tight(student_model, request):
            ...
        """,
        "--deselect=test_sla.py::test_tight[one]",
        fakes="""
import pytest, torch
from pytest_modelbench import EvalData
@pytest.fixture(scope="session", params=["one", "same"])
def student_model(request):
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)
@pytest.fixture(scope="session")
def eval_data(): return EvalData(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
""",
    )
    assert finished.result.ret == 0, finished.text
    assert [timing["student"] for timing in finished.report["timings"]] == ["one", "same"]
