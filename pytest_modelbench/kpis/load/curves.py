"""What the plots of a load need, small and bounded: distributions of responses and calls, the backlog over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_modelbench.probes.load.driver import Served
from pytest_modelbench.probes.load.measure import LoadMeasurement
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.queueing import IntArray

LEVELS = (*range(100), 99.5, 99.9, 100)
"""The shares of requests, in percent, whose slowest response is given."""
MOST_POINTS = 200
"""Of the backlog over time."""
DIGITS = 5

Numbers = list[float | None]


def curves(measurement: LoadMeasurement, roles: Sequence[str], look: int) -> dict[str, Any]:
    """Return what the plots of a load at one rate need, as JSON types; made once for all KPIs.

    The backlog is that of one segment, the one in which the student's was largest: every segment begins with an empty
    queue, and in a mean over them the bursts that make a percentile would vanish. All models answered the same
    schedule in it.

    Args:
        measurement: of all models.
        roles: the models, the student first.
        look: the look (from 0) at which it is known.

    Returns:
        `rate` (a second); `levels` (percent); by role `responses_ms` and `services_ms` at these levels, null beyond
        the last request that was answered, and `most_by_segment`, the largest backlog of each; `backlog` with the
        number of its `segment` (from 1), `seconds` since its start, and by role the largest number of requests that
        were due and not answered from each of these times to the next.
    """
    key = ("curves", tuple(roles), look)
    if key not in measurement.memo:
        served = {role: measurement.until(look, role) for role in roles}
        most = {role: [most_waiting(segment) for segment in segments] for role, segments in served.items()}
        worst = int(np.argmax(most[roles[0]]))
        measurement.memo[key] = {
            "rate": measurement.settings.arrivals.rate,
            "levels": list(LEVELS),
            "responses_ms": {role: _quantiles([one.responses for one in of]) for role, of in served.items()},
            "services_ms": {role: _quantiles([one.service_s for one in of]) for role, of in served.items()},
            "most_by_segment": most,
            "backlog": {"segment": worst + 1, **_over_time({role: of[worst] for role, of in served.items()})},
        }
    made: dict[str, Any] = measurement.memo[key]
    return made


def most_waiting(served: Served) -> int:
    """Return the largest number of requests of a segment that were due and not answered at one time."""
    return int(_waiting(served)[1].max(initial=0))


def _quantiles(seconds: Sequence[FloatArray]) -> Numbers:
    every = np.concatenate(seconds) * 1e3
    at = np.quantile(every, np.array(LEVELS) / 100, method="inverted_cdf")
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in at.tolist()]


def _waiting(served: Served) -> tuple[FloatArray, IntArray]:
    """Return the times at which requests become due or are answered, and how many are due and not answered from then.

    What ends when another request becomes due ends first.
    """
    ends = served.ends[np.isfinite(served.ends)]
    times = np.concatenate([ends, served.arrivals])
    steps = np.concatenate([np.full(len(ends), -1), np.ones(len(served.arrivals), dtype=np.int64)])
    order = np.lexsort((steps, times))
    return times[order], np.cumsum(steps[order])


def _over_time(served: dict[str, Served]) -> dict[str, Any]:
    """Return the largest backlog of each model in equal stretches of a segment."""
    waiting = {role: _waiting(one) for role, one in served.items()}
    end = max(float(times[-1]) for times, _ in waiting.values())
    starts = np.linspace(0.0, end, MOST_POINTS, endpoint=False)
    requests = {role: _most_in_each(starts, *steps).tolist() for role, steps in waiting.items()}
    return {"seconds": [float(f"{start:.{DIGITS}g}") for start in starts.tolist()], "requests": requests}


def _most_in_each(starts: FloatArray, times: FloatArray, counts: IntArray) -> IntArray:
    """Return the largest value of a step function from each start to the next one.

    >>> _most_in_each(np.array([0.0, 2.0, 4.0]), np.array([1.0, 1.5, 5.0]), np.array([1, 2, 1])).tolist()
    [2, 2, 2]
    """
    at = np.searchsorted(times, starts, side="right")
    before = np.where(at > 0, counts[np.maximum(at - 1, 0)], 0)
    ends = np.append(at[1:], len(times))
    most = [counts[first:last].max(initial=0) for first, last in zip(at, ends, strict=True)]
    made: IntArray = np.maximum(before, np.array(most, dtype=np.int64))
    return made
