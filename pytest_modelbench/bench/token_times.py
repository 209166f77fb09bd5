"""Times of tokens as one gate may ask for them, taken once for all gates that ask for answers in the same way."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.deciding import Deciding, GateLimits, SoFar
from pytest_modelbench.bench.shelf import Job, Tell, Wire
from pytest_modelbench.bench.together import measured_together
from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.profile import refuse_while_profiling
from pytest_modelbench.probes.text.measured_times import TokenSetup, TokenTimes
from pytest_modelbench.probes.text.times_wire import pack_token_times, unpack_token_times
from pytest_modelbench.probes.text.token_times import Given, measure_token_times
from pytest_modelbench.probes.timing.watchdog import beat

TOKEN_TIMES_WIRE = Wire(pack_token_times, unpack_token_times)


def token_times(asking: Asking, deciding: Deciding) -> TokenTimes:
    """Return the times of tokens of the student and of every model that a gate with the same set-up compares.

    Raises:
        DoesNotFit: the data have no prompts.
        ModelError: a request failed, or a model does not generate text.
    """
    return measured_together(asking, functools.partial(_timed, asking, deciding))


def _timed(asking: Asking, deciding: Deciding, models: Mapping[str, Model]) -> TokenTimes:
    plan, setup, data = asking.plan, _setup(asking.gate), asking.data()
    limits = [(gate, bounds) for gate, bounds in deciding.limits_of(asking.sharing) if _setup(gate) == setup]
    hashes, names = tuple(map(asking.hash_of, models.values())), " and ".join(m.name for m in models.values())
    job = Job(
        kind="token_times",
        same=(hashes, data.key, setup, plan.student, plan.home, plan.settings),  # whose limits it decides
        run=(tuple(models), names, setup, plan.student, plan.home, plan.origin, plan.settings),
        measure=functools.partial(_measured, asking, deciding, models, limits),
        wire=TOKEN_TIMES_WIRE,
        exclusive=True,
        watched=asking.watched(names),
        shown=f"timing the answers of {names}, {setup}",
    )
    return asking.bench.shelf.take(job)


def _measured(
    asking: Asking, deciding: Deciding, models: Mapping[str, Model], limits: GateLimits, tell: Tell
) -> TokenTimes:
    refuse_while_profiling("tokens cannot be timed here")

    def decided(measurement: TokenTimes) -> bool:
        return deciding.enough(limits, SoFar(token_times=measurement), with_teacher="teacher" in models)

    data = text_data(asking.data())
    given = Given(
        models={role: text_model(model) for role, model in models.items()},
        data=data,
        setup=_setup(asking.gate),
        budget_s=asking.settings.budget_s,
        seed=asking.settings.seed,
        decided=decided,
        progress=tell,
        beat=beat,
    )
    return measure_token_times(given)


def _setup(gate: Assignment) -> TokenSetup:
    return TokenSetup.of(gate.options)
