"""A load survives its way to another worker."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.kpis.load.estimates import under_load
from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Batching
from pytest_modelbench.probes.load.lanes import own_lane
from pytest_modelbench.probes.load.measure import LoadSettings, Lone, measure_load
from pytest_modelbench.probes.load.wire import pack_capacity, unpack_capacity
from pytest_modelbench.probes.wire import read_arrays, write_arrays


@pytest.mark.parametrize(
    ("recorded", "lone"), [((), None), ((0.001, 0.012, 0.002), Lone(service_s=(0.001, 0.002), servers=2))]
)
def test_a_load_comes_back_as_it_was(tmp_path: Path, recorded: tuple[float, ...], lone: Lone | None) -> None:
    """Every array, the settings, and what is derived from them; also where segments are not of one size."""
    clock = FakeClock()
    models = {role: FakeModel(cost_ns=cost, clock=clock) for role, cost in (("student", 1e6), ("teacher", 8e6))}
    arrivals = Arrivals(kind="trace.txt" if recorded else "poisson", rate=200.0, recorded=recorded)
    settings = LoadSettings(arrivals=arrivals, batching=Batching(max_batch=2), budget_s=4.0, seed=5, lone=lone)
    batches = [[[0.0]], [[0.0, 1.0]]]

    with contextlib.ExitStack() as stack:
        lane = {role: stack.enter_context(own_lane(model, batches, lambda: None)) for role, model in models.items()}
        lanes = {"student": [lane["student"]] * 2, "teacher": [lane["teacher"]]}
        run = measure_load(clock, lanes, settings, lambda _: False)
    path = tmp_path / "load.npz"
    write_arrays(path, pack_capacity({200.0: run, 100.0: run}))
    (rate, same), (other, _) = unpack_capacity(read_arrays(path)).items()
    assert (rate, other) == (200.0, 100.0)
    assert same.settings == run.settings
    assert same.settings.workers == {"student": 2, "teacher": 1}
    assert (same.looks, same.elapsed_s, same.planned) == (run.looks, run.elapsed_s, run.planned)
    for role, segments in run.served.items():
        for before, after in zip(segments, same.served[role], strict=True):
            assert vars(after).keys() == vars(before).keys()
            assert all(np.array_equal(vars(after)[name], value) for name, value in vars(before).items())
    look = len(run.looks) - 1
    bounds = [under_load(one, "student", look).quantile(0.9, 0.05) for one in (run, same)]
    assert bounds[0] == bounds[1]
