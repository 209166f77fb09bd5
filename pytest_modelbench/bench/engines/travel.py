"""What cannot travel between processes, as a mistake that names it."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.bench.engines.engine import Raised, Task
from pytest_modelbench.errors import message_of


class Unpicklable(Exception):
    """A task cannot be sent to a worker."""

    def __init__(self, raised: Raised) -> None:
        super().__init__(raised.message)
        self.raised = raised


def pickled_task(task: Task) -> bytes:
    """Return a task as bytes.

    Raises:
        Unpicklable: it cannot be pickled, or another process could not import it.
    """
    try:
        pickled = pickle.dumps(task, protocol=5)
    except Exception as error:
        raise Unpicklable(unpicklable("the task", error)) from error
    return pickled


def unpicklable(what: str, error: BaseException) -> Raised:
    """Return what to say of an object that cannot travel between processes."""
    return Raised(
        kind=type(error).__name__,
        message=f"{what} cannot be sent to another process ({message_of(error)}). Use module-level functions and "
        "classes, and plain values or arrays",
        ours="DataError",
        lasting=True,
    )


class Outgoing:
    """The shards that are still to be sent, in their order.

    Args:
        shards: all of them.
    """

    def __init__(self, shards: Sequence[Any]) -> None:
        self._waiting = deque(enumerate(shards))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def positions(self) -> Iterator[int]:
        """Take all that are left, and yield their positions."""
        while self._waiting:
            yield self._waiting.popleft()[0]

    def take(self) -> tuple[int, bytes | Raised]:
        """Return the next one's position and what is sent of it, or why it cannot be sent."""
        position, shard = self._waiting.popleft()
        try:
            return position, pickle.dumps(shard, protocol=5)
        except Exception as error:  # noqa: BLE001 - of the object's own __reduce__
            return position, unpicklable("the shard", error)


def result_of(received: bytes) -> Any:
    """Return what a worker sent of a shard."""
    try:
        return pickle.loads(received)  # noqa: S301 - of our own worker
    except Exception as error:  # noqa: BLE001 - of the object's own class
        return unpicklable("the result", error)
