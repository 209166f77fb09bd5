"""On which line each key of a TOML text is written; `tomllib` does not tell.

A text that `tomllib` has read is valid, so that one pass over it finds its statements. Of a value only its end is
looked for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"""(?:"{0,2})' + r"|'''(?:[^']|'(?!''))*+'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*+"' + r"|'[^'\n]*+'",
    re.DOTALL,
)
_NAME = re.compile(rf"[A-Za-z0-9_-]+|{_TEXT.pattern}", re.DOTALL)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_SPACE = re.compile(r"[ \t]*+")
_COMMENT = re.compile(r"#[^\n]*+")
_PLAIN = re.compile(r"[^\"'\[\]{}#\n]+")


def line_of_each_key(text: str, table: Mapping[str, Any]) -> dict[Path, int]:
    r"""Return the line on which each key of a TOML text is written, counted from 1; a key of a value has the value's.

    Args:
        text: as written.
        table: what `tomllib` made of it.

    >>> text = '[a]\nb = [\n  1,\n]\nc.d = {e = 2}'
    >>> line_of_each_key(text, tomllib.loads(text))
    {('a',): 1, ('a', 'b'): 2, ('a', 'c'): 5, ('a', 'c', 'd'): 5, ('a', 'c', 'd', 'e'): 5}
    """
    lines: dict[Path, int] = {}
    for line, path in _statements(text):
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    for path in paths(table):
        lines.setdefault(path, lines.get(path[:-1], 1))
    return lines


def paths(table: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the path of each key, that of a table before those in it."""
    waiting: list[tuple[Path, Iterator[tuple[str, Any]]]] = [((), iter(table.items()))]
    while waiting:
        above, items = waiting[-1]
        entry = next(items, None)
        if entry is None:
            waiting.pop()
            continue
        yield (*above, entry[0])
        if isinstance(entry[1], dict):
            waiting.append(((*above, entry[0]), iter(entry[1].items())))


def depth(value: object) -> int:
    """Return how deep tables and arrays lie in each other."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting += [(child, level + 1) for child in inner if isinstance(child, dict | list)]
    return deepest


def _statements(text: str) -> Iterator[tuple[int, Path]]:
    """Yield the line and the whole path of each table's head and of each key with a value."""
    at, line, counted = 0, 1, 0
    table: Path = ()
    while True:
        at = _end(_BLANK, text, at)
        if at >= len(text):
            return
        line, counted = line + text.count("\n", counted, at), at
        if text[at] == "[":
            path, at = _key(text, at + (2 if text.startswith("[[", at) else 1))
            table = path
        else:
            path, at = _key(text, at)
            path = (*table, *path)
        yield line, path
        at = _end_of_statement(text, at)


def _key(text: str, at: int) -> tuple[Path, int]:
    """Read a key, `a."b c".d`, and return where it ends."""
    parts: list[str] = []
    while True:
        at = _end(_SPACE, text, at)
        name = _NAME.match(text, at)
        if name is None:
            return tuple(parts), at + 1
        parts.append(_unquoted(name.group()))
        at = _end(_SPACE, text, name.end())
        if not text.startswith(".", at):
            return tuple(parts), at
        at += 1


def _unquoted(name: str) -> str:
    return next(iter(tomllib.loads(f"{name} = 0"))) if name[0] in "\"'" else name


def _end_of_statement(text: str, at: int) -> int:
    """Return where the line ends that a statement ends on: brackets may span lines."""
    level = 0
    while at < len(text):
        at = _end(_PLAIN, text, at)
        character = text[at : at + 1]
        if character == "\n" and level <= 0:
            return at
        quoted = _TEXT.match(text, at) if character and character in "\"'" else None
        if quoted is not None:
            at = quoted.end()
            continue
        if character == "#":
            at = _end(_COMMENT, text, at)
            continue
        level += (character in ("[", "{")) - (character in ("]", "}"))
        at += 1
    return at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
