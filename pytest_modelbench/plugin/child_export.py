"""A fresh process that only exports one model: an exporter may leave traces in it, or end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.deployments import export_batches
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.exports.deployed import Deployed, name_of_source
from pytest_modelbench.exports.options import parse_target
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.exports.run import export_to
from pytest_modelbench.models.base import Model
from pytest_modelbench.plugin.child_model import OneModel
from pytest_modelbench.probes.timing.processes import refuse_other_model
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.settings import Settings


class Exporting(OneModel):
    """One export.

    Args:
        request: which model, and to which format.
    """

    def __init__(self, request: ExportRequest) -> None:
        super().__init__(request.role)
        self.request = request

    def of(self, candidate: Any, name: str) -> tuple[Any, str]:
        """Return the source of a student that is judged as it is deployed."""
        if not isinstance(candidate, Deployed):
            return candidate, name
        return candidate.source, name_of_source(name, candidate.target)

    def work(self, model: Model, data: EvalData, settings: Settings) -> None:  # noqa: ARG002 - the request says all
        """Export the model, and leave what came of it."""
        request, options = self.request, self.request.export_options
        refuse_other_model(request.role, model.fingerprint(), request.model)
        batches = export_batches(data, options.samples)
        export = export_to(model, batches, parse_target(request.target), Path(request.folder), options, beat)
        if self.is_this_process:
            request.write(export)


def export_here(config: pytest.Config, request: ExportRequest) -> None:
    """Make this process one that only exports a model."""
    config.pluginmanager.register(Exporting(request), "modelbench-exporting")
