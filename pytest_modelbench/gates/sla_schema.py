"""The JSON Schema of modelbench.toml, made from the tables that read it and from the catalogue of KPIs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pytest_modelbench.data.prompts import ENDINGS
from pytest_modelbench.data.tasks.names import ARGUMENTS, tasks_with
from pytest_modelbench.exports.options import VARIANTS
from pytest_modelbench.gates.harder_inputs import UNDER
from pytest_modelbench.gates.keyword import schema_of
from pytest_modelbench.gates.keywords import MEASURING, OWN, toml_type
from pytest_modelbench.gates.sla_data import DATA_CHOICES, DATA_KEYS, DATA_NUMBERS, NOT_OF_PROMPTS, OF_SHARDS
from pytest_modelbench.grammar.option_values import Number, OneOf
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.catalogue import UNDER as UNDER_OPTIONS
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.options import OPTIONS, Option
from pytest_modelbench.settings import typed

TARGET = rf"^({'|'.join(VARIANTS)})(:\w+)?(@\w+)?$"
_SPEC = {"$ref": "#/$defs/spec"}
_LIMITS = {"$ref": "#/$defs/limits"}
_SPEC_TEXT = {
    "type": "string",
    "minLength": 1,
    "description": "module:factory or file.py:factory, either with @weights; or a saved model: a .pt2, TorchScript "
    "or skops file, a folder of save_pretrained(), hf://organisation/name",
}
_FORMATS: dict[str, Any] = {
    "type": ["array", "string"],
    "items": {"type": "string", "pattern": TARGET},
    "minItems": 1,
    "minLength": 1,
    "examples": [["onnx", "openvino"], "onnx,openvino"],
}
_STUDENT = {
    "oneOf": [
        _SPEC,
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["model"],
            "properties": {
                "model": _SPEC,
                "deploy": {
                    **_FORMATS,
                    "description": "Formats that the student is also judged in, by the exported file",
                },
            },
        },
    ]
}
_LIMIT = {
    "type": "string",
    "minLength": 1,
    "description": "[subject] op quantity, with the subjects reduction, increase, ratio, speedup, difference, drop, "
    "regression; or LIMIT if KPI LIMIT, else LIMIT",
    "examples": ["<= 120 ms", "reduction >= 85%", "drop <= 2 pp"],
}


_TEXT_FILE = rf"({'|'.join(ENDINGS)})$".replace(".", r"\.")
_IS_TEXT = {"properties": {"task": {"const": "text"}}, "required": ["task"]}
_JSON_TYPES = {str: "string", int: "integer", list: "array", float: "number", bool: "boolean"}


def sla_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of modelbench.toml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:pytest-modelbench:modelbench.toml:1",
        "title": "modelbench.toml",
        "description": "Limits that a compressed model must meet, judged by pytest --modelbench",
        "type": "object",
        "additionalProperties": False,
        "$defs": {"spec": _SPEC_TEXT, "limits": {"oneOf": [_LIMIT, {"type": "array", "items": _LIMIT}]}},
        "properties": {
            "models": {
                "type": "object",
                "description": "Models for this file's items; without it the fixtures of conftest.py provide them",
                "additionalProperties": False,
                "properties": {
                    "teacher": _SPEC,
                    "student": _STUDENT,
                    "previous": _SPEC,
                    "students": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": _STUDENT,
                        "description": "Students by label",
                    },
                },
            },
            "data": {
                "type": "object",
                "description": "The evaluation data for this file's items, and how outputs are read",
                "additionalProperties": False,
                "oneOf": [{"required": ["eval"]}, {"required": ["shards", "task"]}],
                "dependentRequired": {key: ["shards"] for key in OF_SHARDS},
                "properties": {key: _data_key(key, kinds) for key, kinds in DATA_KEYS.items()},
                "if": {"anyOf": [_IS_TEXT, {"properties": {"eval": {"pattern": _TEXT_FILE}}, "required": ["eval"]}]},
                "then": {"properties": {**_without(NOT_OF_PROMPTS), "task": {"const": "text"}}},
                "else": {"properties": _without(ARGUMENTS["text"][0])},
                "dependentSchemas": dict(_of_tasks()),
            },
            "run": {
                "type": "object",
                "description": "Settings of this file; they override the ini file, the command line overrides them",
                "additionalProperties": False,
                "properties": {
                    option.name.removeprefix("modelbench_"): _setting(option) for option in OPTIONS if option.run
                },
            },
            "kpi": {
                "type": "object",
                "description": "One item for each key, named after it",
                "minProperties": 1,
                "properties": {kpi.name: _kpi(kpi) for kpi in CATALOGUE.values()},
                "additionalProperties": _other_gate(),
            },
        },
    }


def _without(keys: Iterable[str]) -> dict[str, bool]:
    return dict.fromkeys(keys, False)


def _of_tasks() -> Iterator[tuple[str, Any]]:
    """Yield each key that some tasks have, with one of them as the task it needs; prompts may be in a file, too."""
    for key in DATA_KEYS:
        tasks = tasks_with(key)
        if tasks and tasks != ("text",):
            yield key, {"properties": {"task": {"enum": list(tasks)}}, "required": ["task"]}


def _data_key(key: str, kinds: Iterable[type]) -> dict[str, Any]:
    if key == "eval":
        return {**_SPEC_TEXT, "description": "module:factory or file.py:factory; or a file of prompts (.jsonl)"}
    if key == "shards":
        return {
            "type": ["string", "array"],
            "items": {"type": "string"},
            "minItems": 1,
            "description": "Paths, URLs or patterns of the files that hold the data, in the place of eval",
        }
    if key in DATA_CHOICES:
        return {"enum": list(DATA_CHOICES[key])}
    number = schema_of(DATA_NUMBERS[key]) if key in DATA_NUMBERS else {}
    return {**number, "type": [_JSON_TYPES[kind] for kind in kinds]}


def _other_gate() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Another gate on a KPI of the catalogue (kpi=), or a custom KPI (metric=)",
        "properties": {
            "kpi": {"enum": list(CATALOGUE)},
            "limits": _LIMITS,
            **{name: toml_type(name) for name in (*OWN, *UNDER, *MEASURING)},
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["kpi"]}, {"required": ["metric"]}],
    }


def _setting(option: Option) -> dict[str, Any]:
    values = typed(option)
    if isinstance(values, OneOf):
        return {"enum": list(values.choices), "description": option.help}
    if isinstance(values, Number):
        return {**schema_of(values), "description": option.help}
    if option.metavar == "FORMATS":
        return {**_FORMATS, "description": option.help}
    percent = {"pattern": r"^\d+(\.\d+)?\s*%$"} if option.metavar == "PERCENT" else {}
    return {"type": "string", **percent, "description": option.help}


def _kpi(kpi: Kpi) -> dict[str, Any]:
    names = ("allow_reversed", *kpi.options, *(UNDER_OPTIONS if kpi.corruptible else ()))
    table = {
        "type": "object",
        "properties": {"limits": _LIMITS, **{name: toml_type(name) for name in names}},
        "additionalProperties": False,
    }
    description = f"{kpi.definition} ({kpi.unit or 'no unit'}, {kpi.better} is better)"
    return {"description": description, "oneOf": [_LIMITS, table]}
