"""Keywords of KPIs on harder inputs: corruptions, attacks, and sets out of distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.data.corruptions.names import EXPECTED, SEVERITIES, are_corruptions
from pytest_modelbench.gates.keyword import COUNT, Keyword, choice, is_number, is_text, number
from pytest_modelbench.grammar.option_values import Number
from pytest_modelbench.grammar.radius import EXPECTED as RADIUS_EXPECTED


def are_severities(value: Any) -> bool:
    """Whether a value is a list of different severities."""
    several = isinstance(value, list | tuple) and bool(value)
    numbers = several and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    return numbers and set(value) <= set(SEVERITIES) and len(set(value)) == len(value)


def is_range(value: Any) -> bool:
    """Whether a value is two finite numbers, the lower one first."""
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))
    return pair and -math.inf < value[0] < value[1] < math.inf


def are_numbers(value: Any) -> bool:
    """Whether a value is a finite number or a list of some."""
    several = value if isinstance(value, list | tuple) else [value]
    return bool(several) and all(is_number(number) and math.isfinite(number) for number in several)


_NUMBERS = {"type": ["number", "array"], "items": {"type": "number"}, "minItems": 1}
HARDER: Mapping[str, Keyword] = {
    "corruptions": Keyword(
        told="corruptions of the inputs: 'auto', a family such as 'images', names, or module:function",
        schema={"type": ["string", "array"], "items": {"type": "string"}, "minLength": 1, "minItems": 1},
        takes=are_corruptions,
        expected=EXPECTED,
    ),
    "severities": Keyword(
        told="how hard the corruptions are, from 1 to 5: the severities that are averaged",
        schema={
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 5},
            "minItems": 1,
            "uniqueItems": True,
        },
        takes=are_severities,
        expected="a list of different integers from 1 to 5, such as [1, 3, 5]",
    ),
    "seeds": number(
        "how often each corruption is drawn, with one seed after the other", Number(least=1, most=100, whole=True)
    ),
    "by": choice("what the largest drop is searched over", ("corruption", "severity")),
    "min_errors": number("errors of the teacher under a corruption, below which it is left out", COUNT),
    "eps": Keyword(
        told="how far an attack may move each value of an input: '8/255' of the range, '8 levels' or '0.1 sd'",
        schema={"type": "string"},
        takes=is_text,
        expected=RADIUS_EXPECTED,
        unset="it must be stated",
    ),
    "range": Keyword(
        told="the least and the greatest value of an input, as the model gets it",
        schema={"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        takes=is_range,
        expected="two numbers, the lower one first, such as [0, 1]",
        unset="0 to 1 or 0 to 255 where the data fill it",
    ),
    "norm": choice("the norm in which eps= is: linf for each value, l2 for all values together", ("linf", "l2")),
    "mean": Keyword(
        told="what was taken off each value to normalise it, one number or one for each channel; with std=",
        schema=_NUMBERS,
        takes=are_numbers,
        expected="a number, or a list with one for each channel, such as [0.485, 0.456, 0.406]",
        unset="the inputs are not normalised",
    ),
    "std": Keyword(
        told="what each value was divided by after that; eps= and range= are then of values before",
        schema=_NUMBERS,
        takes=lambda v: are_numbers(v) and all(number > 0 for number in (v if isinstance(v, list | tuple) else [v])),
        expected="a number above 0, or a list with one for each channel, such as [0.229, 0.224, 0.225]",
        unset="the inputs are not normalised",
    ),
    "steps": number("steps along the gradient", Number(least=1, most=10_000, whole=True)),
    "queries": number("how often squares ask for each sample", Number(least=1, most=1_000_000, whole=True)),
    "surrogate": Keyword(
        told="the model whose gradient serves where the student has none: what it was made from",
        schema={"type": "string"},
        takes=lambda v: is_text(v) and bool(v.strip()),
        expected="a string: module:factory, file.py:factory or the path of a saved model",
        unset="the teacher",
    ),
    "attack": Keyword(
        told="module:function (model, inputs, targets, eps, bounds, seed) -> inputs: one more attack",
        schema={"type": "string"},
        takes=lambda v: callable(v) or (is_text(v) and ":" in v),
        expected="a function that returns attacked inputs, or 'module:function'",
        unset="none",
    ),
    "ood": Keyword(
        told="a set out of distribution: its name in EvalData(ood=...), 'noise', 'shuffled', or module:function",
        schema={"type": "string"},
        takes=lambda v: callable(v) or (is_text(v) and bool(v.strip())),
        expected="the name of a set, 'noise', 'shuffled', or a function that returns inputs",
        unset="all sets of the data, of which the worst is judged",
    ),
    "score": choice("how confidence follows from the outputs", ("msp", "max_logit", "energy")),
    "at": number(
        "the percentage of the data that the threshold accepts; no number of samples bounds the threshold of 100%",
        Number(least=50, most=99.9, example="95"),
    ),
}

UNDER: Mapping[str, Keyword] = {
    "under": Keyword(
        told="judge the KPI on corrupted inputs: a corruption and its severity, such as 'gaussian_noise:3'",
        schema={"type": "string", "pattern": ":[1-5]$"},
        takes=lambda v: is_text(v) and ":" in v,
        expected="a string: a corruption and its severity from 1 to 5, such as 'gaussian_noise:3'",
        unset="the data as they are",
    ),
}
"""Keywords that every quality KPI of one forward pass takes beside its own options, with `range`."""
