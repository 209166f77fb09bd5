"""What makes several items of one test: named models, edge cases; and what an item's student is called."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.errors import DataError, UsageMistake, visible
from pytest_modelbench.plugin.deploying import FIXTURE, DeployedAs, deployed_as, targets_for, with_deployed
from pytest_modelbench.plugin.fixture_lookup import is_ours, made_from, overridden, place_of, winning_fixture
from pytest_modelbench.plugin.stash import MISTAKES, NAMED, SETTINGS, STATE

if TYPE_CHECKING:
    from pytest_modelbench.models.named import NamedSpec
    from pytest_modelbench.settings import Settings

_OPTION = {"teacher_model": "teacher", "student_model": "student", "eval_data": "data", "previous_model": "previous"}


@functools.lru_cache
def named_on_command_line(settings: Settings) -> dict[str, tuple[NamedSpec, ...]]:
    """Return the models and data that the options (or ini values) name, by fixture."""
    from dataclasses import replace

    by_fixture = {
        "teacher_model": (settings.teacher,) if settings.teacher else (),
        "student_model": settings.students,
        "eval_data": (settings.data,) if settings.data else (),
        "previous_model": (settings.previous,) if settings.previous else (),
    }
    return {
        fixture: tuple(replace(spec, where=f"--modelbench-{_OPTION[fixture]}") for spec in specs)
        for fixture, specs in by_fixture.items()
        if specs
    }


def names_not_found(config: pytest.Config, settings: Settings, items: Sequence[pytest.Item]) -> Iterator[str]:
    """Check that everything named on the command line and in files exists, without calling it."""
    from pytest_modelbench.data.given import in_shards
    from pytest_modelbench.models.endpoints import is_endpoint, refuse_host
    from pytest_modelbench.models.locate import locate

    files = {module for item in items if (module := item.getparent(pytest.Module)) and NAMED in module.stash}
    named = [*named_on_command_line(settings).items()]
    for file in sorted(files, key=lambda module: module.nodeid):
        named += file.stash[NAMED].items()
    for fixture, specs in named:
        for spec in specs:
            try:
                if is_endpoint(spec.spec):
                    refuse_host(spec.spec, settings.endpoint_allow)
                if spec.sharded:
                    in_shards(dict(spec.reading), spec.folder)
                else:
                    locate(spec, Path(config.invocation_params.dir), saved=fixture != "eval_data")
            except (UsageMistake, DataError) as mistake:
                yield f"{spec.where}: {mistake}"


def named_for(item: pytest.Item, settings: Settings | None) -> dict[str, tuple[NamedSpec, ...]]:
    """Return the models and data named for an item: those of the command line override those of its file."""
    module = item.getparent(pytest.Module)
    of_file = module.stash.get(NAMED, {}) if module is not None else {}
    return of_file | (named_on_command_line(settings) if settings is not None else {})


def defined_for(item: pytest.Item, fixture: str, settings: Settings | None) -> bool:
    """Whether the user defines a model or data for an item, by a fixture, an option or a file."""
    return fixture in named_for(item, settings) or overridden(item, fixture)


def use_named_models(metafunc: pytest.Metafunc, settings: Settings | None) -> None:
    """Let named models and data override fixtures of the same role, the user's too; add the formats of `deploy`.

    A direct parametrisation shadows a fixture without instantiating it; its id is hidden if it has no name.
    """
    targets, named = _targets(metafunc, settings), named_for(metafunc.definition, settings)
    if targets and "student_model" not in named and FIXTURE in metafunc.fixturenames:
        _deploy_fixture(metafunc, targets)
    for fixture, named_specs in named.items():
        recording = settings is not None and settings.record_contract
        specs = named_specs if fixture != "student_model" or recording else with_deployed(named_specs, targets)
        if fixture not in metafunc.fixturenames:
            continue
        if any(fixture in names_of(mark) for mark in metafunc.definition.iter_markers("parametrize")):
            metafunc.config.stash[MISTAKES].append(
                f"{place_of(metafunc.definition)}: this test brings its own {fixture} by parametrize(), and "
                f"{specs[0].where} names another. Remove one of them"
            )
            continue
        ids = [spec.name if spec.name and fixture == "student_model" else pytest.HIDDEN_PARAM for spec in specs]
        mark = pytest.mark.parametrize(fixture, specs, ids=ids, scope="session")
        metafunc.definition.add_marker(mark)


def _targets(metafunc: pytest.Metafunc, settings: Settings | None) -> list[str]:
    """Return the formats that a test's students are judged in besides; none while a contract is recorded."""
    module = metafunc.definition.getparent(pytest.Module)
    own = settings if module is None else module.stash.get(SETTINGS, settings)
    return [] if own is not None and own.record_contract else targets_for(metafunc.definition, own)


