"""Making a student must leave the teacher as it was: a ruined teacher passes every student."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.errors import ModelbenchError, ModelError
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.plugin.fixture_lookup import item_of, made_from


class TeacherGuard:
    """Compares the teacher's weights before and after each fixture that a student is made from.

    Only fixtures that ask for `teacher_model` are looked at, and only teachers whose weights can be read.
    """

    def __init__(self) -> None:
        self._first: dict[int, tuple[Any, str | None]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Make a student that changed its teacher an error of every test that uses it."""
        __tracebackhide__ = True
        if "teacher_model" not in fixturedef.argnames or not _makes_student(fixturedef, request):
            return (yield)
        teacher = request.getfixturevalue("teacher_model")
        before = self._first.setdefault(id(teacher), (teacher, _weights_hash(teacher)))[1]
        made = yield
        if before is not None and _weights_hash(teacher) != before:
            error = ModelError(
                f"fixture {fixturedef.argname} changed the teacher: its weights or modules are others than before, "
                "so both roles are one altered model. Work on a copy: student = copy.deepcopy(teacher_model)"
            )
            fixturedef.cached_result = (None, fixturedef.cache_key(request), (error, None))  # type: ignore[arg-type]
            raise error
        return made


def _makes_student(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> bool:
    return fixturedef.argname in made_from(item_of(request), "student_model")


def _weights_hash(teacher: Any) -> str | None:
    if isinstance(teacher, str | Path | NamedSpec):
        return None  # nothing is loaded yet that could be changed
    try:
        return adapt(teacher, Loading(name="teacher")).weights_hash()
    except ModelbenchError:
        return None  # the error of the gate that needs the teacher
