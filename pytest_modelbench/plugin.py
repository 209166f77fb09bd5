"""The pytest plugin: options and hooks. Thin; loading it imports pytest and the standard library only."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest

from pytest_modelbench.fixtures import eval_data, kpi, student, student_model, teacher, teacher_model
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.stash import JUDGING, MISTAKES, OWN_FIXTURES, SESSION, UNJUDGED

__all__ = ["eval_data", "kpi", "student", "student_model", "teacher", "teacher_model"]

_MARKER = (
    "kpi(name, *limits, better=, unit=, metric=, confidence=, batch_size=, average=): judge one KPI of the student, "
    "for example kpi('latency_p99', '<= 120 ms', 'reduction >= 85%'). Limits are '[subject] op quantity' with the "
    "subjects reduction, increase, ratio, speedup, difference, drop, regression; without a subject the student's own "
    "value is judged. The test runs once for each student. See `pytest --modelbench-kpis` for the names."
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
            group.addoption(option.flag, dest=option.name, default=None, help=option.help, **action)
        if option.where != "command line":
            kind = {"flag": "bool", "list": "linelist"}.get(option.kind, "string")
            parser.addini(option.name, option.help, type=kind, default=None)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options; start a session where gates are to be judged."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[MISTAKES] = []
    given = {option.name: getattr(config.option, option.name, None) for option in OPTIONS}
    if not (any(given.values()) or config.getini("modelbench")):
        return
    from pytest_modelbench.settings import resolve_settings

    ini = {option.name: config.getini(option.name) for option in OPTIONS if option.where != "command line"}
    settings, mistakes = resolve_settings(given, ini)
    if given["modelbench_json"] and not settings.enabled:
        mistakes.append("--modelbench-json: nothing is judged, so there is no report. Add --modelbench")
    config.stash[MISTAKES] = mistakes
    if settings.enabled:
        from pytest_modelbench.judging import Judging

        config.stash[JUDGING] = judging = Judging(config, settings)
        config.stash[SESSION] = judging.session
        config.pluginmanager.register(judging, "modelbench-judging")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Print the catalogue for --modelbench-kpis."""
    if not config.getoption("modelbench_kpis"):
        return None
    import shutil

    from pytest_modelbench.kpis.catalogue import CATALOGUE
    from pytest_modelbench.reports.terminal import render_catalogue

    rows = [(k.name, k.pillar, k.unit, k.better, k.definition, k.source) for k in CATALOGUE.values()]
    print(render_catalogue(rows, shutil.get_terminal_size().columns))
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> None:
    """Ask for the fixtures that a kpi marker needs, before tests are parametrised."""
    if collector.own_markers or (_may_be_marked(obj) and hasattr(obj, "pytestmark")):
        from pytest_modelbench import collection

        collection.ask_for_fixtures(collector, obj)


def _may_be_marked(candidate: object) -> bool:
    """Whether an object is a function or a class; others (lazy proxies) must not even be looked into."""
    return issubclass(type(candidate), FunctionType | type | staticmethod)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let models of the command line beat fixtures."""
    judging = metafunc.config.stash.get(JUDGING, None)
    if judging is not None:
        from pytest_modelbench import collection

        collection.use_command_line_models(metafunc, judging.settings)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the gates, or skip them where nothing is judged; report all mistakes together."""
    judging = config.stash.get(JUDGING, None)
    if judging is None and not config.stash[MISTAKES] and not any(_is_ours(item) for item in items):
        return
    from pytest_modelbench import collection

    mistakes: list[str] = []
    if judging is None:
        config.stash[UNJUDGED] = collection.skip_unjudged(items)
    else:
        mistakes += judging.specs_not_found()
        mistakes += collection.read_items(items, judging.settings)
    collection.refuse(config, items, mistakes)


def _is_ours(item: pytest.Item) -> bool:
    """Whether an item has a gate, or asks for one of our fixtures."""
    return bool(OWN_FIXTURES.intersection(getattr(item, "fixturenames", ()))) or any(item.iter_markers("kpi"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's mistakes, also where nothing is judged."""
    known = node.config.stash[MISTAKES]
    found = getattr(node, "workeroutput", {}).get("modelbench_mistakes", [])
    known += [mistake for mistake in found if mistake not in known]
    node.config.stash[UNJUDGED] = getattr(node, "workeroutput", {}).get("modelbench_unjudged", 0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass on what only a worker knows; in the controller, make mistakes the exit status."""
    config = session.config
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output["modelbench_unjudged"] = config.stash.get(UNJUDGED, 0)
    elif config.stash[MISTAKES]:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many gates were not judged; print the mistakes that workers found."""
    unjudged = config.stash.get(UNJUDGED, 0)
    if unjudged:
        gates = f"{unjudged} gate{'s' if unjudged != 1 else ''}"
        terminalreporter.write_line(f"modelbench: {gates} not judged; run pytest with --modelbench", yellow=True)
    if config.pluginmanager.hasplugin("dsession"):
        for mistake in config.stash[MISTAKES]:
            terminalreporter.write_line(f"ERROR: {mistake}", red=True)
