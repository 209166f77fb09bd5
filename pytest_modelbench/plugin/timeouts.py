"""pytest-timeout: a test that it would stop before its measurements may end is a mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.plugin.fixture_lookup import place_of
from pytest_modelbench.plugin.stash import GATES, SETTINGS

if TYPE_CHECKING:
    from pytest_modelbench.gates.assignment import Assignment
    from pytest_modelbench.probes.kinds import ProbeKind
    from pytest_modelbench.settings import Settings


def impatient(items: Sequence[pytest.Item]) -> Iterator[str]:
    """Yield a mistake for each place where pytest-timeout would stop a test before its measurements may end."""
    seen: set[str] = set()
    for item in items:
        gates = [gate for gate in item.stash.get(GATES, ()) if gate.kpi.probe.exclusive]
        measurements = {(gate.kpi.probe, gate.setup, _apart(gate)) for gate in gates}
        timeout_s = _timeout_of(item) if measurements else None
        most = sum(_longest_s(kind, item.stash[SETTINGS]) for kind, *_ in measurements)
        if timeout_s is None or timeout_s > most or (place := place_of(item)) in seen:
            continue
        seen.add(place)
        yield (
            f"{place}: pytest-timeout stops this test after {timeout_s:g} s, and its timed measurements may take "
            f"{most:g} s. Write @pytest.mark.timeout({2 * most * _workers(item.config):g}), "
            f"or --modelbench-budget={timeout_s / 2 / len(measurements):g}"
        )


def _apart(gate: Assignment) -> tuple[tuple[str, str], ...]:
    """Return the options that keep a gate's measurement apart from others of its kind and set-up.

    Timed calls and windows of energy are shared by their set-up alone.
    """
    kind = gate.kpi.probe
    if kind.timed or kind.least_windows:
        return ()
    names = sorted(gate.options if kind.depends_on is None else kind.depends_on)
    return tuple((name, repr(gate.options.get(name))) for name in names)


def _longest_s(kind: ProbeKind[Any], settings: Settings) -> float:
    """Return the seconds that a measurement may take; the first rounds of energy are taken under any budget."""
    return max(settings.budget_s, kind.least_windows * settings.energy_window_s)


def _workers(config: pytest.Config) -> int:
    """Return the number of workers, each of which may have to wait for the others' measurements."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))


def _timeout_of(item: pytest.Item) -> float | None:
    """Return the seconds that pytest-timeout gives a test, None for no end."""
    config = item.config
    if not config.pluginmanager.hasplugin("timeout"):
        return None
    mark = item.get_closest_marker("timeout")
    timeout: Any = None
    if mark is not None:
        timeout = mark.args[0] if mark.args else mark.kwargs.get("timeout")
    places = (config.getoption("timeout", None), os.environ.get("PYTEST_TIMEOUT"), config.getini("timeout") or None)
    timeout = next((value for value in (timeout, *places) if value is not None), None)
    try:
        return float(timeout) or None
    except (TypeError, ValueError):
        return None  # that plugin's own mistake to report
