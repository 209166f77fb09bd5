"""The items of a ready-made suite, for a conftest.py that defines models, or for models on the command line."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from pytest_modelbench.plugin.sla_file import ready_made
from pytest_modelbench.plugin.stash import STATE

ANCHORS = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


class SuiteFile(pytest.Module):
    """A module that is made from the suites asked for; its items get fixtures, marks and reports like any other."""

    def _getobj(self) -> ModuleType:
        """Make the module; pytest's `obj` asks for it once."""
        from pytest_modelbench.gates.suites import entries

        module = ModuleType(self.nodeid)
        module.__file__ = str(self.path)
        for entry in entries(self.config.stash[STATE].settings.suites):
            setattr(module, entry.name, ready_made(entry, str(self.path), module.__name__))
        return module

    def istestfunction(self, obj: object, name: str) -> bool:
        """Take every KPI, under any name of the suite's test functions."""
        return isinstance(obj, FunctionType) and not name.startswith("__")


def reach_suites(config: pytest.Config) -> None:
    """Add to what pytest collects the files above the given paths from which a suite's items hang.

    A test that is named by its node id was asked for alone: it brings no suite.
    """
    for arg in list(config.args):
        anchor = None if "::" in arg else _anchor_of(config, _path(config, arg))
        if anchor is not None and not any(anchor.is_relative_to(_path(config, other)) for other in config.args):
            config.args.append(str(anchor))


def carries_suite(file: Path, config: pytest.Config) -> bool:
    """Whether the items of a suite hang from a file.

    That is a conftest.py that defines `student_model`; where the command line names students, it is the first of
    `ANCHORS` in the folder that was given to pytest, or in the closest one above that has any.
    """
    if config.stash[STATE].settings.students:
        paths = (_path(config, arg) for arg in config.args)
        return any(_anchor_of(config, path) == file.resolve() for path in paths)
    return _defines_student(config, file)


def _path(config: pytest.Config, arg: str) -> Path:
    return Path(config.invocation_params.dir, arg.partition("::")[0]).resolve()


def _anchor_of(config: pytest.Config, path: Path) -> Path | None:
    """Return the closest file at or above a path, up to pytest's root, that can carry a suite."""
    named = bool(config.stash[STATE].settings.students)
    if path.suffix == ".toml" and path.is_file() and not named:
        return None  # it names models itself
    if path.name in ANCHORS and (named or _defines_student(config, path)):
        return path
    for folder in (path, *path.parents):
        for name in ANCHORS:
            anchor = folder / name
            if anchor.is_file() and (named or _defines_student(config, anchor)):
                return anchor
        if folder == config.rootpath.resolve():
            break
    return None


def _defines_student(config: pytest.Config, file: Path) -> bool:
    """Whether a file is a conftest.py, known to pytest by now, that defines `student_model`."""
    modules = (module for module in config.pluginmanager.get_plugins() if isinstance(module, ModuleType))
    return file.name == "conftest.py" and any(
        Path(getattr(module, "__file__", None) or "").resolve() == file.resolve() and _has_student(module)
        for module in modules
    )


def _has_student(module: ModuleType) -> bool:
    """Whether a module has the fixture, by its name or by `@pytest.fixture(name=)`."""
    made = (fixture for fixture in vars(module).values() if type(fixture).__module__ == "_pytest.fixtures")
    return hasattr(module, "student_model") or any(
        getattr(fixture, "name", None) == "student_model" for fixture in made
    )
