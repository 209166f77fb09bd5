"""Resolving options: command line over ini over default."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.models.named import NamedSpec, parse_spec
from pytest_modelbench.settings import Given, Settings, resolve_settings


def places(command_line: dict[str, Any], ini: dict[str, Any]) -> list[Given]:
    return [
        Given(values=command_line, where=lambda option: option.flag),
        Given(values=ini, where=lambda option: f"ini value {option.name}"),
    ]


def test_defaults() -> None:
    """Nothing given, nothing mistaken."""
    assert resolve_settings(places({}, {})) == (Settings(), [])


def test_command_line_beats_ini() -> None:
    """A value of the command line wins, an empty one does not."""
    command_line: dict[str, Any] = {"modelbench_seed": "4", "modelbench_budget": None, "modelbench_student": []}
    ini = {"modelbench_seed": "3", "modelbench_budget": "9.5", "modelbench_student": ["a=m:f", "b=m:g"]}
    settings, mistakes = resolve_settings(places(command_line, ini))
    assert mistakes == []
    assert (settings.seed, settings.budget_s) == (4, 9.5)
    assert [student.name for student in settings.students] == ["a", "b"]


def test_mistakes_are_gathered_and_name_their_source() -> None:
    """Every mistake is told, with the option or the ini value it stands in."""
    _, mistakes = resolve_settings(
        places({"modelbench_seed": "x"}, {"modelbench_budget": "0", "modelbench_confidence": "95"})
    )
    assert len(mistakes) == 3
    assert mistakes[0].startswith("--modelbench-seed: found 'x'")
    assert mistakes[1].startswith("ini value modelbench_budget: found '0', expected a number from 1 to 604,800")
    assert mistakes[2].startswith(
        "ini value modelbench_confidence: found '95', expected a number above 0.5 and up to 0.999999, such as 0.95"
    )


@pytest.mark.parametrize(
    ("text", "spec", "name"),
    [
        ("shop.models:load", "shop.models:load", None),
        ("int8=shop.models:load", "shop.models:load", "int8"),
        ("int8=student.pt2", "student.pt2", "int8"),
        ("v1.2-small=models/shop.py:Box.make", "models/shop.py:Box.make", "v1.2-small"),
    ],
)
def test_spec(text: str, spec: str, name: str | None) -> None:
    """`[NAME=]`, and whatever `locate` makes of the rest."""
    assert parse_spec(text) == NamedSpec(spec=spec, name=name)


def test_name_of_a_student_fits_a_table() -> None:
    """A label of thousands of characters is a slip."""
    with pytest.raises(ValueError, match="expected at most 100 characters, and it has 5,000"):
        parse_spec(f"{'x' * 5000}=shop:load")


@pytest.mark.parametrize("text", ["", " ", "a= "])
def test_empty_spec(text: str) -> None:
    """Nothing names no model."""
    with pytest.raises(ValueError, match="module:factory"):
        parse_spec(text)
