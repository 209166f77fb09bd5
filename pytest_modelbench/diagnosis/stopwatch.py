"""The stopwatch of a diagnosis: blocks of two calls in turn, by processor time, within a budget."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.intervals import centre_interval

Call = Callable[[], Any]
Clock = Callable[[], int]

ONE_SIDE = 0.025
"""The error of each side: intervals have 95%."""
BLOCK_NS = 4_000_000
"""A block is as many calls as fill it, so that reading the clock costs nothing."""
MOST_CALLS = 2000
WARM_UP_CALLS = 3
COMPARISON_S = 1.0
"""What one comparison may take of the budget, as long as it has its fewest rounds."""
FEWEST_ROUNDS, MOST_ROUNDS = 5, 40
SLOW_S = 0.1
"""A round has two blocks only if calls take longer than this: the budget is for many hypotheses."""


@dataclass(kw_only=True)
class BlockStopwatch:
    """Times two calls in blocks ABBA and BAAB by turns, slow ones in AB and BA; each round gives one log-ratio.

    Processor time does not grow when other processes use the machine, and a drift of the machine cancels within a
    round. How long a round takes settles the number of rounds; no look at the ratio ends a comparison.

    Attributes:
        student: the call that variants are compared with.
        budget_s: seconds of wall time that all comparisons may take together, from the making of the stopwatch.
        clock_ns: the clock of the calling thread.
        process_clock_ns: the clock of all threads.
        now: the wall clock, in seconds.
        beat: called after each block.
    """

    student: Call
    budget_s: float
    clock_ns: Clock = time.thread_time_ns
    process_clock_ns: Clock = time.process_time_ns
    now: Callable[[], float] = time.monotonic
    beat: Callable[[], None] = lambda: None
    _ends: float = field(init=False)

    def __post_init__(self) -> None:
        self._ends = self.now() + self.budget_s

    @property
    def left_s(self) -> float:
        """The seconds of the budget that are left, at least 0."""
        return max(self._ends - self.now(), 0.0)

    def gives_back(self, variant: Call, *, process_time: bool = False) -> Estimate:
        """Return the share of the student's time that a variant saves, with a 95% interval; see `Stopwatch`."""
        return self.ratio(variant, self.student, process_time=process_time).map(lambda ratio: 1.0 - ratio)

    def ratio(self, numerator: Call, denominator: Call, *, process_time: bool = False) -> Estimate:
        """Return the ratio of the times of two calls, with a 95% interval; see `Stopwatch`."""
        clock = self.process_clock_ns if process_time else self.clock_ns
        above, below = _Block(numerator, clock), _Block(denominator, clock)
        with _without_collection():
            slow = self._prepared(above, below)
            started = self.now()
            logs = [self._round(above, below, turned=bool(turn % 2), slow=slow) for turn in range(FEWEST_ROUNDS)]
            each_s = (self.now() - started) / FEWEST_ROUNDS
            wanted = int(COMPARISON_S / max(each_s, 1e-9))
            logs += [
                self._round(above, below, turned=bool(turn % 2), slow=slow)
                for turn in range(FEWEST_ROUNDS, min(wanted, MOST_ROUNDS))
                if self.left_s > 0
            ]
        return centre_interval(logs, ONE_SIDE).map(math.exp)

    def _prepared(self, *blocks: _Block) -> bool:
        """Warm up, and return whether calls are slow."""
        started = self.now()
        for block in blocks:
            self._refuse_if_spent()
            block.warm_up()
            before = self.now()
            block.warm_up()
            if self.now() - before < SLOW_S:  # else one call is a block, also if it does little in this thread
                block.fill()
            self.beat()
        return self.now() - started > 4 * SLOW_S  # two calls of each, or several fast ones

    def _round(self, above: _Block, below: _Block, *, turned: bool, slow: bool) -> float:
        """Time two or four blocks and return the logarithm of the ratio of their times.

        Raises:
            MeasurementError: the budget is spent.
        """
        self._refuse_if_spent()
        spent = {above: 0.0, below: 0.0}
        order = [below, above] if turned else [above, below]
        for block in order if slow else [*order, *reversed(order)]:
            spent[block] += block.per_call_ns()
            self.beat()
        return math.log(spent[above] / spent[below])

    def _refuse_if_spent(self) -> None:
        if self.left_s <= 0:
            raise MeasurementError(f"the budget of {self.budget_s:g} s is spent")


class _Block:
    """Calls in a row, as many as fill a block."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call, self._clock, self._calls = call, clock, 1

    def warm_up(self) -> None:
        """Run a call that is not timed."""
        self._call()

    def fill(self) -> None:
        """Find out how many calls fill a block."""
        self._calls = 1
        if self.per_call_ns() < BLOCK_NS:
            self._calls = WARM_UP_CALLS
            self._calls = max(1, min(MOST_CALLS, math.ceil(BLOCK_NS / self.per_call_ns())))

    def per_call_ns(self) -> float:
        """Time one block and return the nanoseconds of a call, at least the clock's step of 1."""
        call, clock = self._call, self._clock
        start = clock()
        for _ in range(self._calls):
            call()
        return max(clock() - start, 1) / self._calls


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the garbage collector out of the blocks."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
