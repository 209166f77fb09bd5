"""The JSON Schema of modelbench.toml, made from the tables that read it and from the catalogue of KPIs."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.data.treatment import MISSING
from pytest_modelbench.gates import AVERAGES, DTYPES
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.options import OPTIONS, Option
from pytest_modelbench.sla import DATA_CHOICES, DATA_KEYS

_SPEC = {"$ref": "#/$defs/spec"}
_LIMITS = {"$ref": "#/$defs/limits"}
_SPEC_TEXT = {
    "type": "string",
    "minLength": 1,
    "description": "module:factory or file.py:factory, either with @weights; or a saved model: a .pt2, TorchScript "
    "or skops file, a folder of save_pretrained(), hf://organisation/name",
}
_LIMIT = {
    "type": "string",
    "minLength": 1,
    "description": "[subject] op quantity, with the subjects reduction, increase, ratio, speedup, difference, drop, "
    "regression; or LIMIT if KPI LIMIT, else LIMIT",
    "examples": ["<= 120 ms", "reduction >= 85%", "drop <= 2 pp"],
}
_OPTION_TYPES: dict[str, dict[str, Any]] = {
    "batch_size": {"type": "integer", "minimum": 1, "description": "samples in one call"},
    "memory": {"type": "string", "description": "what larger batches may add to the process, such as '2 GB'"},
    "processes": {"type": "integer", "minimum": 1, "description": "fresh processes that repeat the comparison"},
    "confidence": {
        "type": "number",
        "exclusiveMinimum": 0.5,
        "exclusiveMaximum": 1,
        "description": "of each side; makes a limit on quality a non-inferiority test",
    },
    "average": {"enum": list(AVERAGES), "description": "over classes, as scikit-learn has it"},
    "compile": {"type": "boolean", "description": "time what torch.compile makes of the models"},
    "headroom": {"type": "number", "minimum": 1, "description": "factor on the peak memory"},
    "min_n": {"type": "integer", "minimum": 1, "description": "samples that a class, slice or group has at least"},
    "depth": {"type": "integer", "minimum": 1, "description": "of the tree that searches for a weak slice"},
    "samples": {"type": "integer", "minimum": 1, "description": "how many of the data's first samples are used"},
    "feature": {
        "type": ["string", "array"],
        "items": {"type": "string"},
        "description": "the sensitive feature, or several for their intersections",
    },
    "control": {"type": "string", "description": "the feature within whose values groups are compared"},
    "missing": {"enum": list(MISSING), "description": "what becomes of samples whose feature is missing"},
    "bins": {
        "type": ["integer", "array", "object"],
        "items": {"type": "number"},
        "minimum": 2,
        "minItems": 1,
        "description": "groups of about equal size that numbers are put into, or their edges; by feature in a table",
    },
    "positive": {"type": ["string", "integer"], "description": "the class whose rates are compared"},
    "output": {"type": ["string", "integer"], "description": "the class whose probability is to move"},
    "dtype": {"enum": list(DTYPES), "description": "the number type that is aimed at"},
    "transform": {"type": "string", "description": "module:function that changes the inputs of a batch"},
    "tolerance": {"type": "number", "minimum": 0, "description": "how far a probability or value may move"},
    "sign": {"enum": [1, -1], "description": "1 if the value may only rise, -1 if it may only fall"},
    "allow_estimated": {"type": "boolean", "description": "let absolute limits judge what was not measured"},
}
_JSON_TYPES = {str: "string", int: "integer", list: "array"}


def sla_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of modelbench.toml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:pytest-modelbench:modelbench.toml:1",
        "title": "modelbench.toml",
        "description": "Limits that a compressed model must hold, judged by pytest --modelbench",
        "type": "object",
        "additionalProperties": False,
        "$defs": {"spec": _SPEC_TEXT, "limits": {"oneOf": [_LIMIT, {"type": "array", "items": _LIMIT}]}},
        "properties": {
            "models": {
                "type": "object",
                "description": "Models for this file's items; without it the fixtures of conftest.py are judged",
                "additionalProperties": False,
                "properties": {
                    "teacher": _SPEC,
                    "student": _SPEC,
                    "previous": _SPEC,
                    "students": {"type": "object", "additionalProperties": _SPEC, "description": "Students by label"},
                },
            },
            "data": {
                "type": "object",
                "description": "The evaluation data for this file's items, and how outputs are read",
                "additionalProperties": False,
                "required": ["eval"],
                "properties": {
                    key: _SPEC
                    if key == "eval"
                    else {"enum": list(DATA_CHOICES[key])}
                    if key in DATA_CHOICES
                    else {"type": [_JSON_TYPES[kind] for kind in kinds]}
                    for key, kinds in DATA_KEYS.items()
                },
            },
            "run": {
                "type": "object",
                "description": "Settings for this file's items; the command line beats them, they beat the ini file",
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


def _other_gate() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Another gate on a KPI of the catalogue (kpi=), or a KPI of your own (metric=)",
        "properties": {
            "kpi": {"enum": list(CATALOGUE)},
            "limits": _LIMITS,
            "metric": {
                "type": "string",
                "description": "module:function (targets, predictions) -> float, or the name of a scorer of "
                "scikit-learn",
            },
            "better": {"enum": ["higher", "lower"]},
            "unit": {"type": "string"},
            "key": {"type": "string", "description": "the entry of a metric's answer"},
            **_OPTION_TYPES,
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["kpi"]}, {"required": ["metric"]}],
    }


def _setting(option: Option) -> dict[str, Any]:
    choices = (option.metavar or "").strip("{}").split(",") if (option.metavar or "").startswith("{") else []
    if choices:
        return {"enum": choices, "description": option.help}
    if option.metavar == "PERCENT":
        return {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "description": option.help}
    return {"type": "string" if option.metavar in {"DEVICE", "CODE"} else "number", "description": option.help}


def _kpi(kpi: Kpi) -> dict[str, Any]:
    table = {
        "type": "object",
        "properties": {"limits": _LIMITS, **{name: _OPTION_TYPES[name] for name in kpi.options}},
        "additionalProperties": False,
    }
    told = f"{kpi.definition} ({kpi.unit or 'no unit'}, {kpi.better} is better)"
    return {"description": told, "oneOf": [_LIMITS, table]}
