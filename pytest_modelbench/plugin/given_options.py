"""The options of a session, resolved from the command line and the ini file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_modelbench.grammar.tiers import replace_tiers, tiers
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.plugin.extensions import find_extensions
from pytest_modelbench.plugin.stash import MISTAKES
from pytest_modelbench.settings import Given, Settings, conflicts, engine_conflicts, resolve_settings


def resolve_given(config: pytest.Config, command_line: Mapping[str, Any]) -> tuple[Settings, Sequence[Given]]:
    """Return the settings of a session, and the places they come from, the strongest first.

    Mistakes in them become the session's.

    Args:
        config: of the session.
        command_line: the values of its options, by name.

    Raises:
        pytest.UsageError: an engine was chosen, and pytest-xdist runs the tests.
    """
    if command_line["modelbench"] or config.getini("modelbench"):
        find_extensions(config)  # before the options are read: an extension may bring suites
    ini = {option.name: config.getini(option.name) for option in OPTIONS if option.where != "command line"}
    places = (
        Given(values=command_line, where=lambda option: option.flag),
        Given(values=ini, where=lambda option: f"ini value {option.name}"),
    )
    settings, mistakes = resolve_settings(places)
    before = dict(tiers())
    replace_tiers(dict(settings.tiers))
    config.add_cleanup(lambda: replace_tiers(before))
    workers = bool(getattr(config.option, "numprocesses", None))
    dist = str(getattr(config.option, "dist", "no"))
    engine = list(engine_conflicts(settings, places, workers=workers))
    if workers and engine:
        raise pytest.UsageError("\n".join(engine))  # before the workers of pytest-xdist start
    config.stash[MISTAKES] += [
        *engine,
        *mistakes,
        *conflicts(command_line, enabled=settings.enabled, workers=workers, dist=dist),
    ]
    return settings, places
