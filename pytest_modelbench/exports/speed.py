"""How many times as fast as its source an exported file is: both by turns in one process, with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from pytest_modelbench.models.base import Model
from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.intervals import centre_interval

ONE_SIDE = 0.025
BLOCK_S = 0.005
MOST_CALLS = 200
FEWEST_ROUNDS, MOST_ROUNDS = 10, 60
BUDGET_S = 10.0
Clock = Callable[[], int]


def speedup(source: Model, deployed: Model, batch: Any, beat: Callable[[], None] = lambda: None) -> Estimate:
    """Return the source's time for a batch over the file's, with its 95% interval.

    Blocks of calls follow each other as source, file, file, source and then the other way round, so that a drift of
    the machine cancels within a round; each round gives one log-ratio.

    Args:
        source: the model that was exported.
        deployed: the file in its runtime, with as many threads.
        batch: of real inputs.
        beat: called after each block.
    """
    with source.running(), deployed.running():
        slow, fast = (_Block(model.bind(batch), model.clock_ns) for model in (source, deployed))
        for block in (slow, fast):
            block.fill()
            beat()
        ends, logs = time.monotonic() + BUDGET_S, list[float]()
        while len(logs) < FEWEST_ROUNDS or (len(logs) < MOST_ROUNDS and time.monotonic() < ends):
            spent = {slow: 0.0, fast: 0.0}
            order = [slow, fast, fast, slow] if len(logs) % 2 else [fast, slow, slow, fast]
            for block in order:
                spent[block] += block.per_call_ns()
                beat()
            logs.append(math.log(spent[slow] / spent[fast]))
    return centre_interval(logs, ONE_SIDE).map(math.exp)


class _Block:
    """Calls in a row, as many as fill a block."""

    def __init__(self, call: Callable[[], Any], clock: Clock) -> None:
        self._call, self._clock, self._calls = call, clock, 1

    def fill(self) -> None:
        """Warm up, and find out how many calls fill a block."""
        self.per_call_ns()
        fastest_s = min(self.per_call_ns(), self.per_call_ns()) / 1e9
        self._calls = max(1, min(MOST_CALLS, math.ceil(BLOCK_S / fastest_s)))

    def per_call_ns(self) -> float:
        """Time one block and return the nanoseconds of a call, at least 1."""
        start = self._clock()
        for _ in range(self._calls):
            self._call()
        return max(self._clock() - start, 1) / self._calls
