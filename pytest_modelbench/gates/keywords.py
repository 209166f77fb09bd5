"""Every keyword of a kpi marker: what it takes, its type in modelbench.toml, and what it is for.

One table, from which reading, the marker's help, the documentation and the JSON Schema of modelbench.toml follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.data.treatment import BINS_EXPECTED, MISSING, are_bins, is_missing_word
from pytest_modelbench.exports.options import parity_of, size_of, speed_of
from pytest_modelbench.gates.harder_inputs import HARDER, UNDER
from pytest_modelbench.gates.keyword import (
    AVERAGES,
    COUNT,
    DTYPES,
    PROCESSES,
    Keyword,
    are_dimensions,
    are_names,
    choice,
    class_of,
    is_number,
    is_text,
    number,
    schema_of,
    tolerance,
    truth,
)
from pytest_modelbench.gates.serving import SERVING
from pytest_modelbench.gates.tasks import TASKS
from pytest_modelbench.gates.texts import TEXT
from pytest_modelbench.grammar.option_values import CONFIDENCE, Number

OWN: Mapping[str, Keyword] = {
    "better": Keyword(
        told="which direction is better, for a custom KPI",
        schema={"enum": ["higher", "lower"]},
        unset="higher, for a scorer of scikit-learn",
    ),
    "unit": Keyword(told="the unit of a custom KPI", schema={"type": "string"}, unset="none, for a metric"),
    "metric": Keyword(
        told="module:function (targets, predictions) -> float, or the name of a scorer of scikit-learn",
        schema={"type": "string"},
        unset="the test records the value",
    ),
    "key": Keyword(
        told="the entry of a metric's result",
        schema={"type": "string"},
        takes=is_text,
        expected="a string: an entry of the metric's result",
        unset="the only entry, or the one of the KPI's name",
    ),
    "inputs": Keyword(
        told="what the metric receives as predictions",
        schema={"enum": ["labels", "scores"]},
        takes=lambda v: v in {"labels", "scores"},
        expected="'labels' or 'scores': what the metric receives",
        unset="labels; scores for an object of torchmetrics",
    ),
}
"""Keywords of KPIs that the catalogue does not have."""

MEASURING: Mapping[str, Keyword] = {
    "allow_reversed": truth("accept limits that a better student would break"),
    "batch_size": number("samples in one call", COUNT, unset="the best of 1, 2, 4, ... 256"),
    "memory": Keyword(
        told="memory that larger batches may add to the process, such as '2 GB'",
        schema={"type": "string"},
        unset="half of what is available",
    ),
    "processes": number(
        "fresh processes that repeat the comparison", PROCESSES, "an integer from 2 to 1,000, or 1 for none"
    ),
    "confidence": number(
        "the confidence of each side; makes a limit on quality a non-inferiority test",
        CONFIDENCE,
        unset="0.95 for timed KPIs; for quality none: the point on your data decides",
    ),
    "average": choice("average over classes, as in scikit-learn", AVERAGES),
    "compile": truth("time what torch.compile makes of the models"),
    "headroom": Keyword(
        told="factor on the peak memory",
        schema={"type": "number", "minimum": 1},
        takes=lambda v: is_number(v) and 1 <= v < 100,
        expected="a factor of at least 1, such as 1.2",
    ),
    "min_n": number("samples that a class, slice or group has at least", COUNT),
    "depth": number("the depth of the tree that searches for a weak slice", COUNT),
    "samples": number(
        "how many samples are used: the data's first ones; under corruptions some of each class, in proportion", COUNT
    ),
    "source": Keyword(
        told="the model that the student was made from: module:factory, file.py:factory or a saved model",
        schema={"type": "string"},
        takes=lambda v: is_text(v) and bool(v.strip()),
        expected="a string: module:factory, file.py:factory or the path of a saved model",
        unset="the model that the session exported the student from",
    ),
    "batch_sizes": Keyword(
        told="the numbers of samples in one call, each of which is compared",
        schema={"type": "array", "items": schema_of(COUNT), "minItems": 1},
        takes=lambda v: isinstance(v, list | tuple) and bool(v) and all(map(COUNT.fits, v)),
        expected="a list of integers of at least 1, such as [1, 7]",
        unset="1, and the batch size of the data; `export`: 1, 2, 7 and that of the data",
    ),
    "outputs": Keyword(
        told="the names of the outputs that are compared",
        schema={"type": ["string", "array"], "items": {"type": "string"}},
        takes=are_names,
        expected="the name of an output, or a list of several",
        unset="all",
    ),
    "atol": tolerance(
        "the absolute tolerance of numpy.allclose; makes the value the share of elements outside of it"
    ),
    "rtol": tolerance(
        "the relative tolerance of numpy.allclose; makes the value the share of elements outside of it"
    ),
    "feature": Keyword(
        told="the sensitive feature, or several for their intersections",
        schema={"type": ["string", "array"], "items": {"type": "string"}},
        takes=are_names,
        expected="the name of a sensitive feature of the data, a list of several, or 'each'",
        unset="the only one of the data",
    ),
    "control": Keyword(
        told="the feature within whose values groups are compared",
        schema={"type": "string"},
        takes=is_text,
        expected="the name of a sensitive feature of the data",
        unset="none",
    ),
    "missing": Keyword(
        told="treatment of samples whose feature is missing",
        schema={"enum": list(MISSING)},
        takes=is_missing_word,
        expected=f"one of {', '.join(MISSING)}",
        unset="what the data say",
    ),
    "bins": Keyword(
        told="groups of about equal size that numbers are put into, or their edges; by feature in a table",
        schema={
            "type": ["integer", "array", "object"],
            "items": {"type": "number"},
            "minimum": 2,
            "minItems": 1,
        },
        takes=lambda v: v is not None and are_bins(v),
        expected=BINS_EXPECTED,
        unset="what the data say",
    ),
    "positive": class_of(
        "the class whose rates are compared",
        "a class: the one whose rate is compared",
        "the second of two; of several, each alone",
    ),
    "output": class_of(
        "the class whose probability is to move",
        "a class: the one whose probability is to move",
        "the second of two classes",
    ),
    "dtype": choice("the target number type", DTYPES),
    "transform": Keyword(
        told="module:function that changes the inputs of a batch",
        schema={"type": "string"},
        takes=lambda v: callable(v) or (is_text(v) and ":" in v),
        expected="a function that takes a batch of inputs and returns another, or 'module:function'",
        unset="it must be stated",
    ),
    "tolerance": Keyword(
        told="how far a probability or value may move",
        schema={"type": "number", "minimum": 0},
        takes=lambda v: is_number(v) and 0 <= v < math.inf,
        expected="a number of at least 0",
        unset="labels are compared; `directional`: 0",
    ),
    "sign": Keyword(
        told="1 if the value may only rise, -1 if it may only fall",
        schema={"enum": [1, -1]},
        takes=lambda v: is_number(v) and v in {1, -1},
        expected="1 (the value may only rise) or -1 (it may only fall)",
    ),
    **HARDER,
    "formats": Keyword(
        told="formats to export the student to, such as ['onnx', 'openvino:f16']",
        schema={"type": ["string", "array"], "items": {"type": "string"}},
        takes=are_names,
        expected="the name of a format, or a list of several",
        unset="those that `includes` names",
    ),
    "opset": number("the opset of ONNX files", Number(least=1, most=100, whole=True), unset="the exporter's own"),
    "dynamic": Keyword(
        told="dimensions of each input that may vary in an exported file, by the input's name or position",
        schema={"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
        takes=are_dimensions,
        expected="a table of lists of integers, such as {'input_ids': [0, 1]}",
        unset="the first, and those in which the data's batches differ",
    ),
    "parity": Keyword(
        told="the greatest parity with which an exported file passes",
        schema={"type": ["number", "string"]},
        takes=lambda v: parity_of(v) is not None,
        expected="a number above 0 and at most 1, or a string such as '<= 1e-4'",
    ),
    "size": Keyword(
        told="the most bytes that the files of an exported student may have",
        schema={"type": "string"},
        takes=lambda v: size_of(v) is not None,
        expected="a string such as '<= 5 MB'",
        unset="no limit",
    ),
    "speed": Keyword(
        told="how many times as fast as the student itself an exported file must be",
        schema={"type": "string"},
        takes=lambda v: speed_of(v) is not None,
        expected="a string such as '>= 1.5x'",
        unset="not timed",
    ),
    **SERVING,
    **TEXT,
    **TASKS,
    "allow_estimated": truth("let absolute limits judge estimates"),
    "allow_weak_teacher": truth("let limits be relative to a teacher that predicts no better than a constant"),
}
"""Keywords of the catalogue's KPIs, in the order of the documentation; each KPI says which ones it takes."""

