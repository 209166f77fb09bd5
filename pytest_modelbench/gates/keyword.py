"""What a keyword of a kpi marker is, and how the values of one are checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.grammar.option_values import Number

AVERAGES = ("macro", "micro", "weighted", "binary")
DTYPES = ("float16", "bfloat16", "float32", "float64")
COUNT = Number(least=1, most=10_000_000, whole=True)
PROCESSES = Number(least=1, most=1000, whole=True)


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """One keyword.

    `told` describes its effect, in words that follow its name. `takes` and `expected` check a value and say what
    is expected; `takes` is None if the reader of the keyword checks it. `schema` is its type in modelbench.toml.
    `unset` describes the value that applies if it is left out and the KPI has no default for it.
    """

    told: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    takes: Callable[[Any], bool] | None = None
    expected: str = ""
    unset: str = ""


def schema_of(number: Number) -> dict[str, Any]:
    """Return the JSON Schema of a number between two bounds."""
    least = "exclusiveMinimum" if number.above else "minimum"
    return {"type": "integer" if number.whole else "number", least: number.least, "maximum": number.most}


def number(effect: str, number: Number, expected: str = "", unset: str = "") -> Keyword:
    """Return a keyword that takes a number between two bounds."""
    return Keyword(
        told=effect, schema=schema_of(number), takes=number.fits, expected=expected or number.expected, unset=unset
    )


def truth(effect: str) -> Keyword:
    """Return a keyword that takes True or False."""
    return Keyword(
        told=effect, schema={"type": "boolean"}, takes=lambda v: isinstance(v, bool), expected="True or False"
    )


def choice(effect: str, choices: tuple[str, ...], unset: str = "") -> Keyword:
    """Return a keyword that takes one of some words."""
    return Keyword(
        told=effect,
        schema={"enum": list(choices)},
        takes=lambda v: v in choices,
        expected=f"one of {', '.join(choices)}",
        unset=unset,
    )


def class_of(effect: str, expected: str, unset: str) -> Keyword:
    """Return a keyword that takes a class: its label or its number."""
    return Keyword(
        told=effect,
        schema={"type": ["string", "integer"]},
        takes=lambda v: isinstance(v, str | int),
        expected=expected,
        unset=unset,
    )


def is_number(value: Any) -> bool:
    """Whether a value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def are_names(value: Any) -> bool:
    """Whether a value is a string or a list of some."""
    several = isinstance(value, list | tuple)
    return all(map(is_text, value)) and bool(value) if several else is_text(value)


def are_dimensions(value: Any) -> bool:
    """Whether a value maps names to lists of dimensions."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(dims, list | tuple)
        and all(isinstance(at, int) and not isinstance(at, bool) and at >= 0 for at in dims)
        for name, dims in value.items()
    )


def tolerance(effect: str) -> Keyword:
    """Return a keyword that takes a tolerance of at least 0."""
    return Keyword(
        told=effect,
        schema={"type": "number", "minimum": 0},
        takes=lambda v: is_number(v) and 0 <= v < math.inf,
        expected="a number of at least 0",
        unset="0 if the other tolerance is stated, else neither",
    )
