"""Which formats a test's students are judged in besides: by marker, option, file. Read at collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.plugin.fixture_lookup import place_of

if TYPE_CHECKING:
    from pytest_modelbench.models.named import NamedSpec
    from pytest_modelbench.settings import Settings

MARKER = "modelbench_deploy"
FIXTURE = "_deployed_as"
"""Our fixture whose parameter says in which format an item's student is judged."""


class DeployedAs(NamedTuple):
    """The format of an item's student, "" for the model itself; and which parameter of `student_model` it is."""

    target: str
    student: int


def deployed_as(item: pytest.Item) -> DeployedAs | None:
    """Return the parameter of an item whose student comes from a fixture and is asked to be deployed."""
    callspec = getattr(item, "callspec", None)
    parameter = None if callspec is None else callspec.params.get(FIXTURE)
    return parameter if isinstance(parameter, DeployedAs) else None


def target_of(item: pytest.Item) -> str:
    """Return the format that an item's student is judged in; "" for the model itself."""
    from pytest_modelbench.models.named import NamedSpec

    callspec, deployed = getattr(item, "callspec", None), deployed_as(item)
    named = None if callspec is None else callspec.params.get("student_model")
    if isinstance(named, NamedSpec):
        return named.target
    return "" if deployed is None else deployed.target


def targets_for(item: pytest.Item, settings: Settings | None) -> list[str]:
    """Return the formats that all students of an item are judged in besides, each once.

    Args:
        item: or the definition that items are made of.
        settings: that hold for it; None where nothing is judged.
    """
    of_markers = (target for mark in item.iter_markers(MARKER) for target in mark.args if not _fault(target))
    return list(dict.fromkeys([*(settings.deploy if settings is not None else ()), *of_markers]))


def with_deployed(specs: Sequence[NamedSpec], targets: Sequence[str]) -> list[NamedSpec]:
    """Return named students, each followed by those that are the same as it is deployed.

    Args:
        specs: the students.
        targets: the formats that all of them are judged in besides.
    """
    students = []
    for spec in specs:
        asked = list(dict.fromkeys([*spec.deploy, *targets]))
        named = replace(spec, name=spec.name or "student") if asked else spec
        students += [named, *(replace(named, name=f"{named.name}@{target}", target=target) for target in asked)]
    return students


def mistakes_in(items: Sequence[pytest.Item], settings: Settings) -> Iterator[str]:
    """Yield what is wrong with markers `modelbench_deploy`, each mistake once, and with the option.

    Args:
        items: all that were collected.
        settings: of the session.
    """
    if settings.deploy and items and not any(FIXTURE in getattr(item, "fixturenames", ()) for item in items):
        yield "--modelbench-deploy: no collected test has a student. Add a kpi marker to one, or let it take student"
    faults: dict[str, None] = {}
    for item in items:
        marks = list(item.iter_markers(MARKER))
        for mark in marks:
            for fault in _faults_of(mark):
                faults[f"{place_of(item)}: {MARKER}: {fault}"] = None
        if FIXTURE not in getattr(item, "fixturenames", ()) and any(mark in item.own_markers for mark in marks):
            faults[f"{place_of(item)}: {MARKER}: this test has no student. Add a kpi marker, or take student"] = None
    yield from faults


def _faults_of(mark: pytest.Mark) -> Iterator[str]:
    if mark.kwargs or not mark.args:
        yield f"expected formats as strings. Write @pytest.mark.{MARKER}('onnx')"
    yield from filter(None, map(_fault, mark.args))


def _fault(target: object) -> str:
    """Say what is wrong with a format; empty for nothing."""
    from pytest_modelbench.exports.options import parse_target

    if not isinstance(target, str):
        return f"found {shown(target)}, expected a format as a string, such as 'onnx'"
    try:
        parse_target(target)
    except UsageMistake as mistake:
        return str(mistake)
    return ""
