"""Quantities: parsing, formatting, conversion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.units import Quantity, dimension_of, humanise, parse_quantity, readable, unknown_unit

UNITS = (
    "ns",
    "us",
    "ms",
    "s",
    "min",
    "h",
    "B",
    "kB",
    "MiB",
    "GB",
    "J",
    "Wh",
    "kWh",
    "W",
    "g",
    "kg",
    "%",
    "pp",
    "x",
    "",
)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(FINITE, st.sampled_from(UNITS))
def test_what_is_printed_reads_back(value: float, unit: str) -> None:
    """A quantity's canonical spelling parses to the same quantity."""
    assert parse_quantity(str(Quantity(value, unit))) == Quantity(value, unit)


@given(st.floats(min_value=1e-6, max_value=1e6), st.sampled_from(("ns", "us", "ms", "s", "min", "h")))
def test_conversion_there_and_back(value: float, unit: str) -> None:
    """Converting to seconds and back changes nothing but rounding."""
    assert Quantity(Quantity(value, unit).to("s"), "s").to(unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1500 us", "ms", 1.5),
        ("2 min", "s", 120),
        ("1 MiB", "B", 1_048_576),
        ("1 MB", "B", 1_000_000),
        ("1.5M", "", 1_500_000),
        ("1 Wh", "J", 3600),
        ("1_000 samples/s", "qps", 1000),
    ],
)
def test_units_convert_within_their_dimension(text: str, unit: str, expected: float) -> None:
    """Decimal and binary prefixes, hand-worked."""
    assert parse_quantity(text).to(unit) == expected


def test_other_dimension_is_refused() -> None:
    """A time is never a size."""
    with pytest.raises(
        UsageMistake, match=r"'120 ms' cannot be expressed in 'B': 'ms' is a unit of time, 'B' is a unit of size"
    ):
        parse_quantity("120 ms").to("B")


@pytest.mark.parametrize("text", ["", "fast", "ms", "--3 ms", "1e999 s"])
def test_text_without_a_finite_number_is_refused(text: str) -> None:
    """Words, signs and overflow are no numbers."""
    with pytest.raises(UsageMistake):
        parse_quantity(text)


def test_unknown_unit_names_the_nearest() -> None:
    """The units that fit are listed, the nearest is named, also when only the case is wrong."""
    assert "nearest: 'ms'" in unknown_unit("mss", "time")
    assert "nearest: 'MB'" in unknown_unit("mb", "size")


def test_percent_and_points_are_different_dimensions() -> None:
    """`%` and `pp` never convert into each other."""
    assert dimension_of("%") != dimension_of("pp")
    with pytest.raises(UsageMistake):
        Quantity(2, "%").to("pp")


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.4, "ms", "400 µs"),
        (1536.2, "ms", "1.54 s"),
        (2_090_000, "B", "2.09 MB"),
        (0.0, "ms", "0 ms"),
        (0, "", "0"),
        (99.996, "%", "100%"),
        (88_312.4, "samples/s", "88,300/s"),
        (1e-12, "", "1e-12"),
        (float("nan"), "ms", "nan ms"),
    ],
)
def test_numbers_are_shown_in_the_unit_that_reads_best(value: float, unit: str, expected: str) -> None:
    """Three significant digits and a fitting prefix."""
    assert humanise(value, unit) == expected


def test_interval_ends_share_one_unit() -> None:
    """The larger end chooses, so that an interval has one unit; an unsupported end is a question mark."""
    assert readable([0.9, 1.1], "ms") == (["0.9", "1.1"], "ms")
    assert readable([0.9, float("inf")], "ms") == (["900", "?"], "µs")
