"""The machine's lock, as items hold it: beside each other, and never beside a timed measurement."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modelbench.bench.machine_lock import Machine


class MachineTurns:
    """Holds the machine for each item, and lets go of it when the session ends.

    Args:
        config: of the session.
        worker: the id of this worker, None in any other process.
    """

    def __init__(self, config: pytest.Config, worker: str | None) -> None:
        self.machine = Machine(self._tell_waiting)
        self._config = config
        self._worker = worker

    def _tell_waiting(self) -> None:
        """Say why nothing happens, where there is a terminal of this process's own."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self._worker is None:
            reporter.ensure_newline()
            reporter.write_line("modelbench: waiting for another run on this machine to finish what it measures")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        """Run an item beside other items, and never beside a timed measurement of another worker or session."""
        keep = nextitem is not None and self._worker is None  # a worker may have to wait for its next item
        with self.machine.shared(keep=keep):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Let go once fixtures are torn down."""
        self.machine.let_go()

    def pytest_unconfigure(self) -> None:
        """Let go also where the session had no orderly end."""
        self.machine.let_go()
