"""What collection does: fixtures asked for on behalf of markers, gates read, mistakes gathered, skips set.

The only home of pytest's private attributes (`_fixtureinfo`, `_fixturemanager`): there is no public way to ask
which fixture wins for an item, nor for the ids of its parameters.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.stash import GATES, LABEL, MODEL_FIXTURES, OWN_FIXTURES

if TYPE_CHECKING:
    from pytest_modelbench.settings import NamedSpec, Settings

_OWN_MODULE = "pytest_modelbench.fixtures"
SKIP_REASON = "modelbench: not judged; run pytest with --modelbench"
_ASKED: pytest.StashKey[bool] = pytest.StashKey()


def ask_for_fixtures(collector: pytest.Collector, candidate: object) -> None:
    """Add the fixtures that a kpi marker needs to whatever carries the marker: function, class or module.

    Done before parametrisation, and also when nothing is judged, so that node ids never change.
    """
    if isinstance(collector, pytest.Module) and not collector.stash.get(_ASKED, False):
        collector.stash[_ASKED] = True
        names = _needed_fixtures(collector.own_markers)
        if names:
            collector.add_marker(pytest.mark.usefixtures(*names))
    if inspect.isfunction(candidate) or inspect.isclass(candidate):
        marks = getattr(candidate, "pytestmark", [])
        marks = [getattr(mark, "mark", mark) for mark in (marks if isinstance(marks, list) else [marks])]
        names = _needed_fixtures(marks)
        if names and not any(mark.name == "usefixtures" and "kpi" in mark.args for mark in marks):
            pytest.mark.usefixtures(*names)(candidate)


def _needed_fixtures(marks: Iterable[pytest.Mark]) -> list[str]:
    marks = [mark for mark in marks if mark.name == "kpi"]
    if not marks:
        return []
    from pytest_modelbench.gates import gate_needs

    found = [gate_needs(mark.args, mark.kwargs) for mark in marks]
    names = ["student", "kpi"]
    if any(data for data, _ in found):
        names.append("eval_data")
    if any(teacher for _, teacher in found):
        names.append("teacher")
    return names


def use_command_line_models(metafunc: pytest.Metafunc, settings: Settings) -> None:
    """Let models of the command line beat fixtures of the same role, overridden ones too.

    A direct parametrisation shadows a fixture without instantiating it; its id is hidden where it has no name.
    """
    given: dict[str, tuple[NamedSpec, ...]] = {
        "teacher_model": (settings.teacher,) if settings.teacher else (),
        "student_model": settings.students,
        "eval_data": (settings.data,) if settings.data else (),
    }
    for fixture, specs in given.items():
        if specs and fixture in metafunc.fixturenames:
            ids = [spec.name if spec.name and fixture == "student_model" else pytest.HIDDEN_PARAM for spec in specs]
            mark = pytest.mark.parametrize(fixture, specs, ids=ids, scope="session")
            metafunc.definition.add_marker(mark)


def read_items(items: Sequence[pytest.Item], settings: Settings) -> Iterator[str]:
    """Read the gates of all items into their stash and yield every mistake found, each with its place."""
    from pytest_modelbench.errors import UsageMistake
    from pytest_modelbench.gates import closest, read_gate

    seen: set[str] = set()
    for item in items:
        marks = list(item.iter_markers("kpi"))
        for mistake in _misplaced(item, bool(marks)):
            if mistake not in seen:
                seen.add(mistake)
                yield mistake
        gates = []
        for mark in marks:
            try:
                gates.append(read_gate(mark.args, mark.kwargs, settings.confidence))
            except UsageMistake as mistake:
                text = f"{_place(item)}: {mistake}"
                if text not in seen:
                    seen.add(text)
                    yield text
        item.stash[GATES] = closest(gates)
        item.stash[LABEL] = student_label(item)


def _place(item: pytest.Item) -> str:
    """Name an item without its parameters: a mistake in a marker is one mistake for all of them."""
    return f"{item.nodeid.partition('::')[0]}::{item.location[2].partition('[')[0].replace('.', '::')}"


def _misplaced(item: pytest.Item, marked: bool) -> Iterator[str]:
    case, unittest = getattr(item, "cls", None), sys.modules.get("unittest")
    if marked and unittest is not None and isinstance(case, type) and issubclass(case, unittest.TestCase):
        yield (
            f"{_place(item)}: a kpi marker on a method of unittest.TestCase is never judged: such methods take no "
            "fixtures. Write a plain class or function"
        )
        return
    names = getattr(item, "fixturenames", ())
    if marked and "kpi" not in names:
        yield (
            f"{_place(item)}: the kpi marker does not belong to a test function, or was added after collection. "
            "Write it above the function, the class, or as pytestmark in the module"
        )
    for name in MODEL_FIXTURES:
        definition = winning_fixture(item, name)
        if name not in names or definition is None or definition.func.__module__.startswith("_pytest"):
            continue  # not asked for, or a value of parametrize(), which lives as long as the item
        if definition.scope != "session":
            yield (
                f"{item.nodeid.partition('::')[0]}: fixture {name} has scope {definition.scope!r}, and one "
                f'measurement serves many tests. Write @pytest.fixture(scope="session")'
            )


def winning_fixture(item: pytest.Item, name: str) -> pytest.FixtureDef[Any] | None:
    """Return the fixture definition that an item's name resolves to, or None."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get(name) if info is not None else None
    return definitions[-1] if definitions else None


