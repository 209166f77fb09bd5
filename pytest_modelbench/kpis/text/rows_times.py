"""The efficiency pillar: how soon the tokens of answers come, and how many come in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, Kpi
from pytest_modelbench.probes.kinds import TOKEN_TIMES

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
MIN_TOKENS = 16
_OPTIONS: Mapping[str, Any] = {"tokens": None, "batch_size": 1, "cache": None, "confidence": None}
_METHOD = "each prompt asked of both models in a random order, round after round; "
_BY_MEAN = "ratio of sums, jackknife over prompts, which are paired"
_BY_QUANTILE = (
    "Woodruff interval over prompts; p50 compared by paired log-ratios, others by a joint bootstrap of prompts"
)
_NAMES = {
    "time_to_first_token": (
        "time from the request to the first text, or to the first of the answer (of=)",
        "NVIDIA AIPerf, time to first token",
    ),
    "time_per_output_token": (
        "time from the first arrival to the last token of an answer over the tokens that came after it",
        "MLPerf Inference, TPOT; NVIDIA AIPerf, inter-token latency",
    ),
    "generation_latency": ("time from the request to the end of the answer", "NVIDIA AIPerf, request latency"),
}
"""Times of requests: their definition and its source."""


def _time(name: str, statistic: str, definition: str, source: str, more: Mapping[str, Any], derive: str = "") -> Kpi:
    quantile = QUANTILES.get(statistic)
    what = "mean" if quantile is None else f"{100 * quantile:.0f}th percentile"
    return Kpi(
        name=f"{name}_{statistic}",
        pillar="efficiency",
        unit="ms",
        better="lower",
        definition=f"{what} of the {definition}",
        method=_METHOD + (_BY_MEAN if quantile is None else _BY_QUANTILE),
        source=source,
        probe=TOKEN_TIMES,
        derive=f"{ROOM}.text.times:{derive or name}",
        quantile=quantile,
        bounds=NONNEGATIVE,
        options={**_OPTIONS, **more},
        checks=f"{ROOM}.text.rows_times:check_tokens",
    )


def _rate(name: str, unit: str, definition: str, source: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="efficiency",
        unit=unit,
        better="higher",
        definition=definition,
        method=_METHOD + _BY_MEAN,
        source=source,
        probe=TOKEN_TIMES,
        derive=f"{ROOM}.text.rates:{name}",
        bounds=NONNEGATIVE,
        options=_OPTIONS,
        checks=f"{ROOM}.text.rows_times:check_tokens",
    )


def check_tokens(_kpi: Kpi, options: Mapping[str, Any], limits: Sequence[BoundLimit]) -> None:
    """Check that something can be measured and proven.

    Raises:
        UsageMistake: answers of a forced length would all be left out as too short, or a limit is an equality.
    """
    tokens, least = options["tokens"], options.get("min_tokens", 0)
    if tokens is not None and tokens < least:
        raise UsageMistake(
            f"tokens={tokens}, and answers of fewer than min_tokens={least} tokens are left out. Write "
            f"tokens={least} or min_tokens={tokens}"
        )
    if any(bound.limit.op == "==" for bound in limits):
        raise UsageMistake("'==' can never be proven for times of tokens. Write '<=' or '>='")


KPIS = (
    *(
        _time("time_to_first_token", statistic, *_NAMES["time_to_first_token"], {"of": "any"})
        for statistic in ("mean", "p50", "p90", "p95", "p99")
    ),
    *(
        _time("time_per_output_token", statistic, *_NAMES["time_per_output_token"], {"min_tokens": MIN_TOKENS})
        for statistic in ("mean", "p50", "p90", "p99")
    ),
    _time(
        "inter_token_latency",
        "p99",
        "gaps between the events of an answer, each of which may hold several tokens",
        "vLLM, benchmark_serving: inter-token latency",
        {},
    ),
    *(
        _time("generation_latency", statistic, *_NAMES["generation_latency"], {})
        for statistic in ("mean", "p50", "p90", "p99")
    ),
    _rate(
        "tokens_per_second",
        "tokens/s",
        "output tokens of all answers over the time that they took, the prompt's included",
        "NVIDIA AIPerf, output token throughput",
    ),
    _rate(
        "characters_per_second",
        "characters/s",
        "characters of all answers, reasoning included, over the time that they took: for models with different "
        "tokenisers",
        "this project's design",
    ),
    _rate(
        "prefill_tokens_per_second",
        "tokens/s",
        "tokens of all prompts over the time to the first token",
        "Hugging Face, optimum-benchmark: prefill throughput",
    ),
)
