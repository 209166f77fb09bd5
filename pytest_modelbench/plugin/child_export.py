"""The hooks of a fresh process that only exports one model: an exporter may leave traces in it, or end it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.deployments import export_batches
from pytest_modelbench.bench.loaded import loading_for
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.exports.deployed import Deployed, name_of_source
from pytest_modelbench.exports.options import parse_target
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.exports.run import export_to
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.plugin.items import plan_of, session_of, settings_of
from pytest_modelbench.plugin.not_built import leave_out
from pytest_modelbench.plugin.sources import FixtureSources
from pytest_modelbench.probes.timing.processes import refuse_other_model
from pytest_modelbench.probes.timing.watchdog import beat


class Exporting:
    """One export: the user's fixtures build the model and the data, the others are not built at all.

    Args:
        request: which model, and to which format.
    """

    def __init__(self, request: ExportRequest) -> None:
        self.request = request
        self.process = os.getpid()
        self.item: pytest.Item | None = None
        self.fixtures: pytest.FixtureRequest | None = None

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
        return leave_out(fixturedef, request, self.item, self.request.role)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Build and export the model in the place of the test's body.

        Raises:
            MeasurementError: the test asks for none of the fixtures that know its models.
        """
        if self.fixtures is None:
            raise MeasurementError("the test asks for none of the fixtures student and kpi, so it has no model")
        request, settings, session = self.request, settings_of(pyfuncitem), session_of(pyfuncitem.config)
        sources = FixtureSources(self.fixtures)
        data = session.eval_data(sources.data())
        session.limit_threads(settings)
        candidate = sources.candidate(request.role)
        name = plan_of(pyfuncitem).student if request.role == "student" else request.role
        if isinstance(candidate, Deployed):
            candidate, name = candidate.source, name_of_source(name, candidate.target)
        model = adapt(candidate, loading_for(name, settings, alone=True))
        refuse_other_model(request.role, model.fingerprint(), request.model)
        options = request.export_options
        batches = export_batches(data, options.samples)
        export = export_to(model, batches, parse_target(request.target), Path(request.folder), options, beat)
        if os.getpid() == self.process:  # what builds or exports the model may have forked
            request.write(export)
        return True


def export_here(config: pytest.Config, request: ExportRequest) -> None:
    """Make this process one that only exports a model."""
    config.pluginmanager.register(Exporting(request), "modelbench-exporting")
