"""Lines of a TOML text's keys."""

from __future__ import annotations

import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.gates.toml_lines import depth, line_of_each_key, paths

Path = tuple[str, ...]
VALUES = (
    "1",
    '"= [x] # no comment"',
    "[\n 1, # ]\n 2,\n]",
    "'''\nk = 1\n[no]\n'''",
    '"""\nk = \\"\\"\\"1\n"""',
    '"""a"""""',
    "''''a'''''",
    "'it is \"so\"'",
    "{a = 1, 'b c' = {d = [1,\n2]}}",
    '"\\\\"',
    "[[], [{x = 1}]]",
    "1979-05-27 07:32:00",
)
KEYS = ("a", "b.c", '"d e"', "'f#'.g", 'h . "i]"', "j-k", '""', "l")
BETWEEN = ("", "\n", "# [x]\n", "   \n\t# = '''\n", "\r\n")


def slowly(text: str) -> dict[Path, int]:
    """Return the same by reading each part of the text anew: a statement starts where all before it is valid."""
    lines = text.replace("\r\n", "\n").split("\n")
    known: dict[Path, int] = {}
    start = 0
    for end in range(1, len(lines) + 1):
        try:
            table = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for path in paths(table):
            known.setdefault(path, start + 1)
        start = end
    return known


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Return a text that may be TOML: heads, keys, values, comments, in any order."""
    parts = []
    for key in draw(st.permutations(KEYS))[: draw(st.integers(0, len(KEYS)))]:
        head = draw(st.sampled_from(("", "", "", "[{}]", "[[{}]]", "[ {} ] # x")))
        parts.append(draw(st.sampled_from(BETWEEN)))
        parts.append(head.format(key) if head else f"{key} = {draw(st.sampled_from(VALUES))} # c")
        parts.append("\n")
    return "".join(parts)


@given(documents())
def test_lines_are_those_of_reading_again_and_again(text: str) -> None:
    """One pass finds what reading every prefix of the text finds, for every key outside of an array of tables."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found, expected = line_of_each_key(text, table), slowly(text)
    assert {path: found[path] for path in expected} == expected
    assert set(found) == set(expected) or "[[" in text


@pytest.mark.parametrize("value", VALUES)
def test_what_stands_in_a_value_is_no_key(value: str) -> None:
    """Whatever looks like one, on however many lines."""
    text = f"a = {value}\n[b]\nc = {value} # d = 1\ne = 1"
    table = tomllib.loads(text)
    found = line_of_each_key(text, table)
    assert set(found) == set(paths(table))
    assert found["b", "e"] == text.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a\u2028b\r\nk = 1", 2),
        ("a = '''\r\n\r\n'''\r\nk = 1", 4),
        ("[x]\n[x.y]\n[[z]]\nq = 1\n[z.w]\n[k]", 6),
    ],
)
def test_only_line_feeds_end_lines(text: str, line: int) -> None:
    """As TOML has it, whatever else a terminal takes for an end."""
    assert line_of_each_key(text, tomllib.loads(text))["k",] == line


@pytest.mark.parametrize(
    "part",
    ["k{} = 1\n", "# {}\n", "[t{}]\nx = 1\n", "k{} = [\n1,\n]\n", "k{} = '''\nx\n'''\n", "a.b.k{} = {{c = 1}}\n"],
)
def test_time_grows_with_the_size(part: str) -> None:
    """Ten times the lines take some ten times as long, and not a hundred times."""

    def took(count: int) -> float:
        text = "".join(part.format(number) for number in range(count))
        table = tomllib.loads(text)
        times = []
        for _ in range(3):
            start = time.process_time()
            line_of_each_key(text, table)
            times.append(time.process_time() - start)
        return min(times)

    assert took(10_000) < 40 * max(took(1_000), 1e-3)


@pytest.mark.parametrize(("value", "deep"), [({}, 1), ({"a": [1]}, 2), ({"a": {"b": [[{}]]}}, 5), (3, 1)])
def test_depth(value: object, deep: int) -> None:
    """Tables and arrays count alike."""
    assert depth(value) == deep
