"""The pytest plugin: options and hooks. Thin; loading it imports pytest and the standard library only."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Generator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from pytest_modelbench.options import CHILD_OPTION, OPTIONS
from pytest_modelbench.plugin.fixtures import (
    _deployed_as,
    corruption,
    diagnosis,
    edge_case,
    energy_meter,
    kpi,
    memory_meter,
    previous,
    profiler,
    student,
    teacher,
)
from pytest_modelbench.plugin.placeholders import placeholders
from pytest_modelbench.plugin.stash import (
    HAD_STORAGE,
    IMPORT_S,
    MISTAKES,
    NAMED,
    OWN_FIXTURES,
    STATE,
    UNJUDGED,
)

__all__ = [
    "_deployed_as",
    "corruption",
    "diagnosis",
    "edge_case",
    "energy_meter",
    "kpi",
    "memory_meter",
    "previous",
    "profiler",
    "student",
    "teacher",
]

_STORAGE = Path(".benchmarks")
_KPI = "kpi(name, *limits, **keywords): judge one KPI of the student. See `pytest --markers` for the keywords."
_EDGE_CASE = (
    "edge_case(*names): narrow the edge cases that the fixture edge_case runs a test for, to some by name, such as "
    "edge_case('zeros', 'huge'), or to those that fit the inputs: edge_case('numbers'), edge_case('tokens')."
)
_CORRUPTION = (
    "corruption(*names): run a test once for each corruption of the evaluation inputs, such as "
    "corruption('gaussian_noise:3', 'contrast:5'), or for all of a family: corruption('images:5')."
)
_DEPLOY = (
    "modelbench_deploy(*formats): run a test also on the files that the student is exported to, one for each format, "
    "such as modelbench_deploy('onnx')."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define every option once, on the command line and in the ini file."""
    group = parser.getgroup("modelbench", "modelbench: acceptance tests for compressed models")
    for option in OPTIONS:
        if option.where != "ini":
            action: dict[str, Any] = (
                {"action": "store_true"} if option.kind == "flag" else {"metavar": option.metavar, "type": str}
            )
            if option.kind == "list":
                action["action"] = "append"
            if option.const is not None:
                action.update(nargs="?", const=option.const)
            group.addoption(option.flag, dest=option.name, default=None, help=option.help, **action)
        if option.where != "command line":
            kind = {"flag": "bool", "list": "linelist"}.get(option.kind, "string")
            parser.addini(option.name, option.help, type=kind, default=None)  # type: ignore[arg-type]
    group.addoption(CHILD_OPTION, dest="modelbench_child", default=None, help=argparse.SUPPRESS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """In a fresh process that launches a model, import its library before any conftest does."""
    asked = getattr(early_config.known_args_namespace, "modelbench_child", None)
    if asked:
        from pytest_modelbench.plugin.frameworks import import_frameworks

        early_config.stash[IMPORT_S] = import_frameworks(Path(asked))
    early_config.stash[HAD_STORAGE] = _STORAGE.exists()
    return (yield)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let others implement hooks of ours: see `hooks`."""
    pluginmanager.add_hookspecs(importlib.import_module("pytest_modelbench.hooks"))


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options; start a session where gates are to be judged."""
    for marker in (_kpi_help(config), _EDGE_CASE, _CORRUPTION, _DEPLOY):
        config.addinivalue_line("markers", marker)
    config.stash[MISTAKES] = []
    config.pluginmanager.register(placeholders(config), "modelbench-placeholders")
    command_line = {option.name: getattr(config.option, option.name, None) for option in OPTIONS}
    if not (any(command_line.values()) or config.getini("modelbench")):
        return
    from pytest_modelbench.plugin.given_options import resolve_given

    settings, places = resolve_given(config, command_line)
    if settings.enabled:
        from pytest_modelbench.plugin.begin import begin

        begin(config, settings, places)


def _kpi_help(config: pytest.Config) -> str:
    """Return the line that registers the kpi marker; only where it is printed does it name every keyword."""
    if not config.getoption("markers", None):
        return _KPI
    from pytest_modelbench.gates.keywords import marker_help

    return marker_help()


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Print the catalogue for --modelbench-kpis; check the machine for --modelbench-selfcheck."""
    if config.getoption("modelbench_selfcheck") and not config.getoption("help"):
        from pytest_modelbench.commands.selfcheck import run_self_check

        return run_self_check(config)
    if not config.getoption("modelbench_kpis"):
        return None
    from pytest_modelbench.plugin.extensions import print_catalogue

    return print_catalogue(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """With `--modelbench-suite`, collect also what carries its items above the given paths."""
    if STATE in session.config.stash and session.config.stash[STATE].settings.suites:
        from pytest_modelbench.plugin.suite_file import reach_suites

        reach_suites(session.config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect `modelbench.toml` and `*.modelbench.toml`; with `--modelbench-suite` also what carries its items."""
    collector: pytest.Module
    if STATE in parent.config.stash and parent.config.stash[STATE].settings.suites:
        from pytest_modelbench.plugin.suite_file import SuiteFile, carries_suite

        if carries_suite(file_path, parent.config):
            collector = SuiteFile.from_parent(parent, path=file_path)
            return collector
    if not file_path.name.endswith("modelbench.toml"):
        return None
    from pytest_modelbench.plugin.misnamed import is_sla

    if not is_sla(file_path.name):
        return None
    from pytest_modelbench.plugin.sla_file import SlaFile

    collector = SlaFile.from_parent(parent, path=file_path)
    return collector


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> None:
    """Tell what lies in a collected folder, was meant to be a modelbench.toml, and would be passed over."""
    if STATE in parent.config.stash:
        from pytest_modelbench.plugin.misnamed import misnamed

        root = parent.config.rootpath
        for file, fault in misnamed(path):
            name = file.relative_to(root) if file.is_relative_to(root) else file
            parent.config.stash[MISTAKES].append(f"{name}: {fault}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> Generator[None, object, object]:
    """Ask for the fixtures that a kpi marker needs, before tests are parametrised; note uncollected gates."""
    if collector.own_markers or (_may_be_marked(obj) and hasattr(obj, "pytestmark")):
        from pytest_modelbench.plugin import collection

        collection.ask_for_fixtures(collector, obj)
    made = yield
    if STATE in collector.config.stash and _may_be_marked(obj):
        from pytest_modelbench.plugin.uncollected import note

        note(collector, name, obj, made)
    return made


def _may_be_marked(candidate: object) -> bool:
    """Whether an object is a function or a class; others (lazy proxies) must not even be looked into."""
    return issubclass(type(candidate), FunctionType | type | staticmethod)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let models that the command line or a modelbench.toml names override fixtures."""
    state = metafunc.config.stash.get(STATE, None)
    module = metafunc.definition.getparent(pytest.Module)
    named = module is not None and NAMED in module.stash
    if state is not None or named or "_deployed_as" in metafunc.fixturenames:
        from pytest_modelbench.plugin.parametrisation import use_named_models

        use_named_models(metafunc, state.settings if state is not None else None)
    if "edge_case" in metafunc.fixturenames:
        from pytest_modelbench.plugin.parametrisation import parametrise_edge_case

        parametrise_edge_case(metafunc)
    if "corruption" in metafunc.fixturenames:
        from pytest_modelbench.plugin.corrupted_cases import parametrise

        parametrise(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the gates, or skip them where nothing is judged; report all mistakes together."""
    state = config.stash.get(STATE, None)
    if state is None and not config.stash[MISTAKES] and not any(_is_ours(item) for item in items):
        return
    from pytest_modelbench.plugin import collection, deploying, parametrisation, uncollected

    mistakes: list[str] = []
    if state is None:
        config.stash[UNJUDGED] = collection.skip_unjudged(items)
    else:
        mistakes += parametrisation.names_not_found(config, state.settings, items)
        mistakes += collection.without_suite(config, state.settings, items)
        mistakes += collection.read_items(items, state.settings, state.session.baseline)
        mistakes += parametrisation.students_of_one_name(items)
        mistakes += deploying.mistakes_in(items, state.settings)
        mistakes += uncollected.never_judged(config, items)
    collection.refuse(config, items, mistakes)


def _is_ours(item: pytest.Item) -> bool:
    """Whether an item has one of our markers, or asks for one of our fixtures."""
    asks = OWN_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(asks) or any(mark.name in {"kpi", "edge_case", "corruption"} for mark in item.iter_markers())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's mistakes, also where nothing is judged."""
    mistakes = node.config.stash[MISTAKES]
    from_worker = getattr(node, "workeroutput", {}).get("modelbench_mistakes", [])
    mistakes += [mistake for mistake in from_worker if mistake not in mistakes]
    node.config.stash[UNJUDGED] = getattr(node, "workeroutput", {}).get("modelbench_unjudged", 0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass on what only a worker knows; in the controller, make mistakes the exit status."""
    config = session.config
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output["modelbench_unjudged"] = config.stash.get(UNJUDGED, 0)
        output["modelbench_mistakes"] = [str(mistake) for mistake in config.stash[MISTAKES]]
    elif config.stash[MISTAKES]:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    if config.option.modelbench_child and not session.exitstatus:
        config.option.no_summary = True  # discarded, and some plugins import heavy modules to build theirs


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder that pytest-benchmark, which we bring, makes in every folder, where it is new and empty."""
    if not config.stash.get(HAD_STORAGE, True):
        with contextlib.suppress(OSError):  # it is not there, or holds something
            (config.invocation_params.dir / _STORAGE).rmdir()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many gates were not judged; print the mistakes that workers found."""
    unjudged = config.stash.get(UNJUDGED, 0)
    if unjudged:
        gates = f"{unjudged} gate{'s' if unjudged != 1 else ''}"
        terminalreporter.write_line(f"modelbench: {gates} not judged; run pytest with --modelbench", yellow=True)
    if config.pluginmanager.hasplugin("dsession"):
        for mistake in config.stash[MISTAKES]:
            terminalreporter.write_line(f"ERROR: {mistake}", red=True)
