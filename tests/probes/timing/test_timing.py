"""Timing on a scripted clock: interleaving, looks, budget, faults."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData, FakeClock, FakeModel
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.probes.timing import allocator
from pytest_modelbench.probes.timing import engine as timing
from pytest_modelbench.probes.timing.engine import RESOLUTION_FLOOR, TimingMeasurement, TimingSettings, measure_timing
from pytest_modelbench.probes.timing.interference import Counters


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing disturbs a scripted clock."""
    monkeypatch.setattr(timing, "read_counters", Counters)


def pair(teacher_ns: Any = 2e6, student_ns: Any = 1e6, **changes: Any) -> dict[str, FakeModel]:
    clock = FakeClock()
    return {
        "teacher": FakeModel(cost_ns=teacher_ns, clock=clock, name="teacher", **changes),
        "student": FakeModel(cost_ns=student_ns, clock=clock, name="student", **changes),
    }


def measure(
    models: Mapping[str, FakeModel],
    decided: Callable[[TimingMeasurement], bool] = lambda m: len(m.looks) == 2,
    batches: list[Any] | None = None,
    **settings: Any,
) -> TimingMeasurement:
    return measure_timing(models, dict.fromkeys(models, batches or [0]), TimingSettings(**settings), decided)


def calls_in_order(models: dict[str, FakeModel], seed: int = 0) -> str:
    """Measure once and return the order of all calls, T and S."""
    order: list[str] = []
    models["teacher"].outputs = lambda _: order.append("T")
    models["student"].outputs = lambda _: order.append("S")
    measure(models, seed=seed)
    return "".join(order)


def test_series_hold_what_the_clock_charged() -> None:
    """Every sample is the scripted cost, in nanoseconds."""
    measurement = measure(pair())
    for role, cost in (("teacher", 2e6), ("student", 1e6)):
        calls = [call for rounds in measurement.series[role] for block in rounds for call in block]
        assert set(calls) == {cost}


