"""Keywords of KPIs of generated text."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, choice, number, truth
from pytest_modelbench.grammar.option_values import Number

TEXT: Mapping[str, Keyword] = {
    "normalise": choice("what is done to answers and references before they are compared", ("spaces", "none")),
    "window": number(
        "the most tokens of a text that a model sees at once",
        Number(least=2, most=10_000_000, whole=True),
        unset="the model's context",
    ),
    "stride": number(
        "by how many tokens the next window begins later",
        Number(least=1, most=10_000_000, whole=True),
        unset="half of the window",
    ),
    "bos": truth("begin each window with the tokeniser's first token (BOS), if it has one"),
    "length_norm": choice(
        "what the log-likelihood of a choice is divided by: nothing, or its length", ("none", "tokens", "bytes")
    ),
}