def _deploy_fixture(metafunc: pytest.Metafunc, targets: Sequence[str]) -> None:
    """Judge the students of the fixture `student_model` also in other formats.

    Students that are the fixture's own parameters get one id with the format, `int8@onnx`; those of other fixtures'
    parameters, and of the test's own, keep theirs and get the format as one more.
    """
    item = metafunc.definition
    formats, definition = ["", *targets], winning_fixture(item, "student_model")
    own = getattr(definition, "params", None)
    if own is None or definition is None or brings_models(item):
        others = brings_models(item) or _of_other_parameters(item)
        names: list[Any] = (
            [pytest.HIDDEN_PARAM, *targets] if others else ["student", *(f"student@{target}" for target in targets)]
        )
        rows = [DeployedAs(target, 0) for target in formats]
        mark = pytest.mark.parametrize(FIXTURE, rows, ids=names, indirect=True, scope="session")
    else:
        pairs = [
            pytest.param(_plain_value(parameter), DeployedAs(target, index), marks=getattr(parameter, "marks", ()))
            for index, parameter in enumerate(own)
            for target in formats
        ]
        ids: Any = definition.ids
        labels = [
            _parameter_id("student_model", _plain_value(parameter), ids if callable(ids) else ids or (), own, index)
            for index, parameter in enumerate(own)
        ]
        names = [f"{label}@{target}" if target else label for label in labels for target in formats]
        both = f"student_model,{FIXTURE}"
        mark = pytest.mark.parametrize(both, pairs, ids=names, indirect=True, scope=definition.scope)
    item.add_marker(mark)


def _of_other_parameters(item: pytest.Item) -> bool:
    """Whether the fixture `student_model` is made from one that has parameters."""
    made = (winning_fixture(item, name) for name in made_from(item, "student_model"))
    return any(getattr(definition, "params", None) is not None for definition in made)


def brings_models(item: pytest.Item) -> bool:
    """Whether a test's own parametrize() gives it models or data, which no fixture identifies."""
    return any(set(names_of(mark)) & set(_OPTION) for mark in item.iter_markers("parametrize"))


def cases_for(item: pytest.Item) -> dict[str, Callable[[Any], Any]]:
    """Return the edge cases that users registered for an item: in its module, or in a conftest.py above it."""
    from pytest_modelbench.data.case_names import EXTENSIONS, registered_in

    cases: dict[str, Callable[[Any], Any]] = dict(EXTENSIONS)
    for module in modules_of(item):
        cases |= registered_in(module)
    return cases


def modules_of(item: pytest.Item) -> Iterator[ModuleType]:
    """Yield the modules that define something for an item: each conftest.py above it, then its own module."""
    plugins = [plugin for plugin in item.config.pluginmanager.get_plugins() if isinstance(plugin, ModuleType)]
    files = {Path(getattr(plugin, "__file__", None) or ""): plugin for plugin in plugins}
    for file in sorted(files, key=lambda path: len(path.parts)):
        if file.name == "conftest.py" and file.parent in item.path.parents:
            yield files[file]
    module = getattr(item, "module", None)
    if isinstance(module, ModuleType):
        yield module


