"""What the plots of a load need: by hand, and of a measurement on a scripted clock."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.kpis.load.curves import LEVELS, MOST_POINTS, curves, most_waiting
from pytest_modelbench.kpis.load.estimates import facts
from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Served
from pytest_modelbench.probes.load.lanes import own_lane
from pytest_modelbench.probes.load.measure import LoadMeasurement, LoadSettings, measure_load
from pytest_modelbench.results import json_types


def served(arrivals: list[float], ends: list[float]) -> Served:
    due, answered = np.array(arrivals), np.array(ends)
    calls = np.diff(answered[np.isfinite(answered)], prepend=0.0)
    return Served(
        arrivals=due,
        starts=answered,
        ends=answered,
        failed=~np.isfinite(answered),
        late_s=np.zeros(len(calls)),
        service_s=calls,
        sizes=np.ones(len(calls), dtype=np.int64),
        backlog=np.ones(len(calls), dtype=np.int64),
    )


def measured(**segments: list[Served]) -> LoadMeasurement:
    settings = LoadSettings(arrivals=Arrivals(kind="constant", rate=1.0))
    looks = (len(next(iter(segments.values()))),)
    return LoadMeasurement(served=segments, settings=settings, looks=looks, elapsed_s=(1.0,), planned=4)


@pytest.mark.parametrize(
    ("ends", "most"), [([1, 2, 3], 1), ([3, 4, 5], 3), ([1, np.inf, np.inf], 2), ([2.5, 2.6, 2.7], 3)]
)
def test_requests_that_are_due_and_not_answered(ends: list[float], most: int) -> None:
    """What ends when another one is due does not count; one that is never answered waits to the end."""
    assert most_waiting(served([0, 1, 2], ends)) == most


def test_the_segment_with_the_students_largest_backlog() -> None:
    """Both models are shown in it, on one grid of time; what is never answered has no quantile."""
    quick, slow = served([0, 1, 2], [1, 2, 3]), served([0, 1, 2], [4, 8, np.inf])
    made = curves(measured(student=[quick, slow, quick], teacher=[slow, quick, slow]), ("student", "teacher"), 0)
    assert made["most_by_segment"] == {"student": [1, 3, 1], "teacher": [3, 1, 3]}
    backlog = made["backlog"]
    assert backlog["segment"] == 2
    assert len(backlog["seconds"]) == len(backlog["requests"]["student"]) == MOST_POINTS
    at = [int(second * MOST_POINTS / 8) for second in (0.5, 1.5, 3, 5, 7.9)]
    assert [backlog["requests"]["student"][place] for place in at] == [1, 2, 3, 2, 2]
    assert [backlog["requests"]["teacher"][place] for place in at] == [1, 1, 0, 0, 0]
    responses = dict(zip(LEVELS, made["responses_ms"]["student"], strict=True))
    assert (responses[0], responses[50], responses[100]) == (1000.0, 1000.0, None)


def test_curves_are_small_and_those_of_the_facts() -> None:
    """A thousand requests have as many numbers as ten; the percentiles and the backlog are those of the table."""
    clock = FakeClock()
    models = {role: FakeModel(cost_ns=cost, clock=clock) for role, cost in (("student", 4e6), ("teacher", 8e6))}
    settings = LoadSettings(arrivals=Arrivals(kind="poisson", rate=100.0), budget_s=20.0)

    with contextlib.ExitStack() as stack:
        lanes = {
            role: [stack.enter_context(own_lane(model, [[[0.0]]], lambda: None))] for role, model in models.items()
        }
        run = measure_load(clock, lanes, settings, lambda _: False)
    look = len(run.looks) - 1
    made, fact = curves(run, ("student", "teacher"), look), facts(run, "student", look)
    responses = dict(zip(made["levels"], made["responses_ms"]["student"], strict=True))
    assert responses[99] == pytest.approx(fact["measured_p99_ms"], rel=1e-4)
    assert max(made["most_by_segment"]["student"]) == fact["backlog_most"] > 1
    assert set(made["services_ms"]["teacher"]) == {8.0}
    assert len(str(json_types(made))) < 12_000
    assert made is curves(run, ("student", "teacher"), look)
