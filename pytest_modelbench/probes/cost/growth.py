"""What a model's calls leave in memory: the growth of resident memory over many calls of one batch."""

from __future__ import annotations

import gc
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.probes.kinds import ProbeKind, Taking

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_modelbench.results import Estimate

WINDOWS = 12
WINDOW_S = 0.5
LEAST_CALLS, MOST_CALLS = 20, 2000
ONE_SIDE = 0.025


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What calls leave in memory.

    Attributes:
        per_thousand: bytes of resident memory for 1,000 calls, with its 95% interval.
        calls: in all windows together.
        batch_size: samples in each call.
    """

    per_thousand: Estimate
    calls: int
    batch_size: int


GROWTH: ProbeKind[Growth] = ProbeKind(
    name="growth",
    exclusive=True,
    of_inputs=True,
    apart="some seconds of calls",
    take=f"{__name__}:take",
)


def take(taking: Taking) -> Growth:
    """Call a model many times and read the resident memory after each window of calls.

    Unreachable objects are collected and freed memory goes back to the kernel before each reading. Growth that
    happens once, such as a cache that is filled, moves one window and not the centre of all.

    Args:
        taking: the model, the data, and `batch_size` among the options.

    Raises:
        NotApplicable: the model runs on another machine or in another process.
        ModelError: the model raised.
    """
    from pytest_modelbench.data.drawn import Draws
    from pytest_modelbench.stats.intervals import centre_interval

    model, size = taking.model, int(taking.options.get("batch_size", 1))
    if model.runs_at:
        raise NotApplicable(f"{model.name} runs at {model.runs_at}, whose memory is not this machine's")
    assert taking.data is not None  # noqa: S101 - the kind needs data
    (batch, *_) = Draws(taking.data, seed=taking.seed, beat=taking.beat).of(size).copies()
    with model.running():
        call = model.bind(batch)
        try:
            calls = _fill(call, taking.beat)
            marks = [_resident_after(call, calls, taking.beat) for _ in range(WINDOWS + 1)]
        except BaseException as error:
            raise model.failure(batch, error) from error
    steps = [1000.0 * (after - before) / calls for before, after in itertools.pairwise(marks)]
    gained = centre_interval(steps, ONE_SIDE).map(lambda gain: max(gain, 0.0))  # memory given back is no growth
    return Growth(per_thousand=gained, calls=calls * WINDOWS, batch_size=size)


def _fill(call: Callable[[], object], beat: Callable[[], None]) -> int:
    """Warm up, and return how many calls fill a window."""
    started, calls = time.monotonic(), 0
    while calls < LEAST_CALLS or (time.monotonic() - started < WINDOW_S and calls < MOST_CALLS):
        call()
        beat()
        calls += 1
    return calls


def _resident_after(call: Callable[[], object], calls: int, beat: Callable[[], None]) -> int:
    from pytest_modelbench.probes.cost.resident import resident_bytes
    from pytest_modelbench.probes.timing.allocator import release_free_memory

    for _ in range(calls):
        call()
        beat()
    gc.collect()
    release_free_memory()
    return resident_bytes()