def test_rounds_are_abba_by_lot() -> None:
    """Models alternate in blocks, both orders occur, and the order is the seed's."""
    runs = [calls_in_order(pair(teacher_ns=6e7, student_ns=6e7), seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    placements = [runs[0][-30:][i : i + 6] for i in range(0, 30, 6)]  # a warm-up call each, then one round
    assert {placement[2:] for placement in placements} == {"TSST", "STTS"}


def test_never_call_by_call() -> None:
    """Short calls come in blocks: alternating them one by one would evict each other's caches."""
    order = calls_in_order(pair(teacher_ns=2e5, student_ns=1e5))
    switches = sum(one != other for one, other in pairwise(order))
    assert switches < len(order) / 10


def test_equal_number_of_rounds_for_both() -> None:
    """Rounds pair up, placement by placement."""
    measurement = measure(pair())
    shapes = {role: [len(rounds) for rounds in measurement.series[role]] for role in measurement.series}
    assert shapes["teacher"] == shapes["student"]


def test_looks_follow_the_schedule() -> None:
    """Limits are judged after 3, 5, 8 placements, not whenever it suits."""
    measurement = measure(pair(), lambda m: len(m.looks) == 3)
    assert measurement.looks == (3, 5, 8)
    assert measurement.exhausted is False
    assert len(measurement.until(1, "student", tail=True)) == 5


def test_budget_ends_the_measurement() -> None:
    """Nothing decides: the measurement ends within its budget and says so; a tenth of it goes before, for first calls."""
    models = pair(teacher_ns=1e8, student_ns=1e8)
    measurement = measure(models, lambda m: False, budget_s=10)
    assert measurement.exhausted is True
    assert 5 < measurement.elapsed_s[-1] <= 10
    assert models["student"].clock() <= 11.5e9


def test_budget_too_small_for_one_placement_still_looks_once() -> None:
    """There is always something to judge, even if it decides nothing."""
    measurement = measure(pair(teacher_ns=2e9, student_ns=2e9), lambda m: False, budget_s=1)
    assert measurement.looks == (1,)


@pytest.mark.parametrize(
    ("cost_ns", "low", "high"), [(2e4, 100, 500), (1e6, 2, 10), (2e9, 1, 1)], ids=["20us", "1ms", "2s"]
)
def test_blocks_adapt_to_the_model(cost_ns: float, low: int, high: int) -> None:
    """From 20 µs to 2 s a call, blocks are long enough to settle and short enough to alternate."""
    measurement = measure(pair(cost_ns, cost_ns), lambda m: True, budget_s=600)
    assert low <= measurement.settings["calls_per_block"]["student"] <= high


def test_calls_after_a_switch_are_discarded() -> None:
    """A model that is slow for three calls after the other one ran has these calls discarded, by the pilot."""
    clock = FakeClock()
    last: list[str] = []

    def cost(role: str) -> Callable[[], float]:
        since = [0]

        def next_cost() -> float:
            since[0] = since[0] + 1 if last and last[-1] == role else 0
            last[:] = [role]
            return 3e5 if since[0] < 3 else 1e5

        return next_cost

    models = {role: FakeModel(cost_ns=cost(role), clock=clock, name=role) for role in ("teacher", "student")}
    measurement = measure(models)
    assert measurement.settings["discarded_after_switch"] == {"teacher": 3, "student": 3}
    assert {call for rounds in measurement.series["student"] for block in rounds for call in block} == {1e5}


class BySize(FakeModel):
    """A call costs a millisecond for each element."""

    def bind(self, inputs: Any) -> Any:
        def call() -> None:
            self.clock.advance(1e6 * len(inputs))

        return call


def test_sizes_weigh_as_the_batches_hold_them() -> None:
    """Sixty short inputs and thirty that take forty times as long, in blocks of several calls: a third of the calls."""
    batches = Draws(EvalData(["x"] * 60 + ["x" * 40] * 30)).of(1).batches
    flat = [batch[0] for batch in batches]
    clock = FakeClock()
    models = {role: BySize(clock=clock, name=role) for role in ("teacher", "student")}
    found = measure_timing(
        models, dict.fromkeys(models, flat), TimingSettings(budget_s=60), lambda m: len(m.looks) == 3
    )
    for role in models:
        calls = np.array([call for rounds in found.series[role] for block in rounds for call in block])
        assert np.mean(calls > 1e6) == pytest.approx(1 / 3, abs=0.1)
    assert found.settings["batches_called"]["student"] > 45
    same = zip(found.series["student"], found.series["teacher"], strict=True)
    assert all(np.array_equal(s, t) for ours, theirs in same for s, t in zip(ours, theirs, strict=True))


def test_slow_first_call_is_neither_in_a_latency_nor_in_the_budget() -> None:
    """A lazy compilation of twice the budget: the measurement has all of its budget after it, and tells what it took."""
    costs = iter([20e9])
    measurement = measure({"student": FakeModel(cost_ns=lambda: next(costs, 1e6), clock=FakeClock())}, budget_s=10)
    assert measurement.exhausted is False
    assert {call for rounds in measurement.series["student"] for block in rounds for call in block} == {1e6}
    first = measurement.settings["first_calls"]["student"]
    assert first["first_s"] == 20
    assert first["seconds"] == pytest.approx(20 + (first["calls"] - 1) / 1000)


def test_warm_up_goes_on_until_calls_are_steady() -> None:
    """Forty calls that get faster and faster, as with a compiler that profiles first: none of them is timed."""
    costs = iter(np.geomspace(64e6, 1e6, 40))
    measurement = measure({"student": FakeModel(cost_ns=lambda: next(costs, 1e6), clock=FakeClock())})
    assert {call for rounds in measurement.series["student"] for block in rounds for call in block} == {1e6}


def test_every_form_of_batch_is_called_before_anything_is_timed() -> None:
    """What compiles for each shape compiles outside of the series."""
    clock, known = FakeClock(), set[int]()

    class ByShape(FakeModel):
        def bind(self, inputs: Any) -> Any:
            def call() -> None:
                self.clock.advance(1e8 if len(inputs) in known else 5e8)
                known.add(len(inputs))

            return call

    batches = [np.zeros(size) for size in (3, 1, 2, 4, 3, 1, 6, 5, 8, 7)]
    found = measure_timing(
        {"student": ByShape(clock=clock)},
        {"student": batches},
        TimingSettings(budget_s=60),
        lambda m: len(m.looks) == 2,
    )
    assert {call for rounds in found.series["student"] for block in rounds for call in block} == {1e8}


def test_copy_that_is_another_model_is_not_timed() -> None:
    """A `__deepcopy__` that gives a faster model: the original is timed, and the report says why."""

    class Cheating(FakeModel):
        def replicate(self) -> FakeModel:
            return FakeModel(cost_ns=1e5, clock=self.clock, name=self.name)

    measurement = measure({"student": Cheating(cost_ns=1e6, clock=FakeClock(), name="student")})
    assert {call for rounds in measurement.series["student"] for block in rounds for call in block} == {1e6}
    assert measurement.copied is False
    assert measurement.settings["not_copied"] == "the copy of student takes 100 µs where the model takes 1 ms"


def test_inputs_rotate() -> None:
    """Calls go through different batches, the same ones for both models."""
    models = pair()
    seen: dict[str, set[int]] = {"teacher": set(), "student": set()}
    for role, model in models.items():
        model.outputs = seen[role].add
    measure(models, batches=[1, 2, 3])
    assert seen["teacher"] == seen["student"] == {1, 2, 3}


def test_student_alone() -> None:
    """Without a relative limit nobody waits for the teacher."""
    measurement = measure({"student": pair()["student"]})
    assert list(measurement.series) == ["student"]


def test_copies_vary_the_placement_or_a_floor_is_stated() -> None:
    """Models that cannot be copied have their comparisons widened."""
    assert measure(pair()).floor == 0
    measurement = measure(pair(copyable=False))
    assert measurement.copied is False
    assert measurement.floor == RESOLUTION_FLOOR


def test_failure_names_model_and_inputs() -> None:
    """A model that raises in the middle ends the measurement with its name."""
    models = pair()
    count = iter(range(10_000))
    models["student"].outputs = lambda _: 1 / (next(count) - 500)
    with pytest.raises(ModelError, match="student raised ZeroDivisionError"):
        measure(models, batches=[np.zeros((2, 3))])


def test_clock_that_stands_still() -> None:
    """A clock that does not move times nothing."""
    with pytest.raises(MeasurementError, match="the clock did not move"):
        measure(pair(0, 0), budget_s=1)


def test_two_clocks() -> None:
    """Times of two clocks are never compared."""
    models = {"teacher": FakeModel(), "student": FakeModel()}
    with pytest.raises(MeasurementError, match="give both fakes the same FakeClock"):
        measure(models)


def test_garbage_collection_is_off_while_timing_and_on_after() -> None:
    """A collection in the middle of a call would be charged to the model."""
    models = pair()
    states: set[bool] = set()
    models["student"].outputs = lambda _: states.add(gc.isenabled())
    measure(models)
    assert states == {False}
    assert gc.isenabled()


def test_allocator_mode_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """`steady` raises glibc's thresholds where they exist; anywhere else the report says why not."""
    monkeypatch.setattr(allocator, "_steady_since", [])
    assert measure(pair(), allocator="system").settings["allocator"] == "system"
    monkeypatch.setattr(allocator, "_steady_since", [True])
    told = measure(pair(), allocator="system").settings["allocator"]
    assert told == "steady (an earlier measurement of this process made it so)"
    monkeypatch.setattr("sys.platform", "darwin")
    assert measure(pair(), allocator="steady").settings["allocator"] == "system (no mallopt on darwin)"


def test_steady_allocator_sets_both_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The border to the C library is a fake: both thresholds are raised, and a refusal is told."""
    calls: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None: ...

        def mallopt(self, parameter: int, value: int) -> int:
            calls.append((parameter, value))
            return int(parameter != refused)

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", Library)
    refused = 0
    assert allocator.steady_allocator() == "steady"
    assert calls == [(-3, 32 * 2**20), (-1, 2**31 - 1)]
    refused = -1
    assert "refused" in allocator.steady_allocator()
