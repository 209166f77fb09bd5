"""Tables as wide as a terminal: what folds, what goes under its row, what a terminal never gets to see."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pytest_modelbench.reports.layout import (
    Cell,
    Column,
    Row,
    encodable,
    folded,
    line,
    table,
    terminal_width,
    width_of,
)

COLUMNS = [Column(title="KPI", folds=True), Column(title="Value", right=True)]


def lines(*rows: Row, width: int = 80, tail: str = "Evidence", colour: bool = False) -> list[str]:
    return table(COLUMNS, rows, width=width, colour=colour, tail=tail, under=1).splitlines()


def test_what_fits_is_beside_its_row_and_the_rest_under_it() -> None:
    """A long text at a row's end costs the other rows nothing."""
    short = Row(cells=(Cell("a"), Cell("1")), tail="n=4")
    long = Row(cells=(Cell("b"), Cell("22")), tail="x" * 70)
    assert lines(short, long) == [
        "KPI  Value  Evidence",
        "---  -----  --------",
        "a        1  n=4",
        "b       22",
        "     " + "x" * 70,
    ]


def test_a_tail_that_fits_nowhere_ends_at_the_edge() -> None:
    """It begins further left than its column where it would be cut."""
    found = lines(Row(cells=(Cell("a" * 20), Cell("1")), tail="y" * 50), width=60)
    assert found[-1] == " " * 10 + "y" * 50


def test_names_fold_where_words_end_and_are_cut_where_they_have_none() -> None:
    """Nothing is lost, whatever the width."""
    assert folded(" weak_slice_drop b8", 14) == [" weak_slice_", "   drop b8"]
    assert folded("_aaaaaaa中中中", 13) == ["_", "  aaaaaaa中中", "  中"]
    assert folded("x" * 30, 13) == ["x" * 13, "  " + "x" * 11, "  " + "x" * 6]


@given(st.text("ab_ 中é", min_size=1, max_size=60), st.integers(13, 40))
def test_folding_loses_no_character(text: str, width: int) -> None:
    """All that is not blank comes back, in lines that fit."""
    found = folded(text, width)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert all(width_of(one.rstrip()) <= width + 1 for one in found)


def test_a_table_that_cannot_be_narrow_is_whole() -> None:
    """Wider than the terminal, with every character of it."""
    found = lines(Row(cells=(Cell("k"), Cell("9" * 60))), width=40)
    assert found[-1].endswith("9" * 60)


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\rb", "a\nb", "a\u202eb", "a\x07b", "a\ud800b"])
def test_nothing_that_a_terminal_obeys_gets_there(text: str) -> None:
    """Neither in a cell, nor under a row, nor in a line of its own; one row stays one line."""
    found = lines(Row(cells=(Cell(text), Cell("1")), tail=text.replace("\n", "")), width=40)
    assert len(found) in {3, 4}
    shown = "".join([*found, line(text.replace("\n", ""))])
    assert all(character.isprintable() for character in shown)
    assert "\\" in shown


def test_colours_are_outside_of_widths() -> None:
    """The same columns with and without them."""
    row = Row(cells=(Cell("a", "green"), Cell("1", "bold")), tail="n=4")
    coloured = lines(row, colour=True)
    assert "\x1b[32ma\x1b[0m" in coloured[2]
    plain = [one.replace("\x1b[0m", "") for one in coloured]
    for code in ("\x1b[1m", "\x1b[2m", "\x1b[32m"):
        plain = [one.replace(code, "") for one in plain]
    assert plain == lines(row)


def test_wide_characters_take_two_columns() -> None:
    """A student may be named in any script."""
    assert [width_of(text) for text in ("ab", "中文", "e\u0301")] == [2, 4, 1]
    found = lines(Row(cells=(Cell("中文"), Cell("1"))), Row(cells=(Cell("abcd"), Cell("1"))), tail="")
    assert found[-2:] == ["中文      1", "abcd      1"]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [(None, "40 µs 中"), ("utf-8", "40 µs 中"), ("latin-1", "40 us \\u4e2d"), ("ascii", "40 us \\u4e2d")],
)
def test_what_an_encoding_lacks_is_replaced(encoding: str | None, expected: str) -> None:
    """A log in another encoding has every line."""
    assert encodable("40 µs 中", encoding) == expected


def test_a_terminal_is_not_believed_that_it_has_no_columns() -> None:
    """As by pytest, which takes 80 for anything below 40."""
    assert [terminal_width(columns) for columns in (0, 1, 39, 40, 200)] == [80, 80, 80, 40, 200]
