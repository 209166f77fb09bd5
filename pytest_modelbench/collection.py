"""What collection does: fixtures asked for on behalf of markers, gates read, mistakes gathered, skips set.

The only home of pytest's private attributes (`_fixtureinfo`, `_fixturemanager`): there is no public way to ask
which fixture wins for an item, nor for the ids of its parameters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_modelbench.stash import GATES, LABEL, MISTAKES, MODEL_FIXTURES, OWN_FIXTURES

if TYPE_CHECKING:
    from pytest_modelbench.settings import NamedSpec, Settings

_OWN_MODULE = "pytest_modelbench.fixtures"
LATE = (
    "the kpi marker does not belong to a test function, or was added after collection. "
    "Write it above the function, the class, or as pytestmark in the module"
)
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
    kind = type(candidate)  # isinstance() would look into lazy proxies, which may raise
    if issubclass(kind, staticmethod):
        ask_for_fixtures(collector, candidate.__func__)  # type: ignore[attr-defined]
    if issubclass(kind, FunctionType | type | staticmethod):
        marks = getattr(candidate, "pytestmark", [])
        marks = [getattr(mark, "mark", mark) for mark in (marks if isinstance(marks, list) else [marks])]
        names = _needed_fixtures(marks)
        if names and not any(mark.name == "usefixtures" and "kpi" in mark.args for mark in marks):
            pytest.mark.usefixtures(*names)(cast("Any", candidate))


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
            if any(fixture in _names_of(mark) for mark in metafunc.definition.iter_markers("parametrize")):
                option = {"teacher_model": "teacher", "student_model": "student", "eval_data": "data"}[fixture]
                metafunc.config.stash[MISTAKES].append(
                    f"{place_of(metafunc.definition)}: this test brings its own {fixture} by parametrize(), and "
                    f"--modelbench-{option} names another. Leave one of them out"
                )
                continue
            ids = [spec.name if spec.name and fixture == "student_model" else pytest.HIDDEN_PARAM for spec in specs]
            mark = pytest.mark.parametrize(fixture, specs, ids=ids, scope="session")
            metafunc.definition.add_marker(mark)


def read_items(items: Sequence[pytest.Item], settings: Settings) -> Iterator[str]:
    """Read the gates of all items into their stash and yield every mistake found, each with its place."""
    from pytest_modelbench.errors import UsageMistake
    from pytest_modelbench.gates import closest, read_gate

    seen: set[str] = set()
    for item in items:
        marks = list(item.iter_markers("kpi")) if isinstance(item, pytest.Function) else []
        for mistake in _misplaced(item, bool(marks)):
            if mistake not in seen:
                seen.add(mistake)
                yield mistake
        gates = []
        for mark in marks:
            try:
                gates.append(read_gate(mark.args, mark.kwargs, settings.confidence))
            except UsageMistake as mistake:
                text = f"{place_of(item)}: {mistake}"
                if text not in seen:
                    seen.add(text)
                    yield text
        item.stash[GATES] = closest(gates)
        item.stash[LABEL] = student_label(item)
        if item.stash[LABEL] == "teacher":
            yield f"{place_of(item)}: a student is labelled 'teacher'. Give it another id"


def place_of(item: pytest.Item) -> str:
    """Name an item without its parameters: a mistake in a marker is one mistake for all of them."""
    return f"{item.nodeid.partition('::')[0]}::{item.location[2].partition('[')[0].replace('.', '::')}"


def _misplaced(item: pytest.Item, marked: bool) -> Iterator[str]:
    case, unittest = getattr(item, "cls", None), sys.modules.get("unittest")
    if marked and unittest is not None and isinstance(case, type) and issubclass(case, unittest.TestCase):
        yield (
            f"{place_of(item)}: a kpi marker on a method of unittest.TestCase is never judged: such methods take no "
            "fixtures. Write a plain class or function"
        )
        return
    names = getattr(item, "fixturenames", ())
    if marked and "kpi" not in names:
        yield f"{place_of(item)}: {LATE}"
    elif marked and not is_ours(item, "kpi"):
        yield f"{place_of(item)}: a fixture of your own is named 'kpi', which the marker needs. Give it another name"
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


def came_late(item: pytest.Item) -> bool:
    """Whether an item has a kpi marker, or is there at all, only since its gates were read."""
    if not isinstance(item, pytest.Function):
        return False
    names = {mark.args[0] for mark in item.iter_markers("kpi") if mark.args}
    return names != {gate.kpi.name for gate in item.stash.get(GATES, ())}


def refuse(config: pytest.Config, items: list[pytest.Item], mistakes: Sequence[str]) -> None:
    """Add mistakes to those of the session; if there are any, end the run before anything is judged.

    A worker hands them to its controller and runs nothing: an error raised there would be an INTERNALERROR.

    Raises:
        pytest.UsageError: all mistakes together, one line each.
    """
    told = config.stash[MISTAKES]
    told += [mistake for mistake in mistakes if mistake not in told]
    if not told:
        return
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is None:
        raise pytest.UsageError(*told)
    output["modelbench_mistakes"] = list(told)
    items.clear()


def home_of(item: pytest.Item) -> tuple[str, ...]:
    """Say where an item's student, teacher and data come from: two items share them only if this is equal."""
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see the top of this file
    definitions = [manager.getfixturedefs(name, item) for name in MODEL_FIXTURES]
    callspec = getattr(item, "callspec", None)
    indices = callspec.indices if callspec is not None else {}
    return (
        *(str(found[-1].baseid) if found else "" for found in definitions),
        *(str(indices.get(name, "")) for name in ("teacher_model", "eval_data")),
    )


