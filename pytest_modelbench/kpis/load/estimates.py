"""What is derived from a load: the estimate at each look, and the facts that the report states."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.load.curves import most_waiting
from pytest_modelbench.probes.load.driver import Served
from pytest_modelbench.probes.load.measure import LoadMeasurement, capacity_of
from pytest_modelbench.stats.queueing import Queue, Services
from pytest_modelbench.stats.under_load import Segment, UnderLoad, estimate, without_lateness

CROWDED = 0.3
"""Of all processors: the client's share from which on it is no longer certain that the model is what is slow."""


def queue_of(measurement: LoadMeasurement, role: str) -> Queue:
    """Return how a model's requests are answered, for a replay in seconds."""
    batching, workers = measurement.settings.batching, measurement.settings.workers_of(role)
    return Queue(servers=workers, max_batch=batching.max_batch, max_wait=batching.max_wait_s)


def segment_of(served: Served, workers: int) -> Segment:
    """Return one segment as the statistics need it."""
    services = Services(times=served.service_s, sizes=served.sizes)
    return Segment(
        arrivals=served.arrivals,
        ends=served.ends,
        responses=served.responses,
        prompt=without_lateness(served.arrivals, served.responses, services, served.late_s, workers),
        services=services,
    )


def under_load(measurement: LoadMeasurement, role: str, look: int) -> UnderLoad:
    """Return the estimate of a model's responses at a look, in seconds; made once for all KPIs."""
    key = (role, look)
    if key not in measurement.memo:
        settings = measurement.settings
        segments = [segment_of(served, settings.workers_of(role)) for served in measurement.until(look, role)]
        made = estimate(segments, settings.arrivals.fresh, queue_of(measurement, role), settings.seed)
        measurement.memo[key] = made.without_lower() if crowded(facts(measurement, role, look)) else made
    kept: UnderLoad = measurement.memo[key]
    return kept


def crowded(fact: Mapping[str, Any]) -> bool:
    """Whether what sends the requests takes so much of the processors that a server beside it may be slow by that."""
    return bool(fact["client_busy"] > CROWDED * (os.cpu_count() or 1))


def facts(measurement: LoadMeasurement, role: str, look: int) -> dict[str, Any]:
    """Return what the report states of one model's load, as JSON types; times in milliseconds, rates per second."""
    served, rate = measurement.until(look, role), measurement.settings.arrivals.rate
    workers = measurement.settings.workers_of(role)
    late, service = (np.concatenate([getattr(one, name) for one in served]) * 1e3 for name in ("late_s", "service_s"))
    responses = np.concatenate([one.responses for one in served]) * 1e3
    busy = sum(float(one.service_s.sum()) for one in served)
    sizes = np.concatenate([one.sizes for one in served])
    answered = [one.ends[np.isfinite(one.ends) & ~one.failed] for one in served]
    spans = sum(
        float(max(ends.max(initial=0.0), one.arrivals[-1])) for one, ends in zip(served, answered, strict=True)
    )
    answers = sum(len(ends) for ends in answered)
    return {
        "name": role,
        "requests": len(responses),
        "seconds": max(float(one.arrivals[-1]) for one in served),
        "offered_per_s": rate,
        "achieved_per_s": answers / spans,
        "workers": workers,
        "utilisation": busy / spans / workers,
        "client_busy": sum(one.processor_s for one in served) / spans,
        "late_p50_ms": float(np.quantile(late, 0.5)),
        "late_p99_ms": float(np.quantile(late, 0.99)),
        "late_max_ms": float(late.max()),
        "backlog_most": max(most_waiting(one) for one in served),
        "backlog_end": int(np.mean([backlog_at_end(one) for one in served]).round()),
        "unanswered": int(sum(np.isinf(one.ends).sum() for one in served)),
        "errors": int(sum((one.failed & np.isfinite(one.ends)).sum() for one in served)),
        "first_error": next((one.error for one in served if one.error), ""),
        "capacity_per_s": _capacity(measurement, role, served),
        "mean_batch": float(sizes.mean()),
        "largest_batch": int(sizes.max()),
        "service_p50_ms": float(np.quantile(service, 0.5)),
        "service_p99_ms": float(np.quantile(service, 0.99)),
        "measured_p50_ms": finite_quantile(responses, 0.5),
        "measured_p99_ms": finite_quantile(responses, 0.99),
        "seed": measurement.settings.seed,
    }


def _capacity(measurement: LoadMeasurement, role: str, served: Sequence[Served]) -> float:
    """Return the requests in a second without a pause; infinite where several calls at once hide it."""
    if role in measurement.overloaded:
        return measurement.overloaded[role]
    if measurement.settings.workers_of(role) > 1:
        return math.inf
    return capacity_of(served, measurement.settings.batching.max_batch) or math.inf


def finite_quantile(values: np.ndarray, p: float) -> float:
    """Return a quantile of values of which some may be infinite."""
    return float(np.quantile(values, p, method="inverted_cdf"))


def backlog_at_end(served: Served) -> int:
    """Return how many requests were not answered when the last one was due."""
    return int((served.ends > served.arrivals[-1]).sum()) - 1 if len(served.arrivals) else 0


def failed_lines(fact: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line that says how many requests of a model failed, and the first error; none where none failed."""
    if fact["errors"]:
        yield f"{fact['name']}: {fact['errors']:,} of {fact['requests']:,} requests failed ({fact['first_error']})"


def overload_text(measurement: LoadMeasurement, role: str, look: int) -> str:
    """Say that a model cannot serve the rate."""
    fact = facts(measurement, role, look)
    return (
        f"the backlog grows, in {fact['seconds']:.1f} s to {fact['backlog_most']:,} requests: it can serve about "
        f"{humanise(measurement.overloaded[role], 'samples/s')}, and {humanise(fact['offered_per_s'], 'samples/s')} "
        "were offered"
    )


def all_facts(measurement: LoadMeasurement, roles: Sequence[str], look: int) -> tuple[dict[str, Any], ...]:
    """Return the facts of some models."""
    return tuple(
        {name: value for name, value in facts(measurement, role, look).items() if not _infinite(value)}
        for role in roles
    )


def _infinite(value: object) -> bool:
    return isinstance(value, float) and math.isinf(value)
