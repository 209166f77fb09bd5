"""Limits judge evidence: the rules that keep a verdict from being a silent pass."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_modelbench.bench.verdicts import judge, judge_limit
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.limits import BoundLimit, bind_limit, parse_limit
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading, Verdict


def bound(text: str, unit: str = "ms", better: str = "lower") -> BoundLimit:
    return bind_limit(parse_limit(text), kpi="kpi", unit=unit, better=better, bounds=(0.0, math.inf))


def found(student: Estimate, teacher: float | None = None, ratio: Estimate | None = None, **changes: Any) -> Evidence:
    """Evidence with a student's estimate and, where given, a teacher's value and the ratio."""
    difference = None if teacher is None else Estimate.exact(student.value - teacher)
    return Evidence(
        student=Reading(estimate=student, unit="ms", n=100),
        teacher=None if teacher is None else Reading(estimate=Estimate.exact(teacher), unit="ms"),
        comparison=None if teacher is None else Comparison(ratio=ratio, difference=difference),
        **changes,
    )


def span(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("estimate", "sampled", "verdict", "weak"),
    [
        (span(4, 3, 4.5), True, Verdict.PASS, False),
        (span(6, 5.5, 7), True, Verdict.FAIL, False),
        (span(4, 3, 6), True, Verdict.INCONCLUSIVE, False),
        (span(4, 3, math.inf), True, Verdict.INCONCLUSIVE, False),
        (Estimate(value=4), True, Verdict.INCONCLUSIVE, False),
        (span(4, 3, 6), False, Verdict.PASS, True),
        (span(6, 4, 8), False, Verdict.FAIL, True),
        (span(4, 3, 4.5), False, Verdict.PASS, False),
        (Estimate(value=4), False, Verdict.PASS, False),
        (Estimate.exact(5), False, Verdict.PASS, False),
        (Estimate(value=math.nan), False, Verdict.ERROR, False),
        (span(math.nan, math.nan, math.nan), True, Verdict.ERROR, False),
    ],
)
def test_point_and_interval(estimate: Estimate, sampled: bool, verdict: Verdict, weak: bool) -> None:
    """Sampled values are decided by the interval, all others by the point, against a limit of 5 ms."""
    result = judge_limit(bound("<= 5 ms"), found(estimate, sampled=sampled), "ms")
    assert (result.verdict, result.weak) == (verdict, weak)
    assert result.reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("reduction >= 1%", 0.75),
        ("increase <= 1%", -0.75),
        ("ratio <= 1", 0.25),
        ("speedup >= 1x", 4.0),
        ("difference <= 1 ms", -3.0),
    ],
)
def test_what_relative_limits_judge(text: str, value: float) -> None:
    """S = 1 against T = 4, worked by hand."""
    result = judge_limit(bound(text), found(Estimate.exact(1), 4.0, Estimate.exact(0.25)), "ms")
    assert result.value == value


def test_drop_in_points_and_in_percent() -> None:
    """S = 3 against T = 4 drops by 1 point or by 25%."""
    evidence = found(Estimate.exact(3), 4.0, Estimate.exact(0.75))
    points = judge_limit(bound("drop <= 2 pp", "%", "higher"), evidence, "%")
    percent = judge_limit(bound("drop <= 30%", "%", "higher"), evidence, "%")
    assert (points.value, points.unit) == (1.0, "pp")
    assert (percent.value, percent.unit) == (0.25, "fraction")


@pytest.mark.parametrize("teacher", [0.0, -2.0])
def test_nothing_is_relative_to_zero_or_less(teacher: float) -> None:
    """A zero or negative denominator is an error, never a pass."""
    ratio = Estimate.exact(1 / teacher) if teacher else None
    result = judge_limit(bound("reduction >= 1%"), found(Estimate.exact(1), teacher, ratio), "ms")
    assert result.verdict is Verdict.ERROR


def test_missing_teacher_is_an_error() -> None:
    """A relative limit without a teacher's value decides nothing."""
    assert judge_limit(bound("reduction >= 1%"), found(Estimate.exact(1)), "ms").verdict is Verdict.ERROR


def test_no_evidence_is_an_error() -> None:
    """A measurement without a single look is no pass."""
    with pytest.raises(MeasurementError, match="before there was anything to judge"):
        judge([bound("<= 5 ms")], [], "ms")


def looks(*spans: tuple[float, float]) -> list[Evidence]:
    return [found(span((low + high) / 2, low, high), sampled=True) for low, high in spans]


def test_first_look_that_decides_stands() -> None:
    """Later looks are not consulted; the interval shown is the one that decided."""
    judgement = judge([bound("<= 5 ms")], looks((3, 6), (3, 4), (3, 9)), "ms")
    assert judgement.limits[0].verdict is Verdict.PASS
    assert (judgement.limits[0].ci_low, judgement.limits[0].ci_high) == (3, 4)


def test_all_limits_are_judged_at_one_look() -> None:
    """Two limits share the first look that decides both, so that readings and intervals belong together."""
    judgement = judge([bound("<= 5 ms"), bound(">= 2 ms")], looks((1, 4), (2.5, 4.5)), "ms")
    assert {limit.ci_low for limit in judgement.limits} == {2.5}


def test_what_an_earlier_look_decided_is_not_lost() -> None:
    """A limit that failed once is not undone by a last look at which another limit is open."""
    judgement = judge([bound("<= 5 ms"), bound("<= 7 ms")], looks((6, 8), (4.9, 8)), "ms")
    assert [limit.verdict for limit in judgement.limits] == [Verdict.FAIL, Verdict.INCONCLUSIVE]


def test_samples_needed_scale_with_the_square() -> None:
    """An interval twice as wide as the distance to the limit needs four times the samples."""
    result = judge_limit(bound("<= 5 ms"), found(span(4, 2, 6)), "ms")
    assert result.weak
    assert result.needed_n == 400
