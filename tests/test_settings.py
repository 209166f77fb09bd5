"""Resolving options: command line beats ini beats default."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.settings import NamedSpec, Settings, parse_spec, resolve_settings


def test_defaults() -> None:
    """Nothing given, nothing mistaken."""
    assert resolve_settings({}, {}) == (Settings(), [])


def test_command_line_beats_ini() -> None:
    """A value of the command line wins, an empty one does not."""
    command_line: dict[str, Any] = {"modelbench_seed": "4", "modelbench_budget": None, "modelbench_student": []}
    ini = {"modelbench_seed": "3", "modelbench_budget": "9.5", "modelbench_student": ["a=m:f", "b=m:g"]}
    settings, mistakes = resolve_settings(command_line, ini)
    assert mistakes == []
    assert (settings.seed, settings.budget_s) == (4, 9.5)
    assert [student.name for student in settings.students] == ["a", "b"]


def test_mistakes_are_gathered_and_name_their_source() -> None:
    """Every mistake is told, with the option or the ini value it stands in."""
    _, mistakes = resolve_settings(
        {"modelbench_seed": "x"}, {"modelbench_budget": "0", "modelbench_confidence": "95"}
    )
    assert len(mistakes) == 3
    assert mistakes[0].startswith("--modelbench-seed: found 'x'")
    assert mistakes[1].startswith("ini value modelbench_budget: found '0', expected at least 1")
    assert mistakes[2].startswith("ini value modelbench_confidence: found '95', expected a number between 0.5 and 1")


@pytest.mark.parametrize(
    ("text", "spec", "name"),
    [
        ("shop.models:load", "shop.models:load", None),
        ("int8=shop.models:load", "shop.models:load", "int8"),
        ("v1.2-small=models/shop.py:Box.make", "models/shop.py:Box.make", "v1.2-small"),
    ],
)
def test_spec(text: str, spec: str, name: str | None) -> None:
    """`[NAME=]module:attribute`, or a file."""
    assert parse_spec(text) == NamedSpec(spec=spec, name=name)


@pytest.mark.parametrize("text", ["shop.models", "shop:", ":load", "a=b", ""])
def test_spec_without_an_attribute(text: str) -> None:
    """A module alone names no model."""
    with pytest.raises(ValueError, match="module:factory"):
        parse_spec(text)
