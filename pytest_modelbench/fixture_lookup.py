"""Which fixture wins for an item, and what else only pytest's private attributes tell.

Their only home (`_fixtureinfo`, `_fixturemanager`): there is no public way to ask.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.stash import MODEL_FIXTURES

_OWN_MODULE = "pytest_modelbench.fixtures"


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


def home_of(item: pytest.Item) -> tuple[str, ...]:
    """Say where an item's student, teacher and data come from: two items share them only if this is equal."""
    manager: Any = item.session._fixturemanager  # noqa: SLF001 - see above
    definitions = [manager.getfixturedefs(name, item) for name in MODEL_FIXTURES]
    callspec = getattr(item, "callspec", None)
    indices, params = (callspec.indices, callspec.params) if callspec is not None else ({}, {})
    return (
        *(str(found[-1].baseid) if found else "" for found in definitions),
        *(str(indices.get(name, "")) for name in ("teacher_model", "eval_data")),
        *(repr(params[name]) for name in MODEL_FIXTURES if type(params.get(name)).__name__ == "NamedSpec"),
    )


def place_of(item: pytest.Item) -> str:
    """Name an item without its parameters: a mistake in a marker is one mistake for all of them.

    An item of a file that is not Python is named by its line.
    """
    path, line, _ = item.location
    if not path.endswith(".py") and line is not None:
        return f"{path}:{line + 1}"
    return f"{item.nodeid.partition('::')[0]}::{item.location[2].partition('[')[0].replace('.', '::')}"
