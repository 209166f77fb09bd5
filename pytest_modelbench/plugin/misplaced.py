"""Markers and fixtures that stand where they cannot do what they are there for."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from pytest_modelbench.plugin.fixture_lookup import is_ours, made_from, place_of, winning_fixture
from pytest_modelbench.plugin.stash import MODEL_FIXTURES

LATE = (
    "the kpi marker does not belong to a test function, or was added after collection. "
    "Write it above the function, the class, or as pytestmark in the module"
)
NEEDS_MODELS = frozenset({"teacher", "student", "previous", "kpi", "edge_case", "corruption"})


def misplaced(item: pytest.Item, *, marked: bool) -> Iterator[str]:
    """Yield a mistake for each marker or model fixture of an item that cannot serve it."""
    case, unittest = getattr(item, "cls", None), sys.modules.get("unittest")
    if marked and unittest is not None and isinstance(case, type) and issubclass(case, unittest.TestCase):
        yield (
            f"{place_of(item)}: a kpi marker on a method of unittest.TestCase is never judged: such methods take no "
            "fixtures. Write a plain class or function"
        )
        return
    names = getattr(item, "fixturenames", ())
    if item.get_closest_marker("edge_case") is not None and "edge_case" not in names:
        yield (
            f"{place_of(item)}: the marker edge_case needs the fixture of that name. "
            "Write def test_edges(student, edge_case): student.check_finite(edge_case)"
        )
    if item.get_closest_marker("corruption") is not None and "corruption" not in names:
        yield (
            f"{place_of(item)}: the marker corruption needs the fixture of that name. "
            "Write def test_noise(student, corruption): student.check_finite(corruption)"
        )
    if marked and "kpi" not in names:
        yield f"{place_of(item)}: {LATE}"
    elif marked and not is_ours(item, "kpi"):
        yield f"{place_of(item)}: your fixture kpi overrides the one that the marker needs. Give it another name"
    for name in MODEL_FIXTURES:
        definition = winning_fixture(item, name)
        if name not in names or definition is None or definition.func.__module__.startswith("_pytest"):
            continue  # not asked for, or a value of parametrize(), which lives as long as the item
        circle = [fixture for fixture in made_from(item, name) if fixture in NEEDS_MODELS and is_ours(item, fixture)]
        if circle:
            yield (
                f"{item.nodeid.partition('::')[0]}: fixture {name} asks for {circle[0]!r}, which is made from the "
                f"models itself. Build what {name} returns in {name}; a student may ask for teacher_model"
            )
        elif definition.scope != "session":
            yield (
                f"{item.nodeid.partition('::')[0]}: fixture {name} has scope {definition.scope!r}, and one "
                f'measurement serves many tests. Write @pytest.fixture(scope="session")'
            )


def marked_twice(item: pytest.Item) -> list[str]:
    """Return the KPIs that two markers of one function, class or module name; a parameter's own marker may differ.

    A KPI on corrupted inputs (`under=`) is another quantity.
    """
    parameters = getattr(getattr(item, "callspec", None), "marks", [])
    seen: list[tuple[object, ...]] = []
    twice = []
    for node, mark in item.iter_markers_with_node("kpi"):
        key = (node, mark.args[:1], mark.kwargs.get("under"))
        if not mark.args or not isinstance(mark.args[0], str) or any(mark is other for other in parameters):
            continue
        if key in seen:
            twice.append(mark.args[0])
        seen.append(key)
    return list(dict.fromkeys(twice))
