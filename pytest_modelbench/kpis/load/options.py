"""The options of a gate under load, checked at collection: each mistake is one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.grammar.load import MOST_RATE, bound_of, wait_of, within_of
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.probes.load.arrivals import CONSTANT, POISSON, read_trace


def check_load(kpi: Kpi, options: Mapping[str, Any], limits: Sequence[BoundLimit]) -> None:
    """Check a gate of responses at one rate.

    Raises:
        UsageMistake: the rate is missing, or something cannot be measured.
    """
    if options["rate"] is None:
        raise UsageMistake("rate= is missing: responses depend on how many requests arrive. Write rate='200/s'")
    if "within" in kpi.options and bound_of(options["within"]) is None:
        stated = "is missing" if options["within"] is None else f"is {shown(options['within'])}"
        raise UsageMistake(f"within= {stated}, expected a time above zero. Write within='50 ms'")
    _check_serving(options)
    _check_limits(kpi, limits)


def check_capacity(kpi: Kpi, options: Mapping[str, Any], limits: Sequence[BoundLimit]) -> None:
    """Check a gate of the largest rate.

    Raises:
        UsageMistake: the bound on responses is missing, or something cannot be measured.
    """
    if within_of(options["within"]) is None:
        stated = "is missing" if options["within"] is None else f"is {shown(options['within'])}"
        raise UsageMistake(
            f"within= {stated}, expected a percentile of responses with its bound, of p50, p90, p95, p99, p99_9. "
            "Write within='p99 <= 50 ms'"
        )
    _check_serving(options)
    _check_limits(kpi, limits)
    for bound in limits:
        if bound.limit.op in {"<", ">"}:
            raise UsageMistake(f"'{bound.limit}' can never be proven: a rate is tried. Write '{bound.limit.op}='")
        if bound.measure == "value" and not 0 < bound.threshold <= MOST_RATE:
            raise UsageMistake(
                f"'{bound.limit}': the rate is tried with real requests, from above 0 up to {MOST_RATE:,} in a second"
            )


def _check_serving(options: Mapping[str, Any]) -> None:
    if options["max_batch"] == 1 and wait_of(options["max_wait"]):
        raise UsageMistake(
            f"max_wait={shown(options['max_wait'])} with max_batch=1: no request waits for others. "
            "Write max_batch= too"
        )
    if options["arrivals"] not in {POISSON, CONSTANT}:
        read_trace(Path(options["arrivals"]))


def _check_limits(kpi: Kpi, limits: Sequence[BoundLimit]) -> None:
    for bound in limits:
        if bound.limit.op == "==":
            raise UsageMistake("'==' can never be proven for a KPI under load. Write '<=' or '>='")
        if kpi.better == "lower" and bound.measure == "value" and bound.is_upper and bound.threshold <= 0:
            raise UsageMistake(f"'{bound.limit}' can never hold: no request is answered in no time")
