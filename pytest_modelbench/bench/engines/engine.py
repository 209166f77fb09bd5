"""What every engine does: it maps one task over many shards, in other processes or on other machines.

An engine delivers what came of each shard, in any order: the task's result, a `Raised` or a `Lost`. It never tries a
shard again; `attempts.attempted` does.
"""

from __future__ import annotations

import importlib
import math
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pytest_modelbench.errors import (
    CheckFailure,
    DataError,
    DoesNotFit,
    MeasurementError,
    ModelbenchError,
    NotApplicable,
    UsageMistake,
    cause_of,
    error_class,
    message_of,
)

Task = Callable[[Any], Any]
"""A small picklable callable of one shard. It keeps what it builds, such as models, in its process."""

ENGINES = {
    "serial": "pytest_modelbench.bench.engines.serial:Serial",
    "processes": "pytest_modelbench.bench.engines.processes:Processes",
    "ray": "pytest_modelbench.bench.engines.ray_cluster:RayCluster",
    "dask": "pytest_modelbench.bench.engines.dask_cluster:DaskCluster",
}
"""The engines by name, each as `module:class`."""

_LIBRARIES = {"ray": "ray", "dask": "distributed"}

_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors of files that a second attempt finds again."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The worker that held a shard ended before it had a result.

    Attributes:
        reason: how the worker ended, such as `killed by SIGKILL (often: out of memory)`.
        worker: its name, such as `worker 3 (process 4711)`.
    """

    reason: str
    worker: str

    def __str__(self) -> str:
        return f"{self.worker} was lost: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Raised:
    """A task raised on a shard; what is known of the exception, as text.

    Attributes:
        kind: the name of the exception's class.
        message: its text.
        ours: the nearest class of `pytest_modelbench.errors`, None for an exception of other code.
        lasting: whether a second attempt would raise it again: a mistake of the user's, not of a disk or a network.
        blames: as in `ModelbenchError`.
        place: `file:line` where it was raised; empty where that is not known.
    """

    kind: str
    message: str
    ours: str | None = None
    lasting: bool = False
    blames: str | None = None
    place: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Return what is known of an exception."""
        ours = next((base for base in type(error).__mro__ if _rebuilds(base)), None)
        return cls(
            kind=type(error).__name__,
            message=str(error) if ours else message_of(error),
            ours=ours.__name__ if ours else None,
            lasting=_lasts(error),
            blames=getattr(error, "blames", None) if ours else None,
            place=_place(error),
        )

    def error(self) -> ModelbenchError:
        """Return the exception again: of its class in our tree; others as `MeasurementError` with their name."""
        if self.ours is None:
            place = f" ({self.place})" if self.place else ""
            return MeasurementError(f"{self.kind}: {self.message}{place}")
        error = (error_class(self.ours) or MeasurementError)(self.message)
        error.blames = self.blames
        return error

    def __str__(self) -> str:
        return self.message if self.ours else str(self.error())


def _rebuilds(base: type) -> bool:
    """Tell whether a class is one of our tree that is made from its message alone."""
    return issubclass(base, ModelbenchError) and error_class(base.__name__) is base and ("__init__" not in vars(base))


def _lasts(error: BaseException) -> bool:
    """Tell whether a shard would raise it again: see `Raised.lasting`."""
    mistakes = (UsageMistake, DataError, DoesNotFit, NotApplicable, CheckFailure)
    if not isinstance(error, mistakes):
        return False
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__
    return not any(isinstance(cause, OSError) and not isinstance(cause, _LASTING) for cause in causes)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class Engine(ABC):
    """Where a task runs over shards.

    Attributes:
        name: as in `--modelbench-engine`.
        workers: how many shards are worked on at a time.
        started_s: seconds that it took to start the workers, so that they are not mistaken for work; 0.0 before.
    """

    name: str
    workers: int
    started_s: float = 0.0

    @abstractmethod
    def describe(self) -> str:
        """Return one line for the terminal and the report: the engine, its workers, the address of a cluster."""

    @abstractmethod
    def map(self, task: Task, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the position of each shard once, with the task's result, a `Raised` or a `Lost`, in any order.

        What a task or an engine does to one shard never ends the iteration. Ending it early stops what is running.

        Args:
            task: pickled once for a worker, not once for a shard.
            shards: what the task is called with, one after the other.
        """

    def close(self) -> None:  # noqa: B027 - an engine without workers has nothing to end
        """End what this engine started, at once; a later `map` starts it again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def engine_for(name: str | None, *, workers: int | None = None, num_gpus: float | None = None) -> Engine:
    """Return an engine by its name; nothing is started before its first `map`.

    Args:
        name: one of `ENGINES`; None for this process, one shard after the other.
        workers: how many; None for the processors that this process may use, or those of a cluster that is joined.
        num_gpus: GPUs for each worker; 0.5 lets two share one.

    Raises:
        UsageMistake: the engine is unknown or not installed, or cannot give workers GPUs.
    """
    spec = ENGINES.get(name or "serial")
    if spec is None:
        raise UsageMistake(f"--modelbench-engine: found {name!r}, expected one of {', '.join(ENGINES)}")
    module, _, kind = spec.partition(":")
    try:
        made: Engine = getattr(importlib.import_module(module), kind)(workers=workers, num_gpus=num_gpus)
    except ImportError as error:
        raise UsageMistake(
            f"--modelbench-engine={name}: the library {_LIBRARIES.get(name or '', name)} cannot be imported "
            f"({cause_of(error)}). Write pip install 'pytest-modelbench[{name}]'"
        ) from error
    return made


def processors() -> int:
    """Return how many processors this process may use: its affinity and the quota of its cgroup, at least 1."""
    from pytest_modelbench.diagnosis.hypotheses.threads import usable_processors

    return max(math.floor(usable_processors()), 1)
