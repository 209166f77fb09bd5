"""The lanes of a model under load: each answers one call at a time, and says when it began and ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeGuard

from pytest_modelbench.errors import ModelError, message_of
from pytest_modelbench.models.base import Model, keep_interrupt

WARM_CALLS = 3
Clock = Callable[[], int]
Calls = Sequence[Sequence[Callable[[], object]]]
"""Bound calls, `[batch size - 1][which batch]`."""
Batches = Sequence[Sequence[Any]]
"""Inputs, `[batch size - 1][which batch]`."""


class Scripted(Protocol):
    """A clock that moves only by `advance`."""

    def __call__(self) -> int:
        """Return the time in nanoseconds."""

    def advance(self, duration_ns: float) -> None:
        """Move the clock on."""


def is_scripted(clock: Clock) -> TypeGuard[Scripted]:
    """Whether no real time passes on a clock."""
    return hasattr(clock, "advance")


class Lane(Protocol):
    """Answers one call at a time.

    Attributes:
        elsewhere: whether this process does not run the model, so that what it computes is the client's.
    """

    elsewhere: bool

    def __call__(self, size: int) -> tuple[int, int, str]:
        """Answer some requests: return the call's start and end in nanoseconds, and its failure; "" for none."""


class OwnLane:
    """Calls a model in this process; inputs were bound before, so that only the model runs.

    Args:
        clock: in nanoseconds.
        calls: of the model.
        elsewhere: whether they only send requests.
    """

    def __init__(self, clock: Clock, calls: Calls, *, elsewhere: bool = False) -> None:
        self._clock = clock
        self._calls = calls
        self.elsewhere = elsewhere
        self._turn = 0

    def __call__(self, size: int) -> tuple[int, int, str]:
        """Call the model."""
        bound, failure = self._calls[size - 1], ""
        self._turn += 1
        start = self._clock()
        try:
            bound[self._turn % len(bound)]()
        except BaseException as error:  # noqa: BLE001 - a model is foreign code; its failures are counted
            keep_interrupt(error)
            failure = f"{type(error).__name__}: {message_of(error)}"
        return start, self._clock(), failure


@contextlib.contextmanager
def own_lane(
    model: Model, batches: Batches, beat: Callable[[], None], warm_calls: int = WARM_CALLS
) -> Iterator[OwnLane]:
    """Bind all inputs and call each size a few times: what the first call builds is not load.

    Raises:
        ModelError: the model raised.
    """
    with model.running():
        try:
            calls = [[model.bind(batch) for batch in same] for same in batches]
            for same in calls:
                for number in range(warm_calls):
                    same[number % len(same)]()
                    beat()
        except BaseException as error:
            raise model.failure(batches[0][0], error) from error
        yield OwnLane(model.clock_ns, calls, elsewhere=bool(model.runs_at))


@contextlib.contextmanager
def connections(
    model: Model, batches: Batches, count: int, beat: Callable[[], None] = lambda: None
) -> Iterator[list[Lane]]:
    """Open connections to a model that runs elsewhere, each of which sends one request at a time.

    Raises:
        ModelError: one cannot be opened, or its first calls fail.
    """
    with contextlib.ExitStack() as stack:
        lanes: list[Lane] = [stack.enter_context(own_lane(model, batches, beat))]
        for number in range(2, count + 1):
            try:
                copy = model.replicate() or model
                stack.callback(copy.close)
                lanes.append(stack.enter_context(own_lane(copy, batches, beat, 1)))
            except ModelError as error:
                raise ModelError(
                    f"connection {number} of {count} to {model.runs_at or model.name} failed while the others were "
                    f"open: {error}. If the server takes fewer connections, write workers={number - 1}"
                ) from error
        yield lanes
