"""Placeholders for the models that a fresh process does not need: they are not built there."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.plugin.fixture_lookup import item_of, needed_by_fixtures
from pytest_modelbench.plugin.items import session_of

BUILT_ROLES = ("student", "teacher", "previous")
"""The models that a fixture of the user's builds."""


class NotBuilt:
    """A placeholder for a model that this process does not measure; only using it is an error."""

    def __init__(self, fixture: str) -> None:
        self._fixture = fixture

    def __getattr__(self, name: str) -> Any:
        raise MeasurementError(
            f"{self._fixture} is not built in the process that measures the other model. If that is made from it, "
            f"write {self._fixture} as an argument of its fixture"
        )


def leave_out(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest, item: pytest.Item, role: str
) -> NotBuilt | None:
    """Put nothing in the place of a fixture that builds another model than a role's, unless one that it needs does.

    Args:
        fixturedef: the fixture that is set up.
        request: its request.
        item: the item that this process runs.
        role: whose model is needed.
    """
    others = {role: f"{role}_model" for role in BUILT_ROLES}
    others.pop(role)
    if fixturedef.argname not in {*BUILT_ROLES, *others.values()}:
        return None
    if needed_by_fixtures(item, {fixturedef.argname}):
        return None
    made = fixturedef.argname.removesuffix("_model")
    if fixturedef.argname in others.values() and needed_by_fixtures(item, {made}):
        return None
    return put_nothing(fixturedef, request)


def put_nothing(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> NotBuilt:
    """Make nothing the value of a fixture."""
    nothing = NotBuilt(fixturedef.argname)
    fixturedef.cached_result = (nothing, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
    return nothing


class FromFile:
    """In a process that gets the file that the student is deployed as, the student's fixture need not run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Put nothing in its place, unless some fixture of the user's is made from it."""
        if fixturedef.argname != "student_model" or not session_of(request.config).student_file:
            return None
        if needed_by_fixtures(item_of(request), {"student_model"}):
            return None
        return put_nothing(fixturedef, request)
