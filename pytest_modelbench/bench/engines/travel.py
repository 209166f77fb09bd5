"""What cannot travel between processes, as a mistake that names it."""

from __future__ import annotations

import pickle

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
