"""The hooks of a fresh process that builds one model and works with it in the place of a test's body."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

import pytest

from pytest_modelbench.bench.loaded import loading_for
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.plugin.items import plan_of, session_of, settings_of
from pytest_modelbench.plugin.not_built import leave_out
from pytest_modelbench.plugin.sources import FixtureSources
from pytest_modelbench.settings import Settings


class OneModel:
    """One model: the user's fixtures build it and the data, the other models are not built at all.

    Args:
        role: of the model.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.process = os.getpid()
        self.item: pytest.Item | None = None
        self.fixtures: pytest.FixtureRequest | None = None

    @property
    def is_this_process(self) -> bool:
        """Whether this is not a fork of what builds or exports the model."""
        return os.getpid() == self.process

    @abstractmethod
    def work(self, model: Model, data: EvalData, settings: Settings) -> None:
        """Do what this process is for."""

    def of(self, candidate: Any, name: str) -> tuple[Any, str]:
        """Return the object that is adapted and its name, given what the fixture or factory provides."""
        return candidate, name

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember the item: a session's fixtures do not know it."""
        self.item = item

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Keep the request of one of the item's own fixtures; put nothing in the place of the other models."""
        if self.item is None:
            return None
        if fixturedef.argname in {"student", "kpi"}:
            self.fixtures = request
        return leave_out(fixturedef, request, self.item, self.role)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Build the model and work with it in the place of the test's body.

        Raises:
            MeasurementError: the test asks for none of the fixtures that know its models.
        """
        if self.fixtures is None:
            raise MeasurementError("the test asks for none of the fixtures student and kpi, so it has no model")
        settings, session = settings_of(pyfuncitem), session_of(pyfuncitem.config)
        sources = FixtureSources(self.fixtures)
        data = session.eval_data(sources.data()).first()
        session.limit_threads(settings)
        name = plan_of(pyfuncitem).student if self.role == "student" else self.role
        candidate, name = self.of(sources.candidate(self.role), name)
        self.work(adapt(candidate, loading_for(name, settings, alone=True)), data, settings)
        return True
