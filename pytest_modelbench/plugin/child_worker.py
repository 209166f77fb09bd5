"""A fresh process that is one worker of a model under load: it builds the model and answers requests."""

from __future__ import annotations

import pytest

from pytest_modelbench.bench.lanes import request_batches
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.plugin.child_model import OneModel
from pytest_modelbench.probes.cost.launch import refuse_other_structure
from pytest_modelbench.probes.load.lanes import own_lane
from pytest_modelbench.probes.load.worker_request import WorkerRequest
from pytest_modelbench.probes.load.workers import answer_requests
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.settings import Settings


class Worker(OneModel):
    """One worker.

    Args:
        request: which model, and where the requests come from.
    """

    def __init__(self, request: WorkerRequest) -> None:
        super().__init__(request.role)
        self.request = request

    def work(self, model: Model, data: EvalData, settings: Settings) -> None:
        """Answer requests until there are no more."""
        refuse_other_structure(self.role, structure_of(model), self.request.model)
        draws = Draws(data, seed=settings.seed, seconds=settings.budget_s, beat=beat)
        with own_lane(model, request_batches(draws, self.request.max_batch), beat) as lane:
            answer_requests(self.request, lane)


def work_here(config: pytest.Config, request: WorkerRequest) -> None:
    """Make this process a worker."""
    config.pluginmanager.register(Worker(request), "modelbench-worker")
