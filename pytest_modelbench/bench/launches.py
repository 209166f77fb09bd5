"""The launches that a gate asks for: fresh processes, each of which builds and runs one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_modelbench.models.base import Model
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.probes.cost.launch import Launch, LaunchRequest

Start = Callable[[LaunchRequest], Launch]


def launch_request(role: str, model: Model, *, batch_size: int, memory: bool, budget_s: float) -> LaunchRequest:
    """Return what is asked of a process that launches a model; see `LaunchRequest`."""
    return LaunchRequest(
        role=role,
        model=structure_of(model),
        batch_size=batch_size,
        frameworks=model.libraries,
        memory=memory,
        budget_s=budget_s,
    )


def launch_in_turn(start: Start, requests: Mapping[str, LaunchRequest], number: int) -> list[Launch]:
    """Launch every model once, one after the other, so that a slow minute of the machine hits all of them.

    Args:
        start: runs one launch to its end.
        requests: by role.
        number: of this turn; every other one goes the other way round.

    Returns:
        The launches in the order of `requests`.

    Raises:
        MeasurementError: a process ended without a measurement.
    """
    roles = list(requests)
    launches = {role: start(requests[role]) for role in (roles if number % 2 else reversed(roles))}
    return [launches[role] for role in roles]
