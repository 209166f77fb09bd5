"""The keywords of KPIs under load: how requests arrive, and how the model answers them."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, number
from pytest_modelbench.grammar.load import MOST_RATE, rate_of, wait_of
from pytest_modelbench.grammar.option_values import Number

SERVING: Mapping[str, Keyword] = {
    "rate": Keyword(
        told="requests that arrive, such as '200/s'",
        schema={"type": "string"},
        takes=lambda v: rate_of(v) is not None,
        expected=f"a string above '0/s' and up to '{MOST_RATE}/s', such as '200/s'",
        unset="it must be stated",
    ),
    "arrivals": Keyword(
        told="how requests arrive: poisson, constant, or the path of a file with recorded times",
        schema={"type": "string"},
        takes=lambda v: isinstance(v, str) and bool(v.strip()),
        expected="'poisson', 'constant' or the path of a file with the time of one arrival, in seconds, in each line",
    ),
    "max_batch": number("requests that are answered together at most", Number(least=1, most=1024, whole=True)),
    "max_wait": Keyword(
        told="how long the first request of a batch waits for others, such as '5 ms'",
        schema={"type": "string"},
        takes=lambda v: wait_of(v) is not None,
        expected="a string from '0 ms' to '60 s', such as '5 ms'",
    ),
    "workers": number(
        "calls that run at once: processes with a model each, or connections to an endpoint",
        Number(least=1, most=64, whole=True),
        unset="1; of an endpoint 16",
    ),
    "within": Keyword(
        told="the bound on responses: '50 ms' for goodput, 'p99 <= 50 ms' for max_qps",
        schema={"type": "string"},
        takes=lambda v: isinstance(v, str),
        expected="a string such as '50 ms' or 'p99 <= 50 ms'",
        unset="it must be stated",
    ),
}
