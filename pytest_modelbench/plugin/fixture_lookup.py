"""Which fixture wins for an item, and what else only pytest's private attributes tell.

Their only home (`_fixtureinfo`, `_fixturemanager`, `_pyfuncitem`): there is no public way to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_modelbench.plugin.stash import MODEL_FIXTURES

_OWN_MODULE = "pytest_modelbench.plugin.fixtures"


def winning_fixture(item: pytest.Item, name: str) -> pytest.FixtureDef[Any] | None:
    """Return the fixture definition that an item's name resolves to, or None."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get(name) if info is not None else None
    return definitions[-1] if definitions else None


def is_ours(item: pytest.Item, name: str) -> bool:
    """Whether the fixture that wins for an item is the plugin's own."""
    definition = winning_fixture(item, name)
    return definition is not None and definition.func.__module__ == _OWN_MODULE


def overridden(item: pytest.Item, name: str) -> bool:
    """Whether the user defines a fixture of the plugin's for an item that need not ask for it."""
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see above
    definitions = manager.getfixturedefs(name, item)
    return bool(definitions) and definitions[-1].func.__module__ != _OWN_MODULE


def needed_by_fixtures(item: pytest.Item, names: set[str]) -> bool:
    """Whether some fixture of the user's that an item asks for is made from one of these fixtures."""
    info = getattr(item, "_fixtureinfo", None)
    fixtures = info.name2fixturedefs if info is not None else {}
    winning = (definitions[-1] for definitions in fixtures.values())
    return any(
        names & set(definition.argnames) for definition in winning if definition.func.__module__ != _OWN_MODULE
    )


def takes(item: pytest.Item, name: str) -> bool:
    """Whether the test function itself has an argument of this name."""
    info = getattr(item, "_fixtureinfo", None)
    return info is not None and name in info.argnames


def home_of(item: pytest.Item, named: Mapping[str, object]) -> tuple[str, ...]:
    """Say where an item's student, teacher and data come from: two items share them only if this is equal.

    Args:
        item: whose models.
        named: models and data that the command line or a file names for it, by fixture; they override fixtures.
    """
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see above
    callspec = getattr(item, "callspec", None)
    indices = callspec.indices if callspec is not None else {}
    home = []
    for name in MODEL_FIXTURES:
        if name in named:
            home.append(repr(named[name]))
            continue
        definitions = manager.getfixturedefs(name, item)
        names = [] if name == "student_model" else made_from(item, name)  # the label tells students apart
        index = ",".join(f"{parameter}={indices[parameter]}" for parameter in names if parameter in indices)
        home.append(f"{definitions[-1].baseid if definitions else ''}:{index}")
    return tuple(home)


def made_from(item: pytest.Item, name: str) -> list[str]:
    """Return a fixture's name and those of all fixtures that it is made from."""
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see above
    names = [name]
    for fixture in names:
        definitions = manager.getfixturedefs(fixture, item)
        names += [other for other in (definitions[-1].argnames if definitions else ()) if other not in names]
    return names


def item_of(request: pytest.FixtureRequest) -> pytest.Item:
    """Return the item for which a fixture of any scope is set up."""
    item: pytest.Item = request._pyfuncitem  # noqa: SLF001 - see above
    return item


def place_of(item: pytest.Item) -> str:
    """Name an item without its parameters: a mistake in a marker is one mistake for all of them.

    An item of a file that is not Python is named by its line.
    """
    path, line, _ = item.location
    if not path.endswith(".py") and line is not None:
        return f"{path}:{line + 1}"
    return f"{item.nodeid.partition('::')[0]}::{item.location[2].partition('[')[0].replace('.', '::')}"
