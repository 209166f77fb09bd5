"""The parts of the report's schema and documentation that follow from the dataclasses."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from pytest_modelbench.reports.gate_record import GateRecord
from pytest_modelbench.results import LimitResult, Verdict

_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def form_of(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type: a text, a number, a flag, null, texts, an object, or one of several.

    >>> form_of(float | None), form_of(tuple[str, ...])
    ({'type': ['number', 'null']}, {'type': 'array', 'items': {'type': 'string'}})

    Raises:
        TypeError: it is none of these, and the field must state its form.
    """
    if hint is Verdict:
        return {"enum": [verdict.value for verdict in Verdict]}
    if hint in _NAMES:
        return {"type": _NAMES[hint]}
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return {"type": [form_of(alternative)["type"] for alternative in get_args(hint)]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"}
    if get_args(hint)[:1] == (str,):
        return {"type": "array", "items": {"type": "string"}}
    raise TypeError(f"no JSON Schema is known for {hint}")


def gate_form() -> dict[str, Any]:
    """Return the JSON Schema of a gate."""
    hints = get_type_hints(GateRecord)
    properties = {
        field.name: {
            "description": field.metadata["description"],
            **(field.metadata["form"] or form_of(hints[field.name])),
        }
        for field in fields(GateRecord)
    }
    always = [field.name for field in fields(GateRecord) if field.metadata["always"]]
    return {"type": "object", "properties": properties, "required": always}


def limit_form() -> dict[str, Any]:
    """Return the JSON Schema of one limit of a gate."""
    hints = get_type_hints(LimitResult)
    properties = {field.name: form_of(hints[field.name]) for field in fields(LimitResult)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def with_parts(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report's schema with the parts of the gate and its limits as the dataclasses have them."""
    return {**schema, "$defs": {**schema["$defs"], "limit": limit_form(), "gate": gate_form()}}


def gate_table() -> str:
    """Return the fields of a gate as a table in Markdown."""
    rows = [f"| `{field.name}` | {field.metadata['description']} |" for field in fields(GateRecord)]
    return "\n".join(["| field of a gate | holds |", "|---|---|", *rows])
