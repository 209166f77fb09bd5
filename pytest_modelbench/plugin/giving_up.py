"""The end of a session whose process must end because a call cannot be stopped: with a report, and not green."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

import pytest

from pytest_modelbench.plugin.item_results import all_gates
from pytest_modelbench.plugin.items import plan_of
from pytest_modelbench.plugin.reporting import Reporting
from pytest_modelbench.plugin.stash import GATES
from pytest_modelbench.probes.timing.watchdog import Watchdog
from pytest_modelbench.reports.gate_record import record_of
from pytest_modelbench.results import Verdict
from pytest_modelbench.settings import differing_settings


class GivingUp:
    """Gives watchdogs their last words: the item's gates are errors, and what is known is written.

    Args:
        config: of the session.
        reporting: knows the results so far.
    """

    def __init__(self, config: pytest.Config, reporting: Reporting) -> None:
        self._reporting = reporting
        self._item: pytest.Item | None = None
        self._stderr = os.dup(2)  # here nothing is captured yet
        self._before = Watchdog.last_words, Watchdog.deaf_to
        Watchdog.last_words = staticmethod(self.end)
        if not float(config.getini("faulthandler_timeout") or 0):  # else pytest uses the only timer that there is
            Watchdog.deaf_to = self._stderr

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Remember whose call it is."""
        self._item = item
        return (yield)

    def pytest_unconfigure(self) -> None:
        """Leave watchdogs as they were."""
        Watchdog.last_words, Watchdog.deaf_to = staticmethod(self._before[0]), self._before[1]
        os.close(self._stderr)

    def end(self, reason: str) -> None:
        """Write what is known, and end this process with exit status 1."""
        item, record = self._item, self._reporting.record
        with contextlib.suppress(Exception):  # whatever state the stuck thread has left: the process must end
            if item is not None and GATES in item.stash:
                plan = plan_of(item)
                own = differing_settings(plan.settings, self._reporting.state.settings)
                results = all_gates(item, Verdict.ERROR, reason)
                record.hear(
                    item.nodeid, [record_of(result, item.nodeid, plan.suite, own) for result in results], None
                )
                record.finish_phase(item.nodeid, "error", 0.0)
            self._reporting.files.save_now()
        where = "" if item is None else f"{item.nodeid}: "
        os.write(
            self._stderr, f"\nmodelbench: {where}{reason}, and no interrupt ends it: the session ends\n".encode()
        )
        self._reporting.exits.status = 1  # it may leave now
        os._exit(1)
