"""The hooks of a fresh process that only loads and runs one model, so that others can read what that takes."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_modelbench.access import KpiAccess, plan_of, session_of, settings_of
from pytest_modelbench.fixture_lookup import needed_by_fixtures
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.launch import Launching, LaunchRequest
from pytest_modelbench.probes.processes import refuse_other_model
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.stash import IMPORT_S
from pytest_modelbench.timed import real_batches


class Launched:
    """One launch: whatever builds the model is measured where it is called, the other model is not built at all.

    Args:
        request: which model, and which batches.
        import_s: seconds that the frameworks took to import, before anything of the user's was.
    """

    def __init__(self, request: LaunchRequest, import_s: float) -> None:
        self.request = request
        self.launching = Launching(request, import_s)
        self.process = os.getpid()
        self.item: pytest.Item | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember the item: a session's fixtures do not know it."""
        self.item = item

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Put nothing in the place of the other model, unless some fixture of the user's is made from it."""
        other = "teacher" if self.request.role == "student" else "student"
        names = {other, f"{other}_model"}
        if fixturedef.argname not in names or self.item is None or needed_by_fixtures(self.item, names):
            return None
        nothing = NotBuilt()
        fixturedef.cached_result = (nothing, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
        return nothing

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Load and run the model in the place of the test's body."""
        request, settings = self.request, settings_of(pyfuncitem)
        access = cast("KpiAccess", pyfuncitem.funcargs["kpi"])
        data = session_of(pyfuncitem.config).eval_data(access.data())
        batches = real_batches(data, request.batch_size)
        name = plan_of(pyfuncitem).student if request.role == "student" else "teacher"
        with self.launching.loading():
            candidate = access.candidate(request.role)
            model = adapt(candidate, Loading(name=name, device=settings.device, allow_pickle=settings.allow_pickle))
        launch = self.launching.run(model, batches)
        refuse_other_model(request.role, model.fingerprint(), request.model)
        if os.getpid() == self.process:  # what builds the model may have forked
            launch.write(Path(request.path))
        return True


class NotBuilt:
    """Stands for a model that this process does not measure."""


class MeasuredSetUp:
    """Measures the set-up of the model's fixture; its own fixtures, if it has any, are there before."""

    def __init__(self, launched: Launched) -> None:
        self.launching = launched.launching
        self.fixture = f"{launched.request.role}_model"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Measure one fixture's own function."""
        if fixturedef.argname != self.fixture:
            return (yield)
        with self.launching.loading():
            return (yield)


def measure_launch(config: pytest.Config, request: Request) -> None:
    """Make this process one that only measures a launch, if that is what it is asked for."""
    if not isinstance(request, LaunchRequest):
        return
    launched = Launched(request, config.stash.get(IMPORT_S, 0.0))
    config.pluginmanager.register(launched, "modelbench-launched")
    config.pluginmanager.register(MeasuredSetUp(launched), "modelbench-measured-set-up")
