"""The engine of a session: started when the first pass needs it, and never beside a timed measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from pytest_modelbench.bench.engines.engine import Engine, engine_for
from pytest_modelbench.settings import Settings

Exclusive = Callable[[], contextlib.AbstractContextManager[None]]


class Engines:
    """Engines by their settings, each started once."""

    def __init__(self) -> None:
        self._running: dict[tuple[object, ...], Engine] = {}

    def of(self, settings: Settings) -> Engine:
        """Return the engine that some settings ask for.

        Raises:
            UsageMistake: its package is not installed.
        """
        key = (
            settings.engine,
            settings.workers,
            settings.num_gpus,
        )
        if key not in self._running:
            self._running[key] = engine_for(
                settings.engine,
                workers=settings.workers,
                num_gpus=settings.num_gpus,
            )
        return self._running[key]

    def close(self) -> None:
        """End all workers; an engine that is asked for again starts anew."""
        with contextlib.ExitStack() as closing:
            while self._running:
                closing.callback(self._running.popitem()[1].close)

    def none_beside(self, exclusive: Exclusive) -> Exclusive:
        """Return a context for measurements that need the machine for themselves: no worker is left then."""

        @contextlib.contextmanager
        def alone() -> Iterator[None]:
            self.close()
            with exclusive():
                yield

        return alone
