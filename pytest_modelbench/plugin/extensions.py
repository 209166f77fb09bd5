"""Finds what others bring: by entry points, by plugins, by conftest.py files, also those that pytest loads later."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench import hooks
from pytest_modelbench.errors import cause_of
from pytest_modelbench.gates.extensions import Extensions
from pytest_modelbench.plugin.stash import MISTAKES

GROUP = "pytest_modelbench"


class Finder:
    """Asks every plugin for what it adds: those that are there now, and each that pytest registers later."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.extensions = Extensions()
        self._origins: dict[int, str] = {}
        self._asked: set[tuple[int, str]] = set()
        self._load_entry_points()
        self._ask_all()

    def _load_entry_points(self) -> None:
        for point in importlib.metadata.entry_points(group=GROUP):
            origin = f"{point.dist.name if point.dist else '?'} (entry point {point.name})"
            try:
                module = point.load()
            except Exception as error:  # noqa: BLE001 - whatever the code of others raises
                self._tell(f"{origin} cannot be loaded: {cause_of(error)}. Mend it, or uninstall it")
                continue
            self._origins[id(module)] = origin
            if not self.config.pluginmanager.is_registered(module):
                self.config.pluginmanager.register(module, f"{GROUP}-{point.name}")

    def _ask_all(self) -> None:
        for hook in hooks.ADDING:
            for implementation in getattr(self.config.hook, hook).get_hookimpls():
                if (key := (id(implementation.plugin), hook)) in self._asked:
                    continue
                self._asked.add(key)
                given = {name: value for name, value in {"config": self.config}.items() if name in implementation.argnames}
                function = functools.partial(implementation.function, **given)
                self.extensions.take(hook, function, self._origin(implementation.plugin))
        for mistake in self.extensions.mistakes:
            self._tell(mistake)
        self.extensions.mistakes.clear()

    def _tell(self, mistake: str) -> None:
        known = self.config.stash[MISTAKES]
        if mistake not in known:
            known.append(mistake)

    def _origin(self, plugin: Any) -> str:
        known = self._origins.get(id(plugin))
        if known is not None:
            return known
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
