"""The shelf: takes each measurement once, for this process and for the workers of a parallel run.

Here alone lie the key, the hand-over between workers, the lock of the machine, the watchdog and the progress line.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from pytest_modelbench.bench.handover import Handover
from pytest_modelbench.probes.wire import Arrays

Found = TypeVar("Found")
Key = tuple[Any, ...]


class Tell(Protocol):
    """Shows how far a measurement is."""

    def __call__(self, elapsed_s: float, budget_s: float, more: str = "") -> None:
        """Show the seconds elapsed, the seconds that it may take, and what else is known."""


class Progress(Protocol):
    """Shows the progress of a long measurement."""

    def show(self, what: str, elapsed_s: float, budget_s: float) -> None:
        """Say what is being measured and how far it is."""

    def clear(self) -> None:
        """Leave no trace."""


@dataclass(frozen=True)
class Wire(Generic[Found]):
    """How a measurement travels between workers: `pack` turns it into arrays, `unpack` is the reverse."""

    pack: Callable[[Found], Arrays]
    unpack: Callable[[Arrays], Found]


@dataclass(frozen=True, kw_only=True)
class Job(Generic[Found]):
    """One measurement to take, and what makes two of them the same.

    Attributes:
        kind: its name, the first part of both keys.
        same: what it depends on in this process: models and data by the hashes of their contents.
        run: what it depends on in terms that are the same in every worker, where it travels: models and data by their
            names and by where they come from.
        measure: takes it.
        wire: how it travels; None where each worker takes its own.
        exclusive: whether it needs the machine for itself.
        watched: ends a call that never returns; None where `measure` watches its calls itself.
        shown: what the progress line says; empty for none.
    """

    kind: str
    same: Key
    measure: Callable[[Tell], Found]
    run: Key = ()
    wire: Wire[Found] | None = None
    exclusive: bool = False
    watched: contextlib.AbstractContextManager[object] | None = None
    shown: str = ""


class Shelf:
    """What was measured in one session.

    Args:
        handover: the folder that the workers of a parallel run share, or None.
        exclusive: returns a context in which no other item runs on this machine.
        progress: shows long measurements.
    """

    def __init__(
        self,
        handover: Path | None = None,
        exclusive: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        progress: Progress | None = None,
    ) -> None:
        self.exclusive = exclusive
        self._handover = Handover(handover)
        self._progress = progress
        self._measured: dict[Key, Any] = {}

    def take(self, job: Job[Found]) -> Found:
        """Take a measurement, or return it where it was taken before, here or by another worker.

        Raises:
            Exception: the measurement failed, now or before.
        """
        return self.once((job.kind, *job.same), functools.partial(self._taken, job))

    def once(self, key: Key, measure: Callable[[], Found]) -> Found:
        """Call a function once for a key in this process; a failure is remembered and raised again."""
        if key not in self._measured:
            try:
                self._measured[key] = measure()
            except Exception as error:  # noqa: BLE001 - remembered and raised again
                self._measured[key] = error
        outcome = self._measured[key]
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Found", outcome)

    def forget(self, kind: str) -> None:
        """Let go of everything of one kind that was taken once, so that it is taken anew."""
        for key in [key for key in self._measured if key[0] == kind]:
            del self._measured[key]

    def _taken(self, job: Job[Found]) -> Found:
        measure = functools.partial(self._watched, job)
        with self.exclusive() if job.exclusive else contextlib.nullcontext():
            if job.wire is None:
                return measure()
            key = (job.kind, *job.run)
            return self._handover.once(key, measure, job.wire.pack, job.wire.unpack, alone=job.exclusive)

    def _watched(self, job: Job[Found]) -> Found:
        with job.watched or contextlib.nullcontext(), self._shown(job.shown) as tell:
            return job.measure(tell)

    @contextlib.contextmanager
    def _shown(self, what: str) -> Iterator[Tell]:
        """Show progress while something is measured, and leave no trace."""
        shown = self._progress if what else None

        def tell(elapsed_s: float, budget_s: float, more: str = "") -> None:
            if shown is not None:
                shown.show(f"{what}{more}", elapsed_s, budget_s)

        try:
            yield tell
        finally:
            if shown is not None:
                shown.clear()
