"""Hardware tiers: the table, its names as limits, and a table of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from suites import Judge

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.grammar.limits import parse_limit
from pytest_modelbench.grammar.tiers import DEFAULT, fitting, replace_tiers, smallest_tier, tier_name, tiers
from pytest_modelbench.grammar.units import parse_quantity


@pytest.fixture(autouse=True)
def default_table() -> Iterator[None]:
    """Leave the table as it was."""
    yield
    replace_tiers({})


def test_smallest_tier_that_holds() -> None:
    """A byte more needs the next one; more than the largest is beyond it."""
    assert tier_name(smallest_tier(16e9)) == "T4"
    assert tier_name(smallest_tier(16e9 + 1)) == "L4"
    assert tier_name(smallest_tier(200e9)) == "beyond H200"
    assert list(fitting(30e9)) == ["A100 40 GB", "A100 80 GB", "H100", "H200"]
    assert not fitting(1e12)


def test_names_are_quantities() -> None:
    """Also those with spaces and figures; a limit spells the name that was written."""
    assert parse_quantity("a100 40 gb").value == 40e9
    assert str(parse_limit("<= A10")) == "<= A10"
    bound = read_gate(("hardware_tier", "<= A10"), {}).limits[0]
    assert bound.holds(24e9)  # type: ignore[union-attr]
    assert not bound.holds(40e9)  # type: ignore[union-attr]


def test_tier_takes_no_number() -> None:
    """A tier in the place of a unit would make a limit of so many bytes."""
    with pytest.raises(UsageMistake, match="the hardware tier T4 takes no number"):
        parse_quantity("2 T4")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("<= T5", "nearest: 'T4'"),
        ("<= 16 GB", "a hardware tier is one of CPU 4 GB, T4"),
        ("reduction >= 10%", "takes a limit on the student's own tier only"),
    ],
)
def test_what_is_no_tier(limit: str, words: str) -> None:
    """The tiers there are, the nearest first."""
    with pytest.raises(UsageMistake, match=words):
        read_gate(("hardware_tier", limit), {})


def test_other_kpis_take_no_tier() -> None:
    """A tier is memory, and still no unit of it."""
    with pytest.raises(UsageMistake, match="'T4' is a hardware tier"):
        read_gate(("peak_memory", "<= T4"), {})


def test_table_is_sorted_by_memory() -> None:
    """Whatever the order in which it was written."""
    replace_tiers({"Large": 2e9, "Small": 1e9})
    assert list(tiers()) == ["Small", "Large"]
    replace_tiers({})
    assert dict(tiers()) == DEFAULT


def test_a_table_ends_with_its_session(pytester: pytest.Pytester) -> None:
    """A session inside of another one, as in tests of plugins, leaves the other one's table alone."""
    replace_tiers({"Outer": 5e9})
    pytester.makeini("[pytest]\nmodelbench_tiers =\n    Inner = 2 GB")
    pytester.makepyfile(
        "from pytest_modelbench.grammar.tiers import tiers\ndef test_it(): assert list(tiers()) == ['Inner']"
    )
    pytester.runpytest_inprocess("--modelbench").assert_outcomes(passed=1)
    assert list(tiers()) == ["Outer"]


SUITE = """
import pytest

@pytest.mark.kpi("hardware_tier", "<= Nano", headroom=1.5)
def test_tier(): ...
"""
MODELS = """
class Net:
    def __init__(self):
        self.weights = np.ones(40 * 2**17)
    def __call__(self, batch):
        return np.eye(10)[np.asarray(batch)[:, 0].astype(int) % 10]

@pytest.fixture(scope="session")
def student_model():
    return Net()
"""


@pytest.mark.parametrize(("memory", "verdict"), [("100 MB", "pass"), ("50 MB", "fail")])
def test_table_of_the_ini_file(judge: Judge, memory: str, verdict: str) -> None:
    """42 MB times 1.5 fit 100 MB and not 50 MB."""
    Path("pytest.ini").write_text(f"[pytest]\nmodelbench_tiers =\n    Nano = {memory}\n    Big = 8 GB\n")
    gate = judge(SUITE, more=MODELS).gate("hardware_tier")
    assert gate["verdict"] == verdict
    assert "with a headroom of 1.5" in gate["readings"]["student"]["method"]


def test_tier_of_the_teacher(judge: Judge) -> None:
    """Shown where another gate launches the teacher; the teacher is not built for it."""
    relative = '\n@pytest.mark.kpi("peak_memory", "<= 100 MB", "ratio <= 1.2")\ndef test_memory(): ...\n'
    teacher = MODELS.replace("student_model", "teacher_model")
    readings = judge(SUITE.replace("Nano", "T4") + relative, more=MODELS + teacher).gate("hardware_tier")["readings"]
    assert readings["teacher"]["value"] == readings["student"]["value"]
    readings = judge(SUITE.replace("Nano", "T4"), more=MODELS + teacher).gate("hardware_tier")["readings"]
    assert readings["teacher"] is None


def test_line_that_is_no_tier(judge: Judge) -> None:
    """Told with what to write."""
    Path("pytest.ini").write_text("[pytest]\nmodelbench_tiers =\n    Nano 100\n")
    finished = judge(SUITE, more=MODELS)
    assert finished.result.ret == 4
    assert (
        "ini value modelbench_tiers: found ['Nano 100'], expected NAME = MEMORY, such as T4 = 16 GB" in finished.text
    )
