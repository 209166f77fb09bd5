"""What collection does: fixtures asked for on behalf of markers, gates read, mistakes gathered, skips set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_modelbench.errors import UsageMistake, visible
from pytest_modelbench.plugin.fixture_lookup import is_ours, place_of
from pytest_modelbench.plugin.misplaced import marked_twice, misplaced
from pytest_modelbench.plugin.parametrisation import student_label
from pytest_modelbench.plugin.stash import (
    CASE,
    GATES,
    LABEL,
    MISTAKES,
    NAMED,
    OWN_FIXTURES,
    READY_MADE,
    SETTINGS,
    STATE,
)

if TYPE_CHECKING:
    from pytest_modelbench.settings import Settings
    from pytest_modelbench.store.baseline import Baseline

SKIP_REASON = "modelbench: not judged; run pytest with --modelbench"
RESERVED_LABELS = ("teacher", "previous", "workload")
"""Names of other models in reports, which no student may have."""
_ASKED: pytest.StashKey[bool] = pytest.StashKey()
_MARKS: pytest.StashKey[int] = pytest.StashKey()
"""How many kpi markers of an item were read."""


def ask_for_fixtures(collector: pytest.Collector, candidate: object) -> None:
    """Add the fixtures that a kpi marker needs to the function, class or module that carries the marker.

    Done before parametrisation, and also when nothing is judged, so that node ids never change.
    """
    if isinstance(collector, pytest.Module) and not collector.stash.get(_ASKED, False):
        collector.stash[_ASKED] = True
        names = _needed_fixtures(collector.own_markers, collector)
        if names:
            collector.add_marker(pytest.mark.usefixtures(*names))
    kind = type(candidate)  # isinstance() would look into lazy proxies, which may raise
    if issubclass(kind, staticmethod):
        ask_for_fixtures(collector, candidate.__func__)  # type: ignore[attr-defined]
    if issubclass(kind, FunctionType | type | staticmethod):
        marks = getattr(candidate, "pytestmark", [])
        marks = [getattr(mark, "mark", mark) for mark in (marks if isinstance(marks, list) else [marks])]
        names = _needed_fixtures(marks, collector)
        code = getattr(candidate, "__code__", None)
        if code is not None and "benchmark" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            names = [name for name in names if name == "kpi"]  # what it times needs no model of ours
        if names and not any(mark.name == "usefixtures" and "kpi" in mark.args for mark in marks):
            pytest.mark.usefixtures(*names)(cast("Any", candidate))


def _needed_fixtures(marks: Iterable[pytest.Mark], collector: pytest.Collector) -> list[str]:
    marks = [mark for mark in marks if mark.name == "kpi"]
    if not marks:
        return []
    from pytest_modelbench.plugin.gate_reading import needed

    needs = [needed(mark, collector.config, _source_of(collector)) for mark in marks]
    names = ["student", "kpi"]
    if any(data for data, _ in needs):
        names.append("eval_data")
    state = collector.config.stash.get(STATE, None)
    alone = state is not None and state.settings.contract is not None  # then it must not even be built
    if any(teacher for _, teacher in needs) and not alone:
        names.append("teacher")
    return names


def _source_of(node: pytest.Item | pytest.Collector) -> str:
    """Return where a gate is written, for the report: the name of a modelbench.toml, or the marker."""
    from pytest_modelbench.plugin.gate_reading import MARKER

    file = node.getparent(pytest.Module)
    return MARKER if file is None or NAMED not in file.stash else file.name


def read_items(items: Sequence[pytest.Item], settings: Settings, baseline: Baseline | None) -> Iterator[str]:
    """Read the gates of all items into their stash and yield every mistake found, each with its place."""
    from pytest_modelbench.gates.gate import closest
    from pytest_modelbench.plugin.gate_reading import gate_of
    from pytest_modelbench.plugin.references import assignments, other_project

    seen: set[str] = set()
    for item in items:
        file = item.getparent(pytest.Module)
        own = settings if file is None else file.stash.get(SETTINGS, settings)
        source, ready_made = _source_of(item), is_ready_made(item)
        marks = list(item.iter_markers("kpi")) if isinstance(item, pytest.Function) else []
        item.stash[_MARKS] = len(marks)
        for mistake in misplaced(item, marked=bool(marks)):
            if mistake not in seen:
                seen.add(mistake)
                yield mistake
        gates = []
        for name in marked_twice(item):
            yield (
                f"{place_of(item)}: {name} is marked twice on the same test, and only one would count. "
                "Write one marker with all limits"
            )
        for mark in marks:
            try:
                gates.append(gate_of(mark, item, own, source, ready_made=ready_made))
            except UsageMistake as mistake:
                text = f"{place_of(item)}: {mistake}"
                if text not in seen:
                    seen.add(text)
                    yield text
        item.stash[SETTINGS] = own
        case = getattr(getattr(item, "callspec", None), "params", {}).get("edge_case")
        if isinstance(case, str):
            item.stash[CASE] = case
        item.stash[LABEL] = student_label(item)
        if item.stash[LABEL] in RESERVED_LABELS:
            yield f"{place_of(item)}: a student is labelled {item.stash[LABEL]!r}. Give it another id"
        if settings.record_contract:
            item.stash[LABEL] = "teacher"
        item.stash[GATES] = assignments(closest(gates), item, own, baseline)
    yield from other_project(items, baseline)


def without_suite(config: pytest.Config, settings: Settings, items: Sequence[pytest.Item]) -> Iterator[str]:
    """Yield a mistake where a suite was asked for and nothing in the given folders has models for it."""
    paths = [arg for arg in config.args if "::" not in arg]
    if settings.suites and paths and not any(is_ready_made(item) for item in items):
        yield (
            f"--modelbench-suite: in or above {', '.join(paths)} no conftest.py defines student_model, and no "
            "modelbench.toml names models. Write one, or name models by --modelbench-student beside a conftest.py"
        )


def is_ready_made(item: pytest.Item) -> bool:
    """Whether an item comes from a ready-made suite."""
    return bool(getattr(getattr(item, "function", None), READY_MADE, False))


def came_late(item: pytest.Item) -> bool:
    """Whether an item has a kpi marker, or is there at all with one, only since its gates were read."""
    if not isinstance(item, pytest.Function):
        return False
    return len(list(item.iter_markers("kpi"))) != item.stash.get(_MARKS, 0)


def refuse(config: pytest.Config, items: list[pytest.Item], mistakes: Sequence[str]) -> None:
    """Add mistakes to those of the session; if there are any, end the run before anything is judged.

    A worker hands them to its controller and runs nothing: an error raised there would be an INTERNALERROR.

    Raises:
        pytest.UsageError: all mistakes together, one line each.
    """
    session_mistakes = config.stash[MISTAKES]
    session_mistakes[:] = dict.fromkeys(visible(mistake) for mistake in (*session_mistakes, *mistakes))
    if not session_mistakes:
        return
    if not hasattr(config, "workeroutput"):
        raise pytest.UsageError(*session_mistakes)
    items.clear()


def skip_unjudged(items: Sequence[pytest.Item]) -> int:
    """Skip all items that only make sense with the plugin enabled; return the number of gates among them."""
    gates = 0
    for item in items:
        names = getattr(item, "fixturenames", ())
        marked = len({str(mark.args[:1]) for mark in item.iter_markers("kpi")})
        if marked or any(name in OWN_FIXTURES and is_ours(item, name) for name in names):
            item.add_marker(pytest.mark.skip(reason=SKIP_REASON))
        gates += marked
    return gates
