"""Limits that a better student would break."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.grammar.directions import is_reversed
from pytest_modelbench.grammar.limits import BoundLimit, Limit, bind_limit
from pytest_modelbench.grammar.units import Quantity

JUDGED = {
    "value": lambda t, s: s,
    "reduction": lambda t, s: (t - s) / t,
    "increase": lambda t, s: (s - t) / t,
    "ratio": lambda t, s: s / t,
    "speedup": lambda t, s: t / s,
    "difference": lambda t, s: s - t,
    "drop_relative": lambda t, s: (t - s) / t,
}
SPELLED = {"value": ("", " ms"), "difference": ("difference", " ms"), "drop_relative": ("drop", "%")}


@pytest.mark.parametrize(
    ("kpi", "limit", "right"),
    [
        ("f1", "drop >= 1%", "drop <= 1%"),
        ("top1_accuracy", "<= 95%", ">= 95%"),
        ("top1_accuracy", "< 95", "> 95"),
        ("size_on_disk", "reduction <= 99.9%", "reduction >= 99.9%"),
        ("negative_flip_rate", ">= 0.05%", "<= 0.05%"),
        ("latency_p99", "speedup <= 2x", "speedup >= 2x"),
        ("latency_p99", "increase >= 5%", "increase <= 5%"),
        ("latency_p99", "ratio > 2", "ratio < 2"),
        ("latency_p99", "difference >= 2 ms", "difference <= 2 ms"),
        ("throughput", "increase <= 5%", "increase >= 5%"),
        ("throughput", "reduction >= 5%", "reduction <= 5%"),
        ("top1_accuracy", "difference <= -1 pp", "difference >= -1 pp"),
        ("top1_accuracy", "regression >= 5%", "regression <= 5%"),
        ("latency_p99", "regression >= 5%", "regression <= 5%"),
        ("hardware_tier", ">= T4", "<= T4"),
    ],
)
def test_likely_spelling_is_shown(kpi: str, limit: str, right: str) -> None:
    """A limit in the wrong direction is a mistake that shows the other operator, which is then taken."""
    with pytest.raises(UsageMistake, match="a better student would break this limit") as caught:
        read_gate((kpi, limit), {})
    assert f"Write '{right}', or state allow_reversed=True if you mean it" in str(caught.value)
    assert read_gate((kpi, right), {}).limits
    assert read_gate((kpi, limit), {"allow_reversed": True}).limits


@pytest.mark.parametrize(
    ("kpi", "limits"),
    [
        ("top1_accuracy", (">= 90%", "drop <= 2 pp", "difference >= -2 pp", "increase >= -3%", "ratio >= 0.9")),
        ("latency_p99", ("<= 5 ms", "reduction >= 50%", "increase <= 5%", "ratio <= 1.05", "speedup >= 2x")),
        ("nonfinite_outputs", ("== 0",)),
        ("class_drop", ("<= 5 pp",)),
        ("headroom", (">= 2 bits",)),
        ("top1_accuracy", ("drop <= 3 pp if latency_p50 >= 5 ms, else drop <= 1 pp",)),
        ("top1_accuracy", ("drop <= 3 pp if parameters reduction <= 75%, else drop <= 1 pp",)),
    ],
)
def test_limits_that_a_better_student_keeps(kpi: str, limits: tuple[str, ...]) -> None:
    """They are taken, `==` has no direction, and a condition demands nothing of the student."""
    assert len(read_gate((kpi, *limits), {}).limits) == len(limits)


@pytest.mark.parametrize("limit", ["drop >= 3 pp if {}, else drop <= 1 pp", "drop <= 3 pp if {}, else drop >= 1 pp"])
def test_both_branches_of_a_conditional_limit_have_a_direction(limit: str) -> None:
    """Whatever the condition picks would be judged."""
    with pytest.raises(UsageMistake, match="better student"):
        read_gate(("top1_accuracy", limit.format("parameters reduction >= 75%")), {})


def test_range_states_that_one_end_is_reversed() -> None:
    """Of two limits on one value the reversed one is named, and one keyword serves the marker."""
    with pytest.raises(UsageMistake, match="'>= 40%': a better student"):
        read_gate(("flips", ">= 40%", "<= 60%"), {})
    assert len(read_gate(("flips", ">= 40%", "<= 60%"), {"allow_reversed": True}).limits) == 2


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_own_kpis_have_the_direction_that_they_state(better: str) -> None:
    """`better=` decides for a custom KPI."""
    keywords = {"better": better, "unit": ""}
    right, wrong = (">= 3", "<= 3") if better == "higher" else ("<= 3", ">= 3")
    assert read_gate(("clicks", right), keywords).limits
    with pytest.raises(UsageMistake, match=f"for {better} is better for clicks"):
        read_gate(("clicks", wrong), keywords)


@pytest.mark.parametrize(
    ("limits", "value", "words"),
    [
        ((">= 90%",), True, "no better student would break these limits. Remove it"),
        ((), True, "Remove it"),
        ((">= 90%",), 1, "allow_reversed=1, expected True or False"),
    ],
)
def test_keyword_that_means_nothing(limits: tuple[str, ...], value: object, words: str) -> None:
    """One that is left over would hide the next slip."""
    with pytest.raises(UsageMistake, match=words):
        read_gate(("top1_accuracy", *limits), {"allow_reversed": value})


def test_keyword_is_no_measurement_option() -> None:
    """It changes no measurement, so reports and baselines do not know it."""
    assert "allow_reversed" not in read_gate(("top1_accuracy", "<= 95%"), {"allow_reversed": True}).options


@given(
    st.sampled_from(sorted(JUDGED)),
    st.sampled_from(("<=", "<", ">=", ">")),
    st.sampled_from(("higher", "lower")),
    st.integers(-400, 400),
    st.tuples(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200)),
)
def test_better_student_keeps_what_a_worse_one_keeps(
    measure: str, op: str, better: str, threshold: int, values: tuple[int, int, int]
) -> None:
    """A limit is reversed exactly if some better student breaks it while a worse one holds it."""
    assume(measure != "drop_relative" or better == "higher")
    subject, unit = SPELLED.get(measure, (measure, "x" if measure in {"ratio", "speedup"} else "%"))
    limit = Limit(subject, op, Quantity(float(threshold), unit.strip()))
    try:
        bound = bind_limit(limit, kpi="kpi", unit="ms", better=better, bounds=(0.0, math.inf))
    except UsageMistake:
        return
    teacher, *students = values
    worse, best = sorted(students, reverse=better == "lower")
    if bound.holds(JUDGED[measure](teacher, worse)) and not bound.holds(JUDGED[measure](teacher, best)):
        assert is_reversed(bound, better)
    if bound.holds(JUDGED[measure](teacher, best)) and not bound.holds(JUDGED[measure](teacher, worse)):
        assert not is_reversed(bound, better)


@pytest.mark.parametrize("measure", ["drop_points", "drop_relative", "regression"])
def test_measures_of_getting_worse(measure: str) -> None:
    """Less of them is better, whatever the KPI."""
    for better in ("higher", "lower"):
        for op, reversed_ in ((">=", True), ("<=", False), ("==", False)):
            bound = BoundLimit(limit=Limit("", op, Quantity(1.0)), measure=measure, threshold=1.0)
            assert is_reversed(bound, better) is reversed_
