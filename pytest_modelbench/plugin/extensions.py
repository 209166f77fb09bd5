"""Finds what others bring: by entry points, by plugins, by conftest.py files, also those that pytest loads later."""

from __future__ import annotations

import copy
import functools
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.errors import cause_of, shown
from pytest_modelbench.gates.extensions import Extensions, cannot_load, entry_points
from pytest_modelbench.hooks import ADDING
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.plugin.stash import MISTAKES
from pytest_modelbench.reports.layout import encodable
from pytest_modelbench.reports.terminal import render_catalogue

_FAILURES = "modelbench_failures_of_hooks"
_LOADED = "modelbench_loaded_packages"
FINDER: pytest.StashKey[Finder] = pytest.StashKey()


def find_extensions(config: pytest.Config) -> None:
    """Take what others add to a session, and keep asking plugins that are registered later."""
    config.stash[FINDER] = Finder(config, config.stash[MISTAKES])
    config.pluginmanager.register(config.stash[FINDER], "modelbench-extensions")


class Finder:
    """Asks every plugin for what it adds: those that are there now, and each that pytest registers later."""

    def __init__(self, config: pytest.Config, mistakes: list[str]) -> None:
        self.config = config
        self.mistakes = mistakes
        self.extensions = Extensions()
        self._origins: dict[int, str] = {}
        self._asked: set[tuple[int, str]] = set()
        self.failures: list[str] = []
        self.added: list[str] = []
        self.loaded: list[str] = []
        """Packages whose entry points are loaded."""
        self._load_entry_points()
        self._miss_those_of_the_controller()
        self._ask_all()

    def _load_entry_points(self) -> None:
        for origin, load in entry_points():
            try:
                module = load()
                self._origins[id(module)] = origin
                self.loaded.append(origin)
                if not self.config.pluginmanager.is_registered(module):
                    self.config.pluginmanager.register(module, origin)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the code of others may raise anything, SystemExit included
                self._tell(cannot_load(origin, error))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let a worker know which packages the controller has."""
        node.workerinput[_LOADED] = list(self.loaded)

    def _miss_those_of_the_controller(self) -> None:
        """Fail a worker's part of the session for each package that only the controller has."""
        wanted = getattr(self.config, "workerinput", {})
        worker = wanted.get("workerid")
        for origin in wanted.get(_LOADED, []):
            if origin not in self.loaded:
                self.failures.append(
                    f"{origin} is installed where pytest was started, and not in the worker {worker}. "
                    "Install it in every environment that --tx names"
                )

    def _ask_all(self) -> None:
        for hook in ADDING:
            for implementation in getattr(self.config.hook, hook).get_hookimpls():
                if (key := (id(implementation.plugin), hook)) in self._asked:
                    continue
                self._asked.add(key)
                function = functools.partial(self._call, implementation, config=self.config)
                self.extensions.take(hook, function, self._origin(implementation.plugin))
        for mistake in self.extensions.mistakes:
            self._tell(mistake)
        self.extensions.mistakes.clear()

    @staticmethod
    def _call(implementation: Any, **arguments: object) -> Any:
        """Call one implementation of a hook with those arguments that it names."""
        return implementation.function(*(arguments[name] for name in implementation.argnames))

    def tell(self, hook: str, **arguments: object) -> list[Any]:
        """Call a hook that looks at results; one that raises becomes a failure of the session, and ends nothing."""
        answers = []
        for implementation in getattr(self.config.hook, hook).get_hookimpls():
            try:
                answers.append(self._call(implementation, **arguments))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the code of others may raise anything, SystemExit included
                self.failures.append(f"{self._origin(implementation.plugin)}: {hook} raised {cause_of(error)}")
        return answers

    def finish(self, session: pytest.Session, report: Callable[[int], Mapping[str, Any]]) -> None:
        """Hand the report to the hooks of extensions; a hook that raises, there or before, fails the session.

        Args:
            session: pytest's.
            report: returns the JSON report for an exit status.
        """
        status = int(session.exitstatus)
        arguments = {"report": self._copied(report, status), "config": self.config, "exit_status": status}
        self.tell("pytest_modelbench_report", **arguments)
        for lines in self.tell("pytest_modelbench_summary", report=arguments["report"]):
            if isinstance(lines, list | tuple):
                self.added += [str(line) for line in lines]
            elif lines is not None:
                self.failures.append(f"pytest_modelbench_summary returned {shown(lines)}, expected a list of lines")
        if self.failures and status == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _copied(self, report: Callable[[int], Mapping[str, Any]], status: int) -> Mapping[str, Any]:
        """Return a copy of the report, so that a hook cannot change the file; nothing where no hook looks."""
        hooks = (self.config.hook.pytest_modelbench_report, self.config.hook.pytest_modelbench_summary)
        return copy.deepcopy(report(status)) if any(hook.get_hookimpls() for hook in hooks) else {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Let a worker hand over which hooks failed in it."""
        output: dict[str, Any] | None = getattr(self.config, "workeroutput", None)
        if output is not None:
            output[_FAILURES] = list(self.failures)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take which hooks failed in a worker."""
        failures = getattr(node, "workeroutput", {}).get(_FAILURES, [])
        self.failures += [failure for failure in failures if failure not in self.failures]

    def told(self) -> list[str]:
        """Return the lines that others add to the summary, and what failed of their hooks."""
        return [*self.added, *(f"ERROR: {failure}" for failure in self.failures)]

    def _tell(self, mistake: str) -> None:
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def _origin(self, plugin: Any) -> str:
        origin = self._origins.get(id(plugin))
        if origin is not None:
            return origin
        file = getattr(plugin, "__file__", None)
        if file is None:
            return str(getattr(plugin, "__name__", type(plugin).__name__))
        path = Path(file)
        root = self.config.rootpath
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    def pytest_plugin_registered(self) -> None:
        """Ask what a conftest.py adds that pytest loads while it collects."""
        self._ask_all()

    def pytest_unconfigure(self) -> None:
        """Leave nothing to another session in this process."""
        self.extensions.remove()


def print_catalogue(config: pytest.Config) -> int:
    """Print every KPI, also those of extensions, for `--modelbench-kpis`: before a session there is no reporter."""
    mistakes: list[str] = []
    finder = Finder(config, mistakes)
    rows = [(k.name, k.pillar, k.unit, k.better, k.definition, k.source) for k in CATALOGUE.values()]
    text = render_catalogue(rows, shutil.get_terminal_size().columns)
    finder.extensions.remove()
    lines = [text, *(f"ERROR: {mistake}" for mistake in mistakes)]
    print(encodable("\n".join(lines), getattr(sys.stdout, "encoding", None)))
    return pytest.ExitCode.USAGE_ERROR if mistakes else pytest.ExitCode.OK
