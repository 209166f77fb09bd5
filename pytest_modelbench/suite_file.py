"""The items of a ready-made suite, for a conftest.py that defines models, or for models on the command line."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from pytest_modelbench.sla_file import ready_made
from pytest_modelbench.stash import JUDGING

ANCHORS = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


class SuiteFile(pytest.Module):
    """A module that is made from the suites asked for; its items get fixtures, marks and reports like any other."""

    def _getobj(self) -> ModuleType:
        """Make the module; pytest's `obj` asks for it once."""
        from pytest_modelbench.suites import entries

        module = ModuleType(self.nodeid)
        module.__file__ = str(self.path)
        for entry in entries(self.config.stash[JUDGING].settings.suites):
            setattr(module, entry.name, ready_made(entry, str(self.path), module.__name__))
        return module

    def istestfunction(self, obj: object, name: str) -> bool:
        """Take every KPI, whatever the suite calls its test functions."""
        return isinstance(obj, FunctionType) and not name.startswith("__")


def carries_suite(file: Path, config: pytest.Config) -> bool:
    """Whether the items of a suite hang from a file.

    That is a conftest.py that defines `student_model`; where the command line names students, it is the first of
    `ANCHORS` in the folder that was given to pytest.
    """
    judging = config.stash.get(JUDGING, None)
    if judging is None or not judging.settings.suites or file.name not in ANCHORS:
        return False
    if judging.settings.students:
        given = {Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args}
        folders = {path if path.is_dir() else path.parent for path in given}
        first = next((name for name in ANCHORS if (file.parent / name).is_file()), None)
        return file.parent.resolve() in folders and file.name == first
    if file.name != "conftest.py":
        return False
    modules = (one for one in config.pluginmanager.get_plugins() if isinstance(one, ModuleType))
    return any(
        Path(getattr(one, "__file__", None) or "") == file and hasattr(one, "student_model") for one in modules
    )
