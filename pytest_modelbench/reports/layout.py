"""Lays out rows of texts in columns as wide as a terminal: every table that is printed is made here.

A text enters the terminal as a `Cell`, or through `line`: both escape what a terminal would obey. `encodable` then
replaces what its encoding lacks.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pytest_modelbench.errors import visible

GAP = "  "
LEAST_WIDTH = 40
"""A terminal that says it is narrower is not believed, as pytest does not."""
USUAL_WIDTH = 80
_LEAST_FOLDED = 13
_LONGEST_WORD = 24
_HANGING = "  "
_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_NEAR = str.maketrans({"µ": "u", "±": "+-", "…": "...", "²": "2", "—": "-", "–": "-", "’": "'"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its heading, the side that its cells stand on, and whether they may fold."""

    title: str
    right: bool = False
    folds: bool = False


@dataclass(frozen=True)
class Cell:
    """A text with a style: bold, dim, red, green, yellow, or none."""

    text: str
    style: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _safe(self.text).replace("\n", "\\n"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cells of a row, and a text at its end (see `Layout`)."""

    cells: tuple[Cell, ...]
    tail: str = ""


def terminal_width(columns: int) -> int:
    """Return the width to lay out for, given what a terminal says of itself."""
    return columns if columns >= LEAST_WIDTH else USUAL_WIDTH


def encodable(text: str, encoding: str | None) -> str:
    r"""Return a text with what a terminal's encoding lacks replaced; None is an encoding that lacks nothing.

    >>> encodable("40 µs, 中", "ascii")
    '40 us, \\u4e2d'
    """
    if encoding is None or text.isascii():
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_NEAR).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _safe(text: str) -> str:
    return text if text.isascii() and text.isprintable() else visible(text)


def line(text: str, style: str = "", *, colour: bool = False) -> str:
    """Return a text of its own outside of tables, without what a terminal would obey, in a style."""
    return _styled(_safe(text), style, colour=colour)


def _styled(text: str, style: str, *, colour: bool) -> str:
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if colour and style and text else text


def width_of(text: str) -> int:
    """Return how many columns a text takes: CJK characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


class Layout:
    """Columns of one width over all rows that they are for.

    A column is as wide as its cells, unless the widest of those that fold have to give way. Where even that is not
    enough the table is wider than the terminal, and nothing of it is lost.

    Args:
        columns: but for the tail.
        rows: all that will be shown.
        width: of the terminal.
        tail: the heading of what rows have in `tail`: it is beside its row where there is room, else under it.
        under: the column under which it begins there, if it is not too long for that.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Row], *, width: int, tail: str = "", under: int = 0
    ) -> None:
        self._columns, self._width = list(columns), width
        self._widths = _widths(columns, rows, width)
        self._room = width - sum(self._widths) - len(GAP) * len(self._widths)
        self._start = sum(self._widths[:under]) + len(GAP) * under
        beside = [size for row in rows if row.tail and (size := width_of(row.tail)) <= self._room]
        if tail and beside and len(tail) <= self._room:
            self._columns.append(Column(title=tail))
            self._widths.append(max(len(tail), *beside))
        else:
            self._room = 0

    def lines(self, rows: Iterable[Row], *, colour: bool) -> Iterator[str]:
        """Yield the lines of a table of rows, headings first."""
        yield from self._row(tuple(Cell(column.title, "bold") for column in self._columns), colour)
        yield GAP.join("-" * width for width in self._widths)
        for row in rows:
            beside = row.tail and width_of(row.tail) <= self._room
            yield from self._row((*row.cells, Cell(row.tail, "dim")) if beside else row.cells, colour)
            if row.tail and not beside:
                for text in self._below(row.tail):
                    yield line(text, "dim", colour=colour)

    def _below(self, text: str) -> list[str]:
        """Put a text under its row, from where it fits into the terminal's width."""
        start = max(min(self._start, self._width - width_of(text)), len(GAP))
        indent = " " * start
        return [indent + part for part in folded(text, max(self._width - start, LEAST_WIDTH))]

    def _row(self, cells: Sequence[Cell], colour: bool) -> Iterator[str]:
        parts = [
            folded(cell.text, size, hanging="" if column.right else _HANGING) if column.folds else [cell.text]
            for cell, size, column in zip(cells, self._widths, self._columns, strict=False)
        ]
        for texts in zip_longest(*parts, fillvalue=""):
            shown = []
            for text, cell, size, column in zip(texts, cells, self._widths, self._columns, strict=False):
                gap = " " * (size - width_of(text))
                styled = _styled(text, cell.style, colour=colour)
                shown.append(gap + styled if column.right else styled + gap)
            yield GAP.join(shown).rstrip()


def table(
    columns: Sequence[Column], rows: Sequence[Row], *, width: int, colour: bool, tail: str = "", under: int = 0
) -> str:
    """Return a whole table as text."""
    layout = Layout(columns, rows, width=width, tail=tail, under=under)
    return "\n".join(layout.lines(rows, colour=colour))


def _widths(columns: Sequence[Column], rows: Iterable[Row], width: int) -> list[int]:
    natural = [width_of(column.title) for column in columns]
    least = [_least(column.title) if column.folds else size for column, size in zip(columns, natural, strict=True)]
    for row in rows:
        for i, cell in enumerate(row.cells):
            size = width_of(cell.text)
            natural[i] = max(natural[i], size)
            if columns[i].folds and size > least[i]:
                least[i] = max(least[i], _least(cell.text))
    free = width - len(GAP) * (len(columns) - 1)
    widths = list(natural)
    while sum(widths) > free:
        wide = [i for i, column in enumerate(columns) if column.folds and widths[i] > least[i]]
        if not wide:
            break
        widest = max(wide, key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _least(text: str) -> int:
    """Return the width of the longest word, up to one that is cut."""
    indent = len(text) - len(text.lstrip(" "))
    words = [len(word.rstrip("_ ")) for word in _words(text)]
    return max(_LEAST_FOLDED, min(max(words, default=0) + indent + len(_HANGING), _LONGEST_WORD))


@functools.lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^_ ]+[_ ]*|[_ ]+", text))


def folded(text: str, width: int, hanging: str = _HANGING) -> list[str]:
    """Return a text in lines, cut where words end; later lines are indented a little.

    >>> folded("demographic_parity_difference", 18)
    ['demographic_', '  parity_', '  difference']
    """
    if width_of(text) <= width:
        return [text]
    lines: list[str] = []
    full = " " * (len(text) - len(text.lstrip(" ")))
    later = full + hanging
    for word in _words(text.lstrip(" ")):
        rest = word
        if full.strip() and width_of(full + rest.rstrip(" ")) > width:
            lines.append(full.rstrip())
            full = later
        while width_of(full + rest.rstrip(" ")) > width:  # a word that is longer than the column
            room = _fitting(rest, width - width_of(full))
            lines.append(full + rest[:room])
            full, rest = later, rest[room:]
        full += rest
    return [*lines, full.rstrip()]


def _fitting(text: str, width: int) -> int:
    """Return how many characters of a text fit into some columns, at least one."""
    return max(sum(width_of(text[: number + 1]) <= width for number in range(min(len(text), width))), 1)
