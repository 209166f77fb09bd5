"""The grammar of limits: parsing, binding to a KPI, deciding."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.errors import LimitSyntaxError, UsageMistake
from pytest_modelbench.grammar.limits import OPERATORS, SUBJECTS, BoundLimit, Limit, bind_limit, parse_limit
from pytest_modelbench.grammar.units import Quantity

SHARE = (0.0, 100.0)
TIME = (0.0, math.inf)


def bind(text: str, unit: str = "ms", better: str = "lower", bounds: tuple[float, float] = TIME) -> BoundLimit:
    return bind_limit(parse_limit(text), kpi="latency_p99", unit=unit, better=better, bounds=bounds)


@given(
    st.sampled_from(("", *SUBJECTS)),
    st.sampled_from(tuple(OPERATORS)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("", "ms", "%", "pp", "x", "MiB", "samples/s")),
)
def test_what_is_printed_reads_back(subject: str, op: str, value: float, unit: str) -> None:
    """A limit's canonical spelling parses to an equal limit."""
    limit = Limit(subject, op, Quantity(value, unit))
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["reduction>=85%", "  reduction  >=  85 % ", "reduction >= 85%"])
def test_space_means_nothing(text: str) -> None:
    """Limits are read with or without spaces."""
    assert str(parse_limit(text)) == "reduction >= 85%"


@pytest.mark.parametrize(
    ("text", "caret_at", "words"),
    [
        ("reduction => 85%", 10, "Write 'reduction >= 85%'."),
        ("reductoin >= 85%", 0, "Write 'reduction >= 85%'."),
        ("drop 2 pp", 5, "expected one of <= < >= > =="),
        ("<= fast", 3, "expected a number with a unit, found 'fast'"),
        ("", 0, "expected one of"),
        ("≤ 3 ms", 0, "Write '<= 3 ms'."),
    ],
)
def test_fault_is_under_the_caret(text: str, caret_at: int, words: str) -> None:
    """The message shows the text, a caret under the first fault, and what to write."""
    with pytest.raises(LimitSyntaxError) as caught:
        parse_limit(text)
    lines = str(caught.value).splitlines()
    assert lines[2] == "    " + " " * caret_at + "^"
    assert words in str(caught.value)