def is_ours(item: pytest.Item, name: str) -> bool:
    """Whether the fixture that wins for an item is the plugin's own."""
    definition = winning_fixture(item, name)
    return definition is not None and definition.func.__module__ == _OWN_MODULE


def overridden(item: pytest.Item, name: str) -> bool:
    """Whether the user defines a fixture of the plugin's for an item that need not ask for it."""
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see the top of this file
    definitions = manager.getfixturedefs(name, item)
    return bool(definitions) and definitions[-1].func.__module__ != _OWN_MODULE


def student_label(item: pytest.Item) -> str:
    """Return the student's label: the parameter's id, the name on the command line, or `student`."""
    from pytest_modelbench.settings import NamedSpec

    callspec = getattr(item, "callspec", None)
    if callspec is None or "student_model" not in callspec.params:
        return "student"
    value = callspec.params["student_model"]
    if isinstance(value, NamedSpec):
        return value.name or "student"
    definition = winning_fixture(item, "student_model")
    ids: Any = getattr(definition, "ids", None)
    params: Any = getattr(definition, "params", None)
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
        if [name.strip() for name in names] == ["student_model"]:
            ids, params = mark.kwargs.get("ids"), mark.args[1]
    return _parameter_id(value, ids, list(params or ()))


def _parameter_id(value: Any, ids: Any, params: list[Any]) -> str:
    """Name a parameter as pytest does: its own id, the list's or function's, or its plain value."""
    index = next((i for i, param in enumerate(params) if _plain_value(param) is value), 0)
    own = params[index].id if params and type(params[index]).__name__ == "ParameterSet" else None
    if own is not None:
        return str(own)
    found = ids(value) if callable(ids) else (ids[index] if ids is not None and index < len(ids) else None)
    if found is not None:
        return str(found)
    if isinstance(value, str | int | float | bool):
        return str(value)
    return str(getattr(value, "__name__", f"student_model{index}"))


def _plain_value(param: Any) -> Any:
    """Return what a parameter stands for: `pytest.param(value, id=...)` holds it in a tuple."""
    return param.values[0] if type(param).__name__ == "ParameterSet" else param


def skip_unjudged(items: Sequence[pytest.Item]) -> int:
    """Skip all items that only make sense with the plugin enabled; return the number of gates among them."""
    gates = 0
    for item in items:
        names = getattr(item, "fixturenames", ())
        marked = len({mark.args[0] if mark.args else "" for mark in item.iter_markers("kpi")})
        if marked or any(name in OWN_FIXTURES and is_ours(item, name) for name in names):
            item.add_marker(pytest.mark.skip(reason=SKIP_REASON))
        gates += marked
    return gates
