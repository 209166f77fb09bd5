"""Keywords of KPIs of generated text."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import COUNT, Keyword, choice, number, truth
from pytest_modelbench.grammar.option_values import Number

CONTEXT = Number(least=2, most=10_000_000, whole=True)

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
    "top_k": number(
        "how many of the teacher's likeliest tokens a contract holds at each place, the others as one; if the "
        "teacher itself is there, all tokens count",
        Number(least=1, most=10_000, whole=True),
    ),
    "length_norm": choice(
        "what the log-likelihood of a choice is divided by: nothing, or its length", ("none", "tokens", "bytes")
    ),
    "tokens": number("tokens of each answer, forced", COUNT, unset="the length that the model gives each answer"),
    "min_tokens": number("tokens that an answer has at least; shorter ones are left out", COUNT),
    "cache": choice(
        "whether prompts are in the server's cache of prefixes: cold ones begin with a line of their own, warm ones "
        "are asked once before they are timed",
        ("cold", "warm"),
        unset="cold where a model runs elsewhere, and neither on this machine",
    ),
    "of": choice("the first text, or the first after reasoning", ("any", "answer")),
    "context": number("tokens of the prompt after which the cache is counted", CONTEXT, unset="256, or the model's"),
}
