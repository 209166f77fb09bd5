"""Plugins of others that a process which only measures need not load: they cost it more than most models do."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_modelbench.plugin.fixture_lookup import winning_fixture
from pytest_modelbench.plugin.placeholders import is_conftest


class Known(NamedTuple):
    """A plugin of the field: its module, how its ini values begin, its markers, and how its own hooks begin."""

    module: str
    ini: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    hooks: str = ""


KNOWN = {
    "hypothesispytest": Known("_hypothesis_pytestplugin", markers=("hypothesis",)),
    "anyio": Known("anyio", ("anyio_mode",), ("anyio",)),
    "randomly": Known("pytest_randomly"),
    "benchmark": Known("pytest_benchmark", markers=("benchmark",), hooks="pytest_benchmark_"),
    "timeout": Known("pytest_timeout", ("timeout", "session_timeout"), ("timeout",), "pytest_timeout_"),
    "rerunfailures": Known("pytest_rerunfailures", ("reruns", "only_rerun", "rerun_except"), ("flaky",)),
    "memray": Known(
        "pytest_memray",
        (
            "memray",
            "hide_memray",
            "stacks",
            "native",
            "trace_python",
            "fail-on-increase",
            "verbosity_memray",
            "most_",
        ),
        ("limit_memory", "limit_leaks"),
    ),
}
"""By the name of its entry point. Whatever is not here stays: fixtures, markers and ini values may be a plugin's."""


def plugins_left_out(config: pytest.Config, item: pytest.Item) -> list[str]:
    """Return the names of known plugins that nothing of an item, its ini file or its conftests asks for."""
    fixtures = [winning_fixture(item, name) for name in getattr(item, "fixturenames", ())]
    modules = {definition.func.__module__.partition(".")[0] for definition in fixtures if definition is not None}
    lines = [*_lines_of_ini(config), *(config.option.override_ini or ())]
    hooks = {name for plugin in config.pluginmanager.get_plugins() if is_conftest(plugin) for name in vars(plugin)}
    return [
        name
        for name, plugin in KNOWN.items()
        if config.pluginmanager.hasplugin(name)
        and plugin.module not in modules
        and not any(line.startswith(plugin.ini) for line in lines if plugin.ini)
        and not any(hook.startswith(plugin.hooks) for hook in hooks if plugin.hooks)
        and not any(name in argument or plugin.module in argument for argument in config.option.plugins)
    ]


def _lines_of_ini(config: pytest.Config) -> list[str]:
    """Return the lines of the ini file: there is no public way to ask which values it gives."""
    if config.inipath is None:
        return []
    return [line.strip(' \t"') for line in config.inipath.read_text("utf-8", errors="replace").splitlines()]


def register_markers(config: pytest.Config) -> None:
    """Register the markers of the plugins that `-p no:NAME` leaves out of this process."""
    for name, plugin in KNOWN.items():
        if f"no:{name}" in config.option.plugins:
            for marker in plugin.markers:
                config.addinivalue_line("markers", f"{marker}: of a plugin that is not loaded here")
