"""The hooks of a fresh process that only loads and runs one model, so that others can read what that takes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_modelbench.access import KpiAccess, plan_of, session_of, settings_of
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.fixture_lookup import made_from, needed_by_fixtures
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.launch import Launching, LaunchRequest
from pytest_modelbench.probes.processes import refuse_other_model
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.stash import IMPORT_S
from pytest_modelbench.timed import real_batches
from pytest_modelbench.units import humanise

SMALLEST_CHECKED_BYTES = 16e6
ROLES = ("student", "teacher", "previous")
_ADAPTERS = {
    "torch": ("torch_module", "saved_torch"),
    "sklearn": ("sklearn_estimator",),
    "transformers": ("huggingface",),
}
"""Our own modules that a model of a library needs; what they take is not the model's."""


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
        """Put nothing in the place of what is not measured, unless some fixture of the user's is made from it."""
        others = {role: f"{role}_model" for role in ROLES if role != self.request.role}
        if fixturedef.argname not in {*ROLES, *others.values()} or self.item is None:
            return None
        if needed_by_fixtures(self.item, {fixturedef.argname}):
            return None
        role = fixturedef.argname.removesuffix("_model")
        if fixturedef.argname in others.values() and needed_by_fixtures(self.item, {role}):
            return None
        nothing = NotBuilt(fixturedef.argname)
        fixturedef.cached_result = (nothing, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
        return nothing

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Load and run the model in the place of the test's body."""
        request, settings, session = self.request, settings_of(pyfuncitem), session_of(pyfuncitem.config)
        access = cast("KpiAccess", pyfuncitem.funcargs["kpi"])
        batches = real_batches(session.eval_data(access.data()), request.batch_size)
        name = plan_of(pyfuncitem).student if request.role == "student" else request.role
        session.limit_threads(settings)
        with self.launching.loading():
            candidate = access.candidate(request.role)
            loading = Loading(name=name, device=settings.device, allow_pickle=settings.allow_pickle, alone=True)
            model = adapt(candidate, loading)
        if not request.cold:  # a hash reads all weights, which would warm a cold start
            with self.launching.loading(timed=False):
                found = model.fingerprint()
            refuse_other_model(request.role, found, request.model)
            self._refuse_built_before(model)
        launch = self.launching.run(model, batches)
        if os.getpid() == self.process:  # what builds the model may have forked
            launch.write(Path(request.path))
        return True

    def _refuse_built_before(self, model: Model) -> None:
        """Refuse to call a model small that was in memory before its fixture was called.

        Raises:
            MeasurementError: what was measured cannot hold its weights.
        """
        if model.file is not None:
            return  # what comes from a file is built here, and may be mapped without being read
        found = [
            (model.weight_bytes(), self.launching.added.held_bytes),
            (model.weight_bytes("cuda"), self.launching.gpu_held_bytes()),
        ]
        others = {f"{role}_model" for role in ROLES if role != self.request.role}
        derived = self.item is not None and others.intersection(made_from(self.item, f"{self.request.role}_model"))
        role = self.request.role
        for weights, held in found:
            if weights > SMALLEST_CHECKED_BYTES and held < weights / 2 and not derived:
                raise MeasurementError(
                    f"the weights of the {role} take {humanise(weights, 'B')}, and its fixture added only "
                    f"{humanise(max(held, 0), 'B')}: it was built before, by another fixture or at import. Build it "
                    f"in {role}_model"
                )


class NotBuilt:
    """Stands for a model that this process does not measure; only using it is an error."""

    def __init__(self, fixture: str) -> None:
        self._fixture = fixture

    def __getattr__(self, name: str) -> Any:
        raise MeasurementError(
            f"{self._fixture} is not built in the process that measures the other model. If that is made from it, "
            f"write {self._fixture} as an argument of its fixture"
        )


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
    for library in request.frameworks:
        for adapter in _ADAPTERS.get(library, ()):
            importlib.import_module(f"pytest_modelbench.models.{adapter}")
    launched = Launched(request, config.stash.get(IMPORT_S, 0.0))
    config.pluginmanager.register(launched, "modelbench-launched")
    config.pluginmanager.register(MeasuredSetUp(launched), "modelbench-measured-set-up")
