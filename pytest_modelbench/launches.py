"""The launches that a gate asks for: fresh processes, each of which loads and runs one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.launch import Launch, LaunchRequest

Start = Callable[[LaunchRequest], Launch]
Progress = Callable[[int, int], None]


def launch_request(
    role: str, model: Model, fingerprint: str, *, batch_size: int, cold: bool, budget_s: float
) -> LaunchRequest:
    """Return what is asked of a process that launches a model; see `LaunchRequest`."""
    return LaunchRequest(
        role=role,
        model=fingerprint,
        batch_size=batch_size,
        frameworks=model.libraries,
        cold=cold,
        budget_s=budget_s,
    )


def launch_in_turn(
    start: Start, requests: Mapping[str, LaunchRequest], count: int, progress: Progress
) -> dict[str, list[Launch]]:
    """Launch every model `count` times, in turn, so that a slow minute of the machine hits all of them.

    The first launch of each is thrown away: it reads files that later ones find in the page cache.

    Args:
        start: runs one launch to its end.
        requests: by role.
        count: launches of each that are kept.
        progress: told the launches done and wanted.

    Raises:
        MeasurementError: a process ended without a measurement.
    """
    found: dict[str, list[Launch]] = {role: [] for role in requests}
    roles = list(requests)
    for number in range(count + 1):
        for role in roles if number % 2 else reversed(roles):
            found[role].append(start(replace(requests[role], cold=number > 0)))  # a warm one checks the model
            progress(sum(map(len, found.values())), (count + 1) * len(roles))
    return {role: launches[1:] for role, launches in found.items()}