def test_limit_that_is_no_text() -> None:
    """A number in the place of a limit is named."""
    with pytest.raises(UsageMistake, match="a limit is a string"):
        parse_limit(120)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "unit", "better", "bounds", "measure", "threshold"),
    [
        ("<= 0.12 s", "ms", "lower", TIME, "value", 120.0),
        ("reduction >= 85%", "ms", "lower", TIME, "reduction", 0.85),
        ("reduction >= 0.85", "ms", "lower", TIME, "reduction", 0.85),
        ("speedup >= 2x", "ms", "lower", TIME, "speedup", 2.0),
        ("ratio <= 105%", "ms", "lower", TIME, "ratio", 1.05),
        ("difference <= 2 us", "ms", "lower", TIME, "difference", 0.002),
        ("drop <= 2 pp", "%", "higher", SHARE, "drop_points", 2.0),
        ("drop <= 2%", "%", "higher", SHARE, "drop_relative", 0.02),
        ("drop <= 2 pp", "", "higher", (-math.inf, 1.0), "drop_points", 0.02),
        ("difference >= -1 pp", "%", "higher", SHARE, "difference", -1.0),
        (">= 90", "%", "higher", SHARE, "value", 90.0),
    ],
)
def test_threshold_is_converted_into_what_is_judged(
    text: str, unit: str, better: str, bounds: tuple[float, float], measure: str, threshold: float
) -> None:
    """Absolute limits take the KPI's unit, relative ones become fractions."""
    bound = bind(text, unit, better, bounds)
    assert bound.measure == measure
    assert bound.threshold == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("text", "unit", "better", "bounds", "words"),
    [
        (
            "<= 120 mss",
            "ms",
            "lower",
            TIME,
            "unknown unit 'mss' (time units: ns, us, µs, ms, s, min, h; nearest: 'ms')",
        ),
        ("<= 120", "ms", "lower", TIME, "latency_p99 needs a unit. Write '<= 120 ms'"),
        ("<= 120 MB", "ms", "lower", TIME, "latency_p99 is a time; 'MB' is a unit of size"),
        ("drop <= 2", "%", "higher", SHARE, "Write 'drop <= 2 pp' or 'drop <= 2%'"),
        ("drop <= 2%", "ms", "lower", TIME, "Write 'increase <= 2%'"),
        ("drop <= 2 pp", "samples/s", "higher", TIME, "Write 'drop <= 2%'"),
        ("difference <= 2%", "%", "higher", SHARE, "Write 'difference <= 2 pp'"),
        ("reduction >= 85", "ms", "lower", TIME, "Write 'reduction >= 85%'"),
        ("ratio <= 5 ms", "ms", "lower", TIME, "'ratio' is a factor. Write 'ratio <= 5'"),
        ("speedup >= 2x", "%", "higher", SHARE, "'speedup' compares times"),
        ("<= 3 clicks", "views", "lower", TIME, "latency_p99 is in 'views', found 'clicks'"),
    ],
)
def test_limit_that_does_not_fit_its_kpi(
    text: str, unit: str, better: str, bounds: tuple[float, float], words: str
) -> None:
    """Each mismatch says what to write instead."""
    with pytest.raises(UsageMistake) as caught:
        bind(text, unit, better, bounds)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "unit", "better", "bounds", "word"),
    [
        ("<= -1 ms", "ms", "lower", TIME, "never"),
        (">= 0 ms", "ms", "lower", TIME, "always"),
        ("reduction >= 101%", "ms", "lower", TIME, "never"),
        ("reduction <= 100%", "ms", "lower", TIME, "always"),
        ("increase >= -100%", "ms", "lower", TIME, "always"),
        ("<= 100%", "%", "higher", SHARE, "always"),
        ("> 100%", "%", "higher", SHARE, "never"),
        ("drop <= 150 pp", "%", "higher", SHARE, "always"),
        ("== -3 ms", "ms", "lower", TIME, "never"),
    ],
)
def test_limit_that_says_nothing_is_refused(
    text: str, unit: str, better: str, bounds: tuple[float, float], word: str
) -> None:
    """A limit that can never hold, or always holds, is a mistake."""
    with pytest.raises(UsageMistake, match=word):
        bind(text, unit, better, bounds)


@given(
    st.sampled_from(tuple(OPERATORS)),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
)
def test_deciding_by_interval_agrees_with_every_point(op: str, threshold: float, one: float, other: float) -> None:
    """True only if both ends and the middle hold, False only if none of them does."""
    low, high = sorted((one, other))
    bound = BoundLimit(limit=Limit("", op, Quantity(threshold)), measure="value", threshold=threshold)
    points = [bound.holds(value) for value in (low, (low + high) / 2, high)]
    decided = bound.decide(low, high)
    if decided is True:
        assert all(points)
    if decided is False:
        assert not any(points)


@pytest.mark.parametrize(
    ("op", "low", "high", "expected"),
    [
        ("<=", 1.0, 5.0, True),
        ("<=", 5.1, 6.0, False),
        ("<=", 4.0, 6.0, None),
        (">=", 5.0, math.inf, True),
        ("==", 5.0, 5.0, True),
        ("==", 4.0, 6.0, None),
        ("==", 6.0, 7.0, False),
        ("<=", math.nan, 1.0, None),
    ],
)
def test_interval_decides(op: str, low: float, high: float, expected: bool | None) -> None:
    """Hand-worked cases around a threshold of 5."""
    bound = BoundLimit(limit=Limit("", op, Quantity(5)), measure="value", threshold=5.0)
    assert bound.decide(low, high) is expected


def test_nan_never_holds() -> None:
    """A NaN satisfies no limit."""
    assert not bind("<= 3 ms").holds(math.nan)


def test_margin_is_positive_on_the_right_side() -> None:
    """The margin's sign says on which side of the limit a value is."""
    assert bind("<= 3 ms").margin(2.0) == 1.0
    assert bind("reduction >= 85%").margin(0.61) == pytest.approx(-0.24)
