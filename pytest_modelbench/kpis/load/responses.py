"""Readings of responses at one rate: their mean, percentiles, and the share within a bound."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator

from pytest_modelbench.grammar.load import bound_of
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.load.comparing import compared
from pytest_modelbench.kpis.load.curves import curves
from pytest_modelbench.kpis.load.estimates import (
    all_facts,
    crowded,
    facts,
    failed_lines,
    overload_text,
    under_load,
)
from pytest_modelbench.probes.kinds import LOAD
from pytest_modelbench.probes.load.measure import SPENT, LoadMeasurement, alpha_at
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.under_load import UnderLoad

LATE_SHARE = 0.05
"""Of a response: a generator that was later than that says so where a limit stays open."""
Of = Callable[[UnderLoad, float], Estimate]
"""Returns an estimate in the KPI's unit, given the error of one side."""


def response(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean or a percentile of the responses, in milliseconds."""
    quantile = question.kpi.quantile

    def of(model: UnderLoad, alpha: float) -> Estimate:
        seconds = model.average(alpha) if quantile is None else model.quantile(quantile, alpha)
        return seconds.map(lambda value: value * 1e3)

    yield from _looks(question, measurements.of(LOAD, "student"), of, Estimate.exact(math.inf), quantile)


def goodput(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of requests that are answered within a bound, in percent."""
    bound = bound_of(question.options["within"]) or 0.0

    def of(model: UnderLoad, alpha: float) -> Estimate:
        return model.share_over(bound, alpha).map(lambda share: 100 * (1 - share))

    yield from _looks(question, measurements.of(LOAD, "student"), of, Estimate.exact(0.0), None)


def _looks(
    question: Question, measurement: LoadMeasurement, of: Of, overloaded: Estimate, quantile: float | None
) -> Iterator[Evidence]:
    against = question.with_teacher and "teacher" in measurement.served
    roles = ("student", "teacher") if against else ("student",)
    for look in range(len(measurement.looks)):
        alpha = alpha_at(question.alpha, look)
        last = look + 1 == len(measurement.looks)
        gone = {role for role in roles if last and role in measurement.overloaded}
        estimates = {
            role: overloaded if role in gone else of(under_load(measurement, role, look), alpha) for role in roles
        }
        halved = {
            role: overloaded if role in gone else of(under_load(measurement, role, look), alpha / 2) for role in roles
        }
        readings = {role: _reading(question, measurement, role, look, estimates[role]) for role in roles}
        yield Evidence(
            student=readings["student"],
            teacher=readings.get("teacher"),
            comparison=compared(halved["student"], halved["teacher"]) if against and "teacher" not in gone else None,
            not_comparable=f"teacher: {overload_text(measurement, 'teacher', look)}" if "teacher" in gone else "",
            sampled=True,
            notes=(
                *(overload_text(measurement, "student", look) for _ in gone & {"student"}),
                *(line for role in roles for line in failed_lines(facts(measurement, role, look))),
            ),
            breakdown=all_facts(measurement, roles, look),
            load=curves(measurement, roles, look),
            seconds=measurement.elapsed_s[look],
            needed_s=None if "student" in gone else _needed_s(question, measurement, look, quantile),
            doubt="" if "student" in gone else _doubt(question, measurement, look, estimates["student"], quantile),
        )


def _reading(question: Question, measurement: LoadMeasurement, role: str, look: int, estimate: Estimate) -> Reading:
    served, settings = measurement.until(look, role), measurement.settings
    requests = sum(len(segment.arrivals) for segment in served)
    batching = f", up to {settings.batching.max_batch} in a call" if settings.batching.max_batch > 1 else ""
    return Reading(
        estimate=estimate,
        unit=question.kpi.unit,
        n=requests,
        confidence=question.confidence,
        method=f"difference estimate over {len(served)} segments of {requests:,} requests, {settings.arrivals.kind} "
        f"arrivals at {settings.arrivals.rate:.4g}/s{batching}, from the scheduled arrival",
    )


def _needed_s(question: Question, measurement: LoadMeasurement, look: int, quantile: float | None) -> float | None:
    """Return about how long an upper end needs, if no burst is over the limit."""
    if quantile is None:
        return None
    model = under_load(measurement, "student", look)
    needed = model.needed(quantile, alpha_at(question.alpha, len(SPENT) - 1))
    return needed / measurement.settings.arrivals.rate * len(measurement.served)


def _doubt(
    question: Question, measurement: LoadMeasurement, look: int, estimate: Estimate, quantile: float | None
) -> str:
    """Say what keeps a limit open besides the length of the measurement."""
    seconds = _needed_s(question, measurement, look, quantile)
    late = _late(measurement, look, estimate, question.kpi.unit)
    if estimate.high != math.inf or seconds is None:
        return late
    short = (
        f"no upper end after {measurement.elapsed_s[look]:.0f} s: one burst makes many responses slow, so that about "
        f"{seconds:,.0f} s would be needed (--modelbench-budget={math.ceil(seconds)})"
    )
    return f"{short}; {late}" if late else short


def _late(measurement: LoadMeasurement, look: int, estimate: Estimate, unit: str) -> str:
    """Say that the generator was late or took too much, if that is large beside what is judged."""
    fact = facts(measurement, "student", look)
    if crowded(fact):
        return (
            f"sending the requests took {fact['client_busy']:.2g} processors of {os.cpu_count()}, which a server on "
            "this machine lacks: the lower end is left out. Run the client on another machine, or lower the rate"
        )
    response_ms = estimate.value if unit == "ms" else fact["measured_p99_ms"]
    if fact["late_p99_ms"] <= LATE_SHARE * response_ms:
        return ""
    return (
        f"the generator was late by {humanise(fact['late_p99_ms'], 'ms')} (p99), which the lower end leaves out. Use "
        "an otherwise idle machine, or a lower rate"
    )
