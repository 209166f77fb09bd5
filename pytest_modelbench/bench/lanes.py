"""Where the models of a load have their lanes: in this process, in workers, or over connections."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.errors import DataError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.probes.load.lanes import Batches, Lane, connections, is_scripted, own_lane
from pytest_modelbench.probes.load.worker_request import WorkerRequest
from pytest_modelbench.probes.timing.watchdog import beat

BATCHES_OF_EACH_SIZE = 4
CONNECTIONS = 16
"""To a model that runs elsewhere, where `workers=` does not say how many."""


def request_batches(draws: Draws, most: int) -> Batches:
    """Return real inputs of each number of requests from 1 to the most in a call, some of each.

    Raises:
        DataError: there are too few samples.
    """
    batches = [draws.few(size, BATCHES_OF_EACH_SIZE) for size in range(1, most + 1)]
    full = sum(bool(batch) for batch in batches)
    if full < most:
        raise DataError(f"max_batch={most}, and the evaluation data have {full} samples. Write max_batch={full}")
    return batches


class LaneOpener:
    """Opens the lanes of a gate's models.

    Args:
        asking: the gate.
        max_batch: the most requests in a call.
    """

    def __init__(self, asking: Asking, max_batch: int) -> None:
        self._asking = asking
        self._max_batch = max_batch
        self._batches = request_batches(asking.draws(), max_batch)

    @contextlib.contextmanager
    def opened(self, models: Mapping[str, Model]) -> Iterator[Mapping[str, Sequence[Lane]]]:
        """Make the context in which models have their lanes, by role."""
        with contextlib.ExitStack() as stack:
            yield {role: stack.enter_context(self._of(role, model)) for role, model in models.items()}

    @contextlib.contextmanager
    def _of(self, role: str, model: Model) -> Iterator[Sequence[Lane]]:
        workers = int(self._asking.gate.options["workers"] or (CONNECTIONS if model.runs_at else 1))
        if model.runs_at:
            with connections(model, self._batches, workers, beat) as lanes:
                yield lanes
        elif workers == 1 or is_scripted(model.clock_ns):
            with own_lane(model, self._batches, beat) as lane:
                yield [lane] * workers
        else:
            yield from self._processes(role, model, workers)

    def _processes(self, role: str, model: Model, workers: int) -> Iterator[Sequence[Lane]]:
        from pytest_modelbench.probes.load.workers import worker_lanes

        asking = self._asking
        request = WorkerRequest(
            role=asking.roles.get(role, role),
            model=structure_of(model),
            max_batch=self._max_batch,
            budget_s=asking.settings.budget_s,
        )
        start = functools.partial(asking.bench.fresh, asking.plan.nodeid)
        with worker_lanes(start, request, workers, beat) as lanes:
            yield lanes
