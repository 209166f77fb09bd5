"""The fixture and marker `edge_case` in real pytest runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import Judge, read_report

from pytest_modelbench.data.case_names import BUILT_IN, GROUPS
from pytest_modelbench.models import checks

EDGES = "def test_edges(student, edge_case): student.check_finite(edge_case)\n"
LOG = """
def log(batch):
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.asarray(batch)))
STUDENT = student(outputs=log)
TEACHER = teacher(outputs=lambda batch: np.asarray(batch) * 1.0)

@pytest.fixture(scope="session")
def eval_data(): return INPUTS + 1, TARGETS
"""


def test_one_item_for_each_case(judge: Judge) -> None:
    """Readable ids; a student with a logarithm fails where it meets a zero, and only there; the summary counts."""
    finished = judge(EDGES, more=LOG)
    outcomes = {test["edge_case"]: test["outcome"] for test in finished.report["tests"]}
    assert set(outcomes) == set(BUILT_IN)
    assert [name for name, outcome in outcomes.items() if outcome == "failed"] == ["zeros"]
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == set(BUILT_IN) - set(
        GROUPS["numbers"]
    )
    finished.result.stdout.fnmatch_lines(
        [
            "*test_edges[[]zeros[]]*",
            "E *edge case 'zeros' (every value 0): 8 of 8 rows of student are not finite: 0, 1, *",
            "E *student row 0: [[]-inf[]]",
            "E *teacher row 0: [[]0[]]",
            "reliability",
            " edge cases * 14 of 15 * FAIL * zeros",
        ]
    )
    assert Path(checks.__file__).name not in finished.text


def test_marker_narrows(judge: Judge) -> None:
    """By name, by group; the closest marker wins."""
    finished = judge(
        f"""
        import pytest
        pytestmark = pytest.mark.edge_case("numbers")
        {EDGES}
        @pytest.mark.edge_case("huge", "nan")
        def test_two(student, edge_case): student.check_finite(edge_case)
        """
    )
    ids = [test["nodeid"].partition("::")[2] for test in finished.report["tests"]]
    assert [i for i in ids if "two" in i] == ["test_two[huge]", "test_two[nan]"]
    assert len([i for i in ids if "edges" in i]) == len(GROUPS["numbers"])


def test_each_student_has_its_cases(judge: Judge) -> None:
    """Cases times students; the report says which is which."""
    finished = judge(
        "import pytest\n@pytest.mark.edge_case('zeros')\n" + EDGES,
        more="""
@pytest.fixture(scope="session", params=["good", "bad"])
def student_model(request):
    return student(outputs=lambda b: np.full((len(b), 3), np.nan if request.param == "bad" else 0.0))
