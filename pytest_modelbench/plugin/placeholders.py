"""The default fixtures for models and data, for the user to override. Read whenever pytest starts."""

from __future__ import annotations

from types import ModuleType

import pytest

from pytest_modelbench.plugin import fixtures
from pytest_modelbench.plugin.stash import MODEL_FIXTURES


def placeholders(config: pytest.Config) -> ModuleType:
    """Return a plugin with our fixtures for models and data, but for those that another plugin brings.

    Of the fixtures of plugins pytest takes the one that was registered last, and `-p` comes before entry points.
    """
    module = ModuleType("pytest_modelbench placeholders")
    plugins = [plugin for plugin in config.pluginmanager.get_plugins() if not is_conftest(plugin)]
    for name in MODEL_FIXTURES:
        if not any(hasattr(plugin, name) for plugin in plugins):
            setattr(module, name, getattr(fixtures, name))
    return module


def is_conftest(plugin: object) -> bool:
    """Whether a plugin is a conftest.py, whose fixtures hold for its folder alone and win there anyway."""
    return (getattr(plugin, "__file__", None) or "").endswith("conftest.py")
