"""The joint limit: read, bound, settled and judged."""

from __future__ import annotations

import pytest
from suites import Judge

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.assignment import needs
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.grammar.conditional import ConditionalLimit

CONDITIONAL = "drop <= 3 pp if parameters reduction >= 75%, else drop <= 1 pp"
GATE = f"""
import pytest
@pytest.mark.kpi("top1_accuracy", "{CONDITIONAL}")
def test_conditional(): ...
"""


@pytest.mark.parametrize(
    "text",
    [
        CONDITIONAL,
        "drop <= 3pp  if parameters reduction>=75%  else drop<=1pp",
        "drop <= 3 pp, if parameters reduction >= 75%, else drop <= 1 pp",
    ],
)
def test_reads_and_prints_canonically(text: str) -> None:
    """Its text parses back to itself; commas may be left out."""
    gate = read_gate(("top1_accuracy", text), {})
    assert gate.targets == (CONDITIONAL,)
    (conditional,) = gate.conditional_limits
    assert (conditional.kpi, str(conditional.when), str(conditional.then)) == (
        "parameters",
        "reduction >= 75%",
        "drop <= 3 pp",
    )
    assert isinstance(conditional, ConditionalLimit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop <= 3 pp if parameters reduction >= 75%", "expected LIMIT if KPI LIMIT, else LIMIT"),
        ("drop <= 3 pp else drop <= 1 pp", "expected LIMIT if KPI LIMIT, else LIMIT"),
        ("drop <= 3 pp if params reduction >= 75%, else drop <= 1 pp", "unknown KPI 'params'; nearest: parameters"),
        ("drop <= 3 pp if parameters reduction > 1 ms, else drop <= 1 pp", "'reduction' is relative and takes '%'"),
        ("drop <= 3 if parameters reduction >= 75%, else drop <= 1 pp", "Write 'drop <= 3 pp' or 'drop <= 3%'"),
        (
            "drop <= 3 pp if agreement drop <= 1 pp, else drop <= 1 pp",
            "agreement compares student and teacher already",
        ),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    """Each part is checked like a limit of its own."""
    with pytest.raises(UsageMistake, match=words):
        read_gate(("top1_accuracy", text), {})


def test_timed_condition_on_a_timed_limit_is_refused() -> None:
    """One measurement cannot wait for itself."""
    text = "<= 5 ms if latency_p99 <= 9 ms, else <= 4 ms"
    with pytest.raises(UsageMistake, match="a condition on a timed KPI is for limits on untimed ones"):
        read_gate(("latency_p50", text), {})


def test_fixtures_of_the_condition_are_asked_for() -> None:
    """A condition on a timed KPI needs data, also where the limit itself does not."""
    assert needs(read_gate(("parameters", "<= 1k if latency_p50 speedup >= 2, else <= 5"), {})) == (True, True)


@pytest.mark.parametrize(
    ("parameters", "wrong", "verdict", "words"),
    [
        (10_000, 6, "pass", "parameters reduction >= 75% holds: 90%, so drop <= 3 pp holds: 2 pp"),
        (90_000, 6, "fail", "parameters reduction >= 75% does not hold: 10%, so drop <= 1 pp does not hold: 2 pp"),
        (90_000, 3, "pass", "parameters reduction >= 75% does not hold: 10%, so drop <= 1 pp holds: 0.5 pp"),
        (10_000, 9, "fail", "so drop <= 3 pp does not hold: 3.5 pp"),
    ],
)
def test_condition_picks_the_limit(judge: Judge, parameters: int, wrong: int, verdict: str, words: str) -> None:
    """The reason says which one and why; the report has the whole text."""
    finished = judge(GATE, more=f"\nSTUDENT = student(parameters={parameters}, outputs=answers({wrong}))\n")
    (limit,) = finished.gate("top1_accuracy")["limits"]
    assert (limit["verdict"], limit["text"]) == (verdict, CONDITIONAL)
    assert words in limit["reason"]


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(3, "pass"), (9, "fail"), (6, "inconclusive")], ids=["both", "neither", "depends"]
)
def test_inconclusive_condition(judge: Judge, wrong: int, verdict: str) -> None:
    """It matters only where the two limits come to different verdicts."""
    finished = judge(
        GATE.replace("parameters reduction >= 75%", "latency_p50 speedup >= 2x"),
        "--modelbench-budget=1",
        more=f"""
COSTS = np.random.default_rng(0)
TEACHER = teacher(cost_ns=lambda: COSTS.exponential(4e7))
STUDENT = student(cost_ns=lambda: COSTS.exponential(2e7), outputs=answers({wrong}))
""",
    )
    assert finished.gate("top1_accuracy")["verdict"] == verdict


def test_condition_that_cannot_be_judged_is_an_error(judge: Judge) -> None:
    """Nobody knows which limit holds, so none is taken for granted."""
    finished = judge(GATE, more="\nSTUDENT = student(parameters=None)\n")
    gate = finished.gate("top1_accuracy")
    assert gate["verdict"] == "error"
    assert (
        "the condition parameters reduction >= 75% cannot be judged: student is a fake without parameters"
        in (gate["reason"])
    )


def test_timed_condition_shares_its_measurement(judge: Judge) -> None:
    """A condition on a latency is decided by the measurement that the latency gates need anyway."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 3 pp if latency_p50 speedup >= 2x, else drop <= 0.1 pp")
        def test_conditional(): ...

        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_p50(): ...
        """
    )
    assert finished.gate("top1_accuracy")["verdict"] == "pass"
    assert len(finished.report["timings"]) == 1


def test_unjudgeable_condition_harms_only_its_own_gate(judge: Judge) -> None:
    """A latency gate that shares the measurement is judged all the same."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_p50(): ...

        @pytest.mark.kpi("latency_mean", "<= 5 ms if rmse <= 3, else <= 3 ms")
        def test_mean(): ...
        """
    )
    assert finished.gate("latency_p50")["verdict"] == "pass"
    assert finished.gate("latency_mean")["verdict"] == "error"
    assert "the condition rmse <= 3 cannot be judged" in finished.gate("latency_mean")["reason"]