""",
    )
    found = {test["student"]: test["outcome"] for test in finished.report["tests"]}
    assert found == {"good": "passed", "bad": "failed"}


def test_own_cases_reach_the_tests_below_them(pytester: pytest.Pytester, judge: Judge) -> None:
    """Registered in a conftest for its folder, in a module for itself, nowhere else."""
    sub = pytester.mkpydir("sub")
    sub.joinpath("conftest.py").write_text(
        "from pytest_modelbench import register_edge_case\n"
        "@register_edge_case('night')\ndef night(batch):\n    '''Dark.'''\n    return batch * 0.05\n"
    )
    sub.joinpath("test_sub.py").write_text(EDGES)
    finished = judge(
        "from pytest_modelbench import register_edge_case\n"
        "@register_edge_case('own')\ndef own(batch): return batch + 1\n" + EDGES,
        "-k",
        "night or own",
    )
    assert sorted(test["nodeid"] for test in finished.report["tests"]) == [
        "sub/test_sub.py::test_edges[night]",
        "test_sla.py::test_edges[own]",
    ]


def test_ids_do_not_depend_on_the_flag(pytester: pytest.Pytester, judge: Judge) -> None:
    """Without --modelbench the same items are skipped, and no data is read for them."""
    judge(EDGES, more="\n@pytest.fixture(scope='session')\ndef eval_data(): raise SystemExit('read')\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(skipped=len(BUILT_IN))


def test_case_without_a_teacher(judge: Judge) -> None:
    """The student alone is checked where nobody defined a teacher; where one is defined it is not loaded in vain."""
    finished = judge(
        "import pytest\n@pytest.mark.edge_case('zeros', 'nan')\n" + EDGES,
        fakes="import numpy as np, pytest\nfrom pytest_modelbench import FakeModel, EvalData\n"
        "@pytest.fixture(scope='session')\ndef student_model(): return FakeModel()\n"
        "@pytest.fixture(scope='session')\ndef eval_data(): return np.ones((9, 2)), np.ones(9)\n",
    )
    finished.result.assert_outcomes(passed=2)


def test_not_applicable_in_a_body_is_a_skip(judge: Judge) -> None:
    """Where neither model answers, nothing is expected."""
    finished = judge(
        "import pytest\n@pytest.mark.edge_case('zeros')\n" + EDGES,
        "-rs",
        more="\ndef refuse(batch): raise ValueError('no')\nTEACHER, STUDENT = teacher(outputs=refuse), student(outputs=refuse)\n",
    )
    finished.result.assert_outcomes(skipped=1)
    assert "the teacher fails too" in finished.text


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_mistakes(pytester: pytest.Pytester, judge: Judge, arguments: tuple[str, ...]) -> None:
    """A typo, no name at all, and a marker without its fixture are told at collection, once each."""
    finished = judge(
        f"""
        import pytest

        @pytest.mark.edge_case("zeroes")
        {EDGES}
        @pytest.mark.edge_case()
        def test_none(student, edge_case): ...

        @pytest.mark.edge_case("zeros")
        def test_forgotten(student): ...
        """,
        *arguments,
        process=bool(arguments),
    )
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    for words in (
        "test_sla.py::test_edges: unknown edge case 'zeroes'; did you mean 'zeros'?",
        "test_sla.py::test_none: the marker edge_case names no case",
        "test_sla.py::test_forgotten: the marker edge_case needs the fixture of that name",
    ):
        assert finished.text.count(words) == 1, words
    assert "INTERNALERROR" not in finished.text


def test_strict_counts_edge_cases(pytester: pytest.Pytester, judge: Judge) -> None:
    """A suite of edge cases judges something, though it has no gate."""
    finished = judge("import pytest\n@pytest.mark.edge_case('zeros')\n" + EDGES, "--modelbench-strict")
    assert finished.result.ret == 0
    assert read_report(pytester)["tests"][0]["edge_case"] == "zeros"


def test_closest_case_of_one_name_wins(pytester: pytest.Pytester, judge: Judge) -> None:
    """And the items come in one order, so that all workers collect the same."""
    register = "from pytest_modelbench import register_edge_case\n@register_edge_case('night')\ndef night(batch):\n"
    folder = pytester.mkpydir("sub")
    folder.joinpath("conftest.py").write_text(register + "    'Inner.'\n    return batch * 0.1\n")
    folder.joinpath("test_sub.py").write_text("def test_which(edge_case): assert edge_case.what == 'Inner.'\n")
    outer = "\n" + register + "    'Outer.'\n    return batch\n"
    judge("def test_none(): ...", "-k", "night", more=outer).result.assert_outcomes(
        passed=1, deselected=1 + len(BUILT_IN)
    )


def test_check_beside_a_gate_is_skipped_alike(judge: Judge) -> None:
    """What is not applicable is no error of the gate on the same item."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 1M")
        @pytest.mark.edge_case("zeros")
        def test_both(student, edge_case): student.check_finite(edge_case)
        """,
        more="\ndef refuse(batch): raise ValueError('no')\nTEACHER, STUDENT = teacher(outputs=refuse), student(outputs=refuse)\n",
    )
    finished.result.assert_outcomes(skipped=1)
    assert finished.gate("parameters")["verdict"] == "not_applicable"
