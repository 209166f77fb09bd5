"""The JSON Schema of modelbench.toml, made from the tables that read it and from the catalogue of KPIs."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.data.treatment import MISSING
from pytest_modelbench.gates.gate import AVERAGES, COUNT, DTYPES, PROCESSES
from pytest_modelbench.gates.sla import DATA_CHOICES, DATA_KEYS, DATA_NUMBERS
from pytest_modelbench.grammar.option_values import CONFIDENCE, Number, OneOf
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.options import OPTIONS, Option
from pytest_modelbench.settings import typed

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


def _range(number: Number) -> dict[str, Any]:
    least = "exclusiveMinimum" if number.above else "minimum"
    return {"type": "integer" if number.whole else "number", least: number.least, "maximum": number.most}


_OPTION_TYPES: dict[str, dict[str, Any]] = {
    "allow_reversed": {"type": "boolean", "description": "accept limits that a better student would break"},
    "batch_size": {**_range(COUNT), "description": "samples in one call"},
    "memory": {"type": "string", "description": "memory that larger batches may add to the process, such as '2 GB'"},
    "processes": {**_range(PROCESSES), "description": "fresh processes that repeat the comparison"},
    "confidence": {
        **_range(CONFIDENCE),
        "description": "of each side; makes a limit on quality a non-inferiority test",
    },
    "average": {"enum": list(AVERAGES), "description": "average over classes, as in scikit-learn"},
    "compile": {"type": "boolean", "description": "time what torch.compile makes of the models"},
    "headroom": {"type": "number", "minimum": 1, "description": "factor on the peak memory"},
    "min_n": {**_range(COUNT), "description": "samples that a class, slice or group has at least"},
    "depth": {**_range(COUNT), "description": "of the tree that searches for a weak slice"},
    "samples": {**_range(COUNT), "description": "how many of the data's first samples are used"},
    "feature": {
        "type": ["string", "array"],
        "items": {"type": "string"},
        "description": "the sensitive feature, or several for their intersections",
    },
    "control": {"type": "string", "description": "the feature within whose values groups are compared"},
    "missing": {"enum": list(MISSING), "description": "treatment of samples whose feature is missing"},
    "bins": {
        "type": ["integer", "array", "object"],
        "items": {"type": "number"},
        "minimum": 2,
        "minItems": 1,
        "description": "groups of about equal size that numbers are put into, or their edges; by feature in a table",
    },
    "positive": {"type": ["string", "integer"], "description": "the class whose rates are compared"},
    "output": {"type": ["string", "integer"], "description": "the class whose probability is to move"},
    "dtype": {"enum": list(DTYPES), "description": "the target number type"},
    "transform": {"type": "string", "description": "module:function that changes the inputs of a batch"},
    "tolerance": {"type": "number", "minimum": 0, "description": "how far a probability or value may move"},
    "sign": {"enum": [1, -1], "description": "1 if the value may only rise, -1 if it may only fall"},
    "allow_estimated": {"type": "boolean", "description": "let absolute limits judge estimates"},
    "allow_weak_teacher": {
        "type": "boolean",
        "description": "let limits be relative to a teacher that predicts no better than a constant",
    },
}
_JSON_TYPES = {str: "string", int: "integer", list: "array"}


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
                    "student": _SPEC,
                    "previous": _SPEC,
                    "students": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": _SPEC,
                        "description": "Students by label",
                    },
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
                    else {
                        **(_range(DATA_NUMBERS[key]) if key in DATA_NUMBERS else {}),
                        "type": [_JSON_TYPES[kind] for kind in kinds],
                    }
                    for key, kinds in DATA_KEYS.items()
                },
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


def _other_gate() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Another gate on a KPI of the catalogue (kpi=), or a custom KPI (metric=)",
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
            "key": {"type": "string", "description": "the entry of a metric's result"},
            "inputs": {"enum": ["labels", "scores"], "description": "what the metric receives as predictions"},
            **_OPTION_TYPES,
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["kpi"]}, {"required": ["metric"]}],
    }


def _setting(option: Option) -> dict[str, Any]:
    values = typed(option)
    if isinstance(values, OneOf):
        return {"enum": list(values.choices), "description": option.help}
    if isinstance(values, Number):
        return {**_range(values), "description": option.help}
    percent = {"pattern": r"^\d+(\.\d+)?\s*%$"} if option.metavar == "PERCENT" else {}
    return {"type": "string", **percent, "description": option.help}


def _kpi(kpi: Kpi) -> dict[str, Any]:
    table = {
        "type": "object",
        "properties": {"limits": _LIMITS, **{name: _OPTION_TYPES[name] for name in ("allow_reversed", *kpi.options)}},
        "additionalProperties": False,
    }
    told = f"{kpi.definition} ({kpi.unit or 'no unit'}, {kpi.better} is better)"
    return {"description": told, "oneOf": [_LIMITS, table]}
