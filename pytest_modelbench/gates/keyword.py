"""What one keyword of a kpi marker is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.grammar.option_values import Number


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


def numeric(effect: str, number: Number, expected: str = "", unset: str = "") -> Keyword:
    """Return a keyword that takes a number.

    Args:
        effect: what it does, for the documentation.
        number: the numbers that it takes.
        expected: what a message says of them, if not what they say of themselves.
        unset: what applies if it is left out.
    """
    return Keyword(
        told=effect, schema=schema_of(number), takes=number.fits, expected=expected or number.expected, unset=unset
    )