def parametrise_edge_case(metafunc: pytest.Metafunc) -> None:
    """Make one item for each edge case; the closest marker `edge_case` narrows them.

    Done also when nothing is judged, so that node ids never change.
    """
    from pytest_modelbench.data.case_names import BUILT_IN, GROUPS

    item = metafunc.definition
    shadowed = any("edge_case" in names_of(mark) for mark in item.iter_markers("parametrize"))
    if shadowed or not is_ours(item, "edge_case"):
        return
    mistakes: list[str] = item.config.stash[MISTAKES] if STATE in item.config.stash else []
    cases = [*BUILT_IN]
    try:
        cases += cases_for(item)
    except UsageMistake as mistake:
        mistakes.append(f"{place_of(item)}: {mistake}")
    mark = item.get_closest_marker("edge_case")
    named = cases if mark is None else [name if isinstance(name, str) else repr(name) for name in mark.args]
    names = list(dict.fromkeys(case for name in named for case in GROUPS.get(name, (name,))))
    for name in names:
        if name not in cases:
            near = difflib.get_close_matches(str(name), [*cases, *GROUPS], n=1)
            nearest = f"; did you mean {near[0]!r}?" if near else "."
            listed = ", ".join([*GROUPS, *cases])
            mistakes.append(f"{place_of(item)}: unknown edge case {name!r}{nearest} Known are {listed}")
    if mark is not None and not names:
        mistakes.append(
            f"{place_of(item)}: the marker edge_case names no case. Write @pytest.mark.edge_case('zeros')"
        )
    metafunc.parametrize("edge_case", [name for name in names if name in cases], indirect=True)


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
    parameters = ((name, callspec.params[name], callspec.indices[name]) for name in names if name in callspec.params)
    labels = [_parameter_label(item, name, value, index) for name, value, index in parameters]
    label, deployed = "-".join(labels) or "student", deployed_as(item)
    return f"{label}@{deployed.target}" if deployed is not None and deployed.target else label


def students_of_one_name(items: Sequence[pytest.Item]) -> Iterator[str]:
    """Yield a mistake for each name that a fixture gives to more than one student: their results would be mixed."""
    from pytest_modelbench.models.named import NamedSpec

    seen: dict[tuple[object, str], tuple[int, ...]] = {}
    shared = set()
    for item in items:
        callspec, definition = getattr(item, "callspec", None), winning_fixture(item, "student_model")
        if callspec is None or definition is None or brings_models(item):
            continue
        if isinstance(callspec.params.get("student_model"), NamedSpec):
            continue  # named on the command line or in a file, where names are checked
        indices = _indices_of_student(item)
        key = (definition, student_label(item))
        if seen.setdefault(key, indices) != indices and key not in shared:
            shared.add(key)
            yield (
                f"{item.nodeid.partition('::')[0]}: fixture student_model makes several students of the name "
                f"{visible(key[1])!r}. Give each a different id, as in params=[...], ids=['int8', 'pruned']"
            )


def _indices_of_student(item: pytest.Item) -> tuple[int, ...]:
    """Return the positions of the parameters that an item's student is made from, without those of its format."""
    indices, deployed = item.callspec.indices, deployed_as(item)  # type: ignore[attr-defined]
    positions = indices if deployed is None else {**indices, "student_model": deployed.student}
    return tuple(positions[name] for name in made_from(item, "student_model") if name in indices)


def _parameter_label(item: pytest.Item, name: str, value: Any, index: int) -> str:
    from pytest_modelbench.models.named import NamedSpec

    if isinstance(value, NamedSpec):
        return value.name or "student"
    definition = winning_fixture(item, name)
    ids: Any = getattr(definition, "ids", None)
    params: Any = getattr(definition, "params", None)
    for mark in item.iter_markers("parametrize"):
        if names_of(mark) == [name]:
            ids = mark.kwargs.get("ids")
            params = mark.kwargs.get("argvalues", mark.args[1] if len(mark.args) > 1 else ())
    plain = [values if isinstance(values, list | tuple) else [] for values in (ids, params)]
    if not (index < len(plain[1]) and _plain_value(plain[1][index]) is value):  # it counts the test's calls
        index = next((i for i, param in enumerate(plain[1]) if _plain_value(param) is value), 0)
    return _parameter_id(name, value, ids if callable(ids) else plain[0], plain[1], index)


def names_of(mark: pytest.Mark) -> list[str]:
    """Return the argument names of a parametrize mark."""
    names = mark.kwargs.get("argnames", mark.args[0] if mark.args else ())
    return [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]


def _parameter_id(name: str, value: Any, ids: Any, params: Sequence[Any], index: int) -> str:
    """Name a parameter as pytest does: its own id, the list's or function's, or its plain value."""
    own = params[index].id if params and type(params[index]).__name__ == "ParameterSet" else None
    if isinstance(own, str):
        return own
    label = ids(value) if callable(ids) else (ids[index] if index < len(ids) else None)
    if isinstance(label, str | int | float):
        return str(label)
    if isinstance(value, str | int | float | bool):
        return str(value)
    return str(getattr(value, "__name__", f"{name}{index}"))


def _plain_value(param: Any) -> Any:
    """Return the value of a parameter: `pytest.param(value, id=...)` holds it in a tuple."""
    return param.values[0] if type(param).__name__ == "ParameterSet" else param
