"""The hooks of sessions that have the teacher's contract in its place, and of those that record one."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.plugin.fixture_lookup import needed_by_fixtures
from pytest_modelbench.plugin.item_results import RESULTS, all_gates
from pytest_modelbench.plugin.sources import ONLY_CONTRACT
from pytest_modelbench.plugin.stash import GATES
from pytest_modelbench.results import Verdict

TEACHER = {"teacher", "teacher_model"}
STUDENT = {"student", "student_model"}


class WithoutTeacher:
    """Keeps the teacher from being built: there is only its contract."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out a test that takes the teacher itself, and refuse a student that is made from it."""
        asked = TEACHER.intersection(getattr(item, "fixturenames", ()))
        if not asked:
            return
        if needed_by_fixtures(item, asked):
            raise MeasurementError(
                "a fixture of this test is made from the teacher, and this session has only its contract. Build it "
                "without teacher_model, such as from a file"
            )
        item.stash[RESULTS] = all_gates(item, Verdict.NOT_APPLICABLE, ONLY_CONTRACT)
        pytest.skip(ONLY_CONTRACT)

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Build no teacher, for any fixture or test that requests it."""
        if fixturedef.argname == "teacher_model":
            raise NotApplicable(ONLY_CONTRACT)


class Recording:
    """Leaves out what a contract has no place for, and builds no student that nothing is made from."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.replaced: list[pytest.FixtureDef[Any]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip tests without a gate; where the student itself is needed, what stood in its place is given up."""
        self.item = item
        if self.replaced and needed_by_fixtures(item, STUDENT):
            for fixturedef in self.replaced:
                fixturedef.cached_result = (None, object(), None)  # of another parameter, so pytest builds it anew
            self.replaced.clear()
        if not item.stash.get(GATES, ()):
            pytest.skip("no kpi marker, so a contract has nothing of it")

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Put nothing in the student's place: the teacher is measured alone."""
        if fixturedef.argname != "student_model" or self.item is None or needed_by_fixtures(self.item, STUDENT):
            return None
        nothing = "no student is built while the teacher is recorded"
        self.replaced.append(fixturedef)
        fixturedef.cached_result = (nothing, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
        return nothing
