"""The fixture and marker `corruption`: one item of a test for each corruption that its marker names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.data.corruptions.names import (
    BUILT_IN,
    EXTENSIONS,
    FAMILIES,
    SEVERITIES,
    Cell,
    cell_of,
    registered_in,
)
from pytest_modelbench.errors import DoesNotFit, NotApplicable, UsageMistake
from pytest_modelbench.plugin.fixture_lookup import is_ours, place_of
from pytest_modelbench.plugin.parametrisation import modules_of, names_of
from pytest_modelbench.plugin.stash import MISTAKES, STATE

if TYPE_CHECKING:
    from pytest_modelbench.data.corruptions.case import CorruptedCase

EXAMPLE = "@pytest.mark.corruption('gaussian_noise:3', 'contrast:5')"
USUAL = 3
"""The severity of a corruption that a marker names without one."""


def registered_for(item: pytest.Item) -> dict[str, Callable[..., Any]]:
    """Return the corruptions for an item that are not built-in: of extensions, of conftest.py files, of its module.

    Raises:
        UsageMistake: two functions of a module have one name.
    """
    registered = dict(EXTENSIONS)
    for module in modules_of(item):
        registered |= registered_in(module)
    return registered


def located(spec: str, folder: Path) -> Callable[..., Any]:
    """Import the corruption that `module:function` names.

    Raises:
        UsageMistake: there is no such function.
    """
    from pytest_modelbench.models.locate import locate
    from pytest_modelbench.models.named import NamedSpec

    try:
        function = locate(NamedSpec(spec=spec), folder, saved=False).target
    except UsageMistake as mistake:
        raise UsageMistake(f"corruption {mistake}") from mistake
    if not callable(function):
        raise UsageMistake(f"corruption {spec!r} is not a function")
    found: Callable[..., Any] = function
    return found


def parametrise(metafunc: pytest.Metafunc) -> None:
    """Make one item for each corruption of the closest marker; done also when nothing is judged.

    The marker names corruptions with their severity, such as `fog:5`; without a severity it is 3, and a family means
    all of its corruptions.
    """
    item = metafunc.definition
    shadowed = any("corruption" in names_of(mark) for mark in item.iter_markers("parametrize"))
    if shadowed or not is_ours(item, "corruption"):
        return
    mistakes: list[str] = item.config.stash[MISTAKES] if STATE in item.config.stash else []
    mark = item.get_closest_marker("corruption")
    if mark is None or not mark.args:
        mistakes.append(f"{place_of(item)}: the fixture corruption needs the marker of that name. Write {EXAMPLE}")
    cells = []
    for name in mark.args if mark is not None else ():
        try:
            cells += [str(cell) for cell in _cells(name, item)]
        except UsageMistake as mistake:
            mistakes.append(f"{place_of(item)}: {mistake}")
    metafunc.parametrize("corruption", list(dict.fromkeys(cells)), indirect=True)


def _cells(name: object, item: pytest.Item) -> Iterator[Cell]:
    """Yield what one argument of the marker means.

    Raises:
        UsageMistake: it means nothing.
    """
    if not isinstance(name, str):
        raise UsageMistake(f"the marker corruption names {name!r}. Write {EXAMPLE}")
    plain, _, severity = name.rpartition(":")
    if plain and severity.isdigit() and severity not in map(str, SEVERITIES):
        raise UsageMistake(f"the marker corruption names {name!r}: severities are from 1 to 5. Write {EXAMPLE}")
    family, hard = (plain, severity) if plain in FAMILIES else (name, str(USUAL))
    if family in FAMILIES:
        for known, info in BUILT_IN.items():
            if info.family == family:
                yield _cell(f"{known}:{hard}", item)
        return
    yield _cell(name if severity in map(str, SEVERITIES) and plain else f"{name}:{USUAL}", item)


def _cell(text: str, item: pytest.Item) -> Cell:
    return cell_of(text, registered_for(item), lambda spec: located(spec, item.path.parent))


def corrupted_case_of(request: pytest.FixtureRequest) -> CorruptedCase:
    """Return the corrupted batch that the item's parameter names, made once for the session.

    It knows the teacher, if one is defined, and requests it only when a check needs it.
    """
    from dataclasses import replace

    from pytest_modelbench.data.corruptions.case import make_case
    from pytest_modelbench.plugin.items import session_of, settings_of
    from pytest_modelbench.plugin.sources import FixtureSources

    item, session = request.node, session_of(request.config)
    sources, settings = FixtureSources(request), settings_of(item)
    cell = replace(_cell(str(request.param), item), seed=settings.seed)

    def teacher() -> Any:
        if not sources.has("teacher"):
            return None
        return session.model(sources.candidate("teacher"), "teacher", settings)

    try:
        return make_case(cell, session.eval_data(sources.data()).first(), teacher)
    except (NotApplicable, DoesNotFit) as reason:
        pytest.skip(str(reason))