def student_label(item: pytest.Item) -> str:
    """Return the student's label: the parameter's id, the name on the command line, or `student`.

    A student whose fixture depends on other parametrised fixtures is named after their parameters.
    """
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return "student"
    names = ["student_model"]
    for name in names:
        definition = winning_fixture(item, name)
        names += [other for other in getattr(definition, "argnames", ()) if other not in names]
    labels = [_parameter_label(item, name, callspec.params[name]) for name in names if name in callspec.params]
    return "-".join(labels) or "student"


def _parameter_label(item: pytest.Item, name: str, value: Any) -> str:
    from pytest_modelbench.settings import NamedSpec

    if isinstance(value, NamedSpec):
        return value.name or "student"
    definition = winning_fixture(item, name)
    ids: Any = getattr(definition, "ids", None)
    params: Any = getattr(definition, "params", None)
    for mark in item.iter_markers("parametrize"):
        if _names_of(mark) == [name]:
            ids = mark.kwargs.get("ids")
            params = mark.kwargs.get("argvalues", mark.args[1] if len(mark.args) > 1 else ())
    plain = [found if isinstance(found, list | tuple) else [] for found in (ids, params)]
    return _parameter_id(name, value, ids if callable(ids) else plain[0], list(plain[1]))


def _names_of(mark: pytest.Mark) -> list[str]:
    """Return the argument names of a parametrize mark."""
    names = mark.kwargs.get("argnames", mark.args[0] if mark.args else ())
    return [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]


def _parameter_id(name: str, value: Any, ids: Any, params: list[Any]) -> str:
    """Name a parameter as pytest does: its own id, the list's or function's, or its plain value."""
    index = next((i for i, param in enumerate(params) if _plain_value(param) is value), 0)
    own = params[index].id if params and type(params[index]).__name__ == "ParameterSet" else None
    if isinstance(own, str):
        return own
    found = ids(value) if callable(ids) else (ids[index] if index < len(ids) else None)
    if isinstance(found, str | int | float):
        return str(found)
    if isinstance(value, str | int | float | bool):
        return str(value)
    return str(getattr(value, "__name__", f"{name}{index}"))


def _plain_value(param: Any) -> Any:
    """Return what a parameter stands for: `pytest.param(value, id=...)` holds it in a tuple."""
    return param.values[0] if type(param).__name__ == "ParameterSet" else param


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