KEYWORDS: Mapping[str, Keyword] = {**MEASURING, **UNDER, **OWN}
PAGES: Mapping[str, str] = {
    "allow_reversed": "limits.md#limits-in-the-other-direction",
    "processes": "verdicts.md#times",
    "confidence": "verdicts.md#quality",
    "compile": "cost.md#compiled-models",
    "allow_estimated": "cost.md#energy-and-carbon",
    "allow_weak_teacher": "verdicts.md#the-teacher-must-be-worth-comparing-with",
    **dict.fromkeys(("feature", "control", "positive", "missing", "bins"), "fairness.md#options"),
    **dict.fromkeys(("source", "batch_sizes", "outputs", "atol", "rtol"), "deployment.md#parity"),
    **dict.fromkeys(("transform", "tolerance", "sign", "output"), "behaviour.md#metamorphic-tests"),
    **dict.fromkeys(("corruptions", "severities", "seeds", "by", "min_errors", "under"), "robustness.md#options"),
    **dict.fromkeys(("formats", "opset", "dynamic", "parity", "size", "speed"), "deployment.md#export-readiness"),
    **dict.fromkeys(("rate", "arrivals", "max_batch", "max_wait", "within"), "load.md#options"),
    **dict.fromkeys(
        ("eps", "norm", "range", "mean", "std", "steps", "queries", "surrogate", "attack"), "attacks.md#options"
    ),
    **dict.fromkeys(("ood", "score", "at"), "ood.md#options"),
    **dict.fromkeys(("normalise", "extract", "of", "tokenize", "lowercase", "word_order"), "text.md#quality"),
    **dict.fromkeys(("script", "phrases"), "text.md#failures"),
    "strict": "tagging.md#quality",
    **dict.fromkeys(("iou", "min_score"), "detection.md#fidelity"),
    **dict.fromkeys(("metric", "key", "inputs"), "metrics.md"),
    **dict.fromkeys(("better", "unit"), "#custom-kpis"),
}
"""Where the documentation explains a keyword."""


