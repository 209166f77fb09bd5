"""The stopwatch: right ratios, intervals that hold the truth, a budget, a garbage collector as it was."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable

import pytest

from pytest_modelbench.diagnosis.stopwatch import COMPARISON_S, FEWEST_ROUNDS, MOST_ROUNDS, BlockStopwatch
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.adapters.fake import FakeClock


class Machine:
    """A processor's clock and the wall clock, which runs `load` times as fast."""

    def __init__(self, load: float = 1.0) -> None:
        self.busy, self.all_threads, self.load = FakeClock(), FakeClock(), load

    def call(self, *costs_ns: float, threads: int = 1) -> Callable[[], None]:
        """Return a call that costs each of some times in turn."""
        turns = itertools.cycle(costs_ns)

        def run() -> None:
            cost = next(turns)
            self.busy.advance(cost)
            self.all_threads.advance(cost * threads)

        return run

    def watch(
        self, student: Callable[[], None], budget_s: float = 30.0, **more: Callable[[], None]
    ) -> BlockStopwatch:
        return BlockStopwatch(
            student=student,
            budget_s=budget_s,
            clock_ns=self.busy,
            process_clock_ns=self.all_threads,
            now=lambda: self.busy() * self.load / 1e9,
            **more,
        )


def test_variant_that_takes_a_quarter_gives_three_quarters_back() -> None:
    """Equal times give a width of zero."""
    machine = Machine()
    found = machine.watch(machine.call(400_000)).gives_back(machine.call(100_000))
    assert (found.low, found.value, found.high) == pytest.approx((0.75, 0.75, 0.75), abs=1e-3)


def test_slower_variant_gives_back_less_than_nothing() -> None:
    """The sign tells a refuted cause from an untested one."""
    machine = Machine()
    found = machine.watch(machine.call(1e6)).gives_back(machine.call(2e6))
    assert found.value == pytest.approx(-1.0, abs=1e-3)


def test_interval_has_its_ends_in_order_and_holds_the_truth() -> None:
    """Calls whose cost varies."""
    machine = Machine()
    student, variant = machine.call(9e6, 10e6, 11e6, 12e6, 8e6), machine.call(5e6, 4e6, 6e6)
    found = machine.watch(student).gives_back(variant)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    assert found.high - found.low > 0.01


def test_drift_of_the_machine_cancels() -> None:
    """Both calls become slower by the same step each time: the ratio stays."""
    machine = Machine()
    slower = itertools.count(1)

    def call(cost: float) -> Callable[[], None]:
        return lambda: machine.busy.advance(cost * (1 + next(slower) / 1000))

    found = machine.watch(call(10e6)).gives_back(call(9e6))
    assert found.value == pytest.approx(0.1, abs=0.01)


def test_process_time_counts_all_threads() -> None:
    """The same time of the caller, by four threads."""
    machine = Machine()
    watch = machine.watch(machine.call(1e6, threads=4))
    alone = machine.call(1e6)
    assert watch.gives_back(alone).value == pytest.approx(0.0, abs=1e-3)
    assert watch.gives_back(alone, process_time=True).value == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("load", [1.0, 20.0])
def test_comparison_keeps_to_its_share_of_the_budget(load: float) -> None:
    """Also where the wall clock runs faster than the processor's."""
    machine = Machine(load)
    watch = machine.watch(machine.call(2e6))
    watch.gives_back(machine.call(2e6))
    fewest = (FEWEST_ROUNDS + 1) * 4 * 4e-3 * load
    assert 30.0 - watch.left_s <= COMPARISON_S + 2 * fewest


def test_long_calls_have_the_fewest_rounds_only() -> None:
    """A model that takes a second is compared as well, as long as the budget lasts."""
    machine = Machine()
    calls = itertools.count()

    def student() -> None:
        next(calls)
        machine.busy.advance(2e8)

    machine.watch(student).gives_back(machine.call(2e8))
    assert next(calls) == 2 + FEWEST_ROUNDS  # two to warm up


def test_call_whose_work_is_done_elsewhere_is_a_block_of_its_own() -> None:
    """Half a second of the wall clock, and a microsecond of this thread."""
    machine = Machine(load=5e5)
    calls = itertools.count()

    def student() -> None:
        next(calls)
        machine.busy.advance(1e3)

    machine.watch(student).gives_back(machine.call(1e3))
    assert next(calls) == 2 + FEWEST_ROUNDS


def test_many_short_rounds_end() -> None:
    """A fast clock and a fast model do not go on for ever."""
    machine, beats = Machine(load=0.001), itertools.count()

    def beat() -> None:
        next(beats)

    machine.watch(machine.call(1e6), beat=beat).gives_back(machine.call(1e6))
    assert next(beats) == 2 + 4 * MOST_ROUNDS


def test_spent_budget_is_an_error_that_states_it() -> None:
    """In the middle of a comparison, and before the next one."""
    machine = Machine()
    watch = machine.watch(machine.call(1e9), budget_s=10)
    for _ in range(2):
        with pytest.raises(MeasurementError, match="the budget of 10 s is spent"):
            watch.gives_back(machine.call(1e9))


@pytest.mark.parametrize("was", [True, False])
def test_garbage_collector_is_as_it_was(was: bool) -> None:
    """Off during blocks; also after a variant that raises."""
    machine, seen = Machine(), []

    def failing() -> None:
        seen.append(gc.isenabled())
        raise ZeroDivisionError

    (gc.enable if was else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError):
            machine.watch(machine.call(1e6)).gives_back(failing)
        assert gc.isenabled() is was
    finally:
        gc.enable()
    assert seen == [False]


def test_real_clocks_find_a_known_ratio() -> None:
    """A loop of twice the length, generously."""

    def work(times: int) -> Callable[[], None]:
        def run() -> None:
            sum(range(times))

        return run

    found = BlockStopwatch(student=work(20_000), budget_s=20.0).gives_back(work(10_000))
    assert 0.3 < found.value < 0.7
