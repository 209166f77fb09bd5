"""No run is green without a verdict: what was not judged is told in red, and fails under --modelbench-strict."""

from __future__ import annotations

import pytest
from suites import FAKES, Judge

GOOD = "import pytest\n@pytest.mark.kpi('size_on_disk', '<= 1 MB')\ndef test_good(): ...\n"
GATE = "@pytest.mark.kpi('parameters', '<= 50k')\n"
LATE_FIXTURE = """
@pytest.fixture
def late(request): request.applymarker(pytest.mark.kpi('parameters', '<= 1'))
"""
SKIPS = "\n@pytest.fixture(scope='session')\ndef {}(): pytest.skip('no weights')\n"
SITUATIONS = {
    "empty parameters": (
        GATE + "@pytest.mark.parametrize('x', [])\ndef test_gate(x): ...",
        "",
        "got empty parameter",
    ),
    "a mark": (GATE + "@pytest.mark.skip(reason='later')\ndef test_gate(): ...", "", "skipped: later (1)"),
    "the body": (GATE + "def test_gate(): pytest.skip('not today')", "", "skipped: not today (1)"),
    "a fixture": (
        GATE + "def test_gate(weights): ...",
        "\n@pytest.fixture\ndef weights(): pytest.skip('no weights')\n",
        "skipped: no weights (1)",
    ),
    "the data": (
        "@pytest.mark.kpi('top1_accuracy', '>= 5%')\ndef test_gate(): ...",
        SKIPS.format("eval_data"),
        "skipped: no weights (1)",
    ),
    "the previous student": (
        "@pytest.mark.kpi('parameters', 'regression <= 5%')\ndef test_gate(): ...",
        SKIPS.format("previous_model"),
        "fixture previous_model skipped: no weights (1)",
    ),
    "an expected failure": (
        GATE + "@pytest.mark.xfail\ndef test_gate(): raise ValueError('known')",
        "",
        "the test's body raised ValueError (1)",
    ),
    "a class": (
        "class Gates:\n    @pytest.mark.kpi('parameters', '<= 50k')\n    def test_gate(self): ...",
        "",
        "test_sla.py::Gates: pytest does not collect this class",
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_gate_without_a_verdict(judge: Judge, situation: str) -> None:
    """The last lines say how many and why; with --modelbench-strict the run fails although nothing else did."""
    tests, more, words = SITUATIONS[situation]
    finished = judge(GOOD + tests, "--color=yes", more=more)
    assert finished.result.ret == 0, finished.text
    (line,) = [line for line in finished.result.outlines if "NOT RUN: " in line]
    assert words in line
    assert line.startswith("\x1b[31m")
    assert judge(GOOD + tests, "--modelbench-strict", more=more).result.ret == 1


def test_all_gates_judged_is_green_under_strict(judge: Judge) -> None:
    """Strictness asks for verdicts, and for nothing else."""
    finished = judge(GOOD + "def test_plain(): pytest.skip('no gate')\n", "--modelbench-strict")
    assert finished.result.ret == 0
    assert "NOT RUN" not in finished.text


@pytest.mark.parametrize("flag", ["--collect-only", "--setup-plan", "--setup-only", "--fixtures-per-test"])
def test_showing_is_not_judging(judge: Judge, flag: str) -> None:
    """Where pytest is asked to run no test, nothing is missed and no table is printed."""
    finished = judge(GOOD, "--modelbench-strict", flag)
    assert finished.result.ret == 0, finished.text
    assert "NOT RUN" not in finished.text
    assert finished.report == {}


@pytest.mark.parametrize("fixture", ["student_model", "teacher_model", "eval_data"])
def test_pytest_exit_is_no_way_to_green(judge: Judge, fixture: str) -> None:
    """`pytest.exit(returncode=0)` ends the session before its gates; that is a failed one, and not complete."""
    more = f"\n@pytest.fixture(scope='session')\ndef {fixture}(): pytest.exit('bye', returncode=0)\n"
    finished = judge(
        "import pytest\n@pytest.mark.kpi('top1_accuracy', 'drop <= 5 pp')\ndef test_a(): ...\n", more=more
    )
    assert finished.result.ret == 1
    assert finished.report["complete"] is False
    assert "NOT RUN: the session was ended before all tests had their turn" in finished.text


def test_pytest_exit_while_collecting(judge: Judge) -> None:
    """No gate is known by then, and yet it is no green run."""
    finished = judge("import pytest\npytest.exit('bye', returncode=0)\n")
    assert finished.result.ret != 0
    assert finished.report["complete"] is False


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        (GATE + "def gate_size(): ...", "test_sla.py::gate_size: pytest does not collect this function"),
        (
            f"class TestSize:\n    {GATE}    def gate_size(self): ...",
            "test_sla.py::TestSize::gate_size: pytest does not collect this function",
        ),
        (
            f"class TestSize:\n    def __init__(self): ...\n    {GATE}    def test_size(self): ...",
            "test_sla.py::TestSize: pytest collects no class with __init__ or __new__",
        ),
        (
            "@pytest.mark.kpis('parameters', '<= 50k')\ndef test_size(): ...",
            "test_sla.py::test_size: there is no marker 'kpis', so nothing of it is judged. Write 'kpi'",
        ),
    ],
    ids=["function", "method", "class with __init__", "marker"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning", "ignore::pytest.PytestCollectionWarning")
def test_marker_that_pytest_passes_over_is_a_mistake(judge: Judge, tests: str, words: str) -> None:
    """A gate that somebody wrote is judged, or told at collection."""
    finished = judge(GOOD + tests)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in finished.text


@pytest.mark.parametrize(
    "tests",
    [
        GATE + "def _size(): ...\ntest_size = _size",
        GATE + "def _size(): ...\n_size.__test__ = False",
        f"class Sizes:\n    {GATE}    def test_size(self): ...\nclass TestSizes(Sizes): ...",
        "import functools\n" + GATE + "def _size(): ...\n@functools.wraps(_size)\ndef test_size(): ...",
        "from unittest import mock\nlazy = mock.MagicMock()",
    ],
    ids=["another name", "no test", "base class", "wrapped", "mock"],
)
def test_marker_that_is_judged_under_another_name_is_none(judge: Judge, tests: str) -> None:
    """Base classes, wrapped functions and what says that it is no test stay as they are."""
    finished = judge(GOOD + tests, "--modelbench-strict")
    assert finished.result.ret == 0, finished.text


def test_marker_of_the_users_own_is_left_alone(judge: Judge, pytester: pytest.Pytester) -> None:
    """What is registered is no misspelling."""
    pytester.makeini("[pytest]\nmarkers =\n    kpis: mine")
    assert judge(GOOD + "@pytest.mark.kpis\ndef test_mine(): ...\n").result.ret == 0


def test_modelbench_toml_above_the_given_paths_is_told(judge: Judge, pytester: pytest.Pytester) -> None:
    """Only a subfolder is run, and the file in the root folder is not part of it: red, and a failure of strict runs."""
    pytester.makeini("[pytest]")
    pytester.path.joinpath("modelbench.toml").write_text('[kpi]\nparameters = "<= 50k"\n')
    finished = judge(GOOD, "test_sla.py")
    assert finished.result.ret == 0
    assert f"NOT RUN: {pytester.path / 'modelbench.toml'} lies above the given paths" in finished.text
    assert judge(GOOD, "--modelbench-strict", "test_sla.py").result.ret == 1
    assert "lies above" not in judge(GOOD).text


def test_path_that_cannot_be_read_is_pytests_own_error(judge: Judge, pytester: pytest.Pytester) -> None:
    """A link that leads to itself has pytest's line, and no traceback of ours."""
    pytester.path.joinpath("loop.toml").symlink_to("loop.toml")
    finished = judge(GOOD, "loop.toml")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "file or directory not found: loop.toml" in finished.text
    assert "Traceback" not in finished.text
    assert "NOT RUN" not in finished.text


@pytest.mark.parametrize(
    "tests",
    [
        LATE_FIXTURE + "def test_late(late): ...",
        "def test_late(request): request.node.add_marker(pytest.mark.kpi('parameters', '<= 1'))",
        GATE + "def test_late(request): request.node.add_marker(pytest.mark.kpi('parameters', '<= 1'))",
    ],
    ids=["fixture", "body", "second limit"],
)
def test_marker_that_a_test_adds_to_itself_is_refused(judge: Judge, tests: str) -> None:
    """It comes when gates have long been read, so the item fails and says so."""
    finished = judge(GOOD + tests)
    finished.result.assert_outcomes(passed=1, failed=1)
    assert "was added after collection. Write it above the function" in finished.text


def test_dist_each_is_refused(judge: Judge) -> None:
    """Every worker would judge every gate, and the report has one place for it."""
    pytest.importorskip("xdist")
    finished = judge(GOOD, "--dist=each", "--tx=2*popen", process=True)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--dist each: every worker would run every test" in finished.text


def test_worker_tells_what_it_does_not_collect(judge: Judge) -> None:
    """Under -n as without."""
    pytest.importorskip("xdist")
    finished = judge(GOOD + GATE + "def gate_size(): ...", "-n1", process=True)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "test_sla.py::gate_size: pytest does not collect this function" in finished.text


def test_fixture_of_a_plugin_overrides_the_placeholder(judge: Judge, pytester: pytest.Pytester) -> None:
    """Also of one that is loaded by -p, before this plugin."""
    pytester.makepyfile(
        shop_plugin="import pytest\nfrom pytest_modelbench import FakeModel\n\n"
        "@pytest.fixture(scope='session')\ndef student_model(): return FakeModel(parameters=7, size_bytes=7)\n"
    )
    pytester.syspathinsert()
    fakes = FAKES.replace("def student_model():", "def not_student_model():")
    finished = judge("import pytest\n" + GATE + "def test_a(): ...", "-p", "shop_plugin", fakes=fakes, process=True)
    assert finished.gate("parameters")["readings"]["student"]["value"] == 7


def test_models_of_one_name_are_told(judge: Judge, pytester: pytest.Pytester) -> None:
    """Two folders, each with a student of its own: no number of the one stands for the other."""
    for folder, size in (("a", 3), ("b", 4)):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / "conftest.py").write_text(
            "import pytest, torch\n\n@pytest.fixture(scope='session')\n"
            f"def student_model(): return torch.nn.Linear({size}, 10)\n"
        )
        (pytester.path / folder / f"test_{folder}.py").write_text("import pytest\n" + GATE + "def test_a(): ...\n")
    finished = judge("", "a", "b")
    assert "modelbench: 2 models are called 'student'" in finished.text
    assert "student against its teacher" in finished.text
    assert len(finished.report["models"]["students"]["student"]["others"]) == 1