OF_EXTENSIONS = Keyword(
    told="an option of a KPI that an extension brings",
    takes=lambda value: isinstance(value, str | int | float | bool),
    expected="a string, a number, True or False",
)


def keyword_of(name: str) -> Keyword:
    """Return a keyword by its name; others than ours are options of an extension's KPI."""
    return KEYWORDS.get(name, OF_EXTENSIONS)


def toml_type(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a keyword in modelbench.toml."""
    keyword = keyword_of(name)
    return {**keyword.schema, "description": keyword.told}


def marker_help() -> str:
    """Return what `pytest --markers` says of the kpi marker: how it is written, and a line for each keyword."""
    keywords = "\n".join(f"    {name}=: {keyword.told}" for name, keyword in KEYWORDS.items())
    return (
        "kpi(name, *limits, **keywords): judge one KPI of the student, for example kpi('latency_p99', '<= 120 ms', "
        "'reduction >= 85%'). Limits are '[subject] op quantity' with the subjects reduction, increase, ratio, "
        "speedup, difference, drop, regression, or 'includes NAME, NAME' for a KPI that counts a set; without a "
        "subject the student's own value is judged. The test runs "
        "once for each student. See `pytest --modelbench-kpis` for the names of the KPIs and the keywords of each. "
        f"The keywords are:\n{keywords}"
    )
