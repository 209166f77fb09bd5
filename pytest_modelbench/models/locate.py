"""Find the factory, or the object, that a SPEC of the command line names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_modelbench.errors import ModelError, UsageMistake


def locate(spec: str, folder: Path) -> Any:
    """Import what `module:attribute` or `path/to/file.py:attribute` names, without calling it.

    Args:
        spec: as written.
        folder: where relative paths start; modules are looked for here first.

    Raises:
        UsageMistake: there is no such file, module or attribute, or importing it failed.
    """
    source, _, attribute = spec.rpartition(":")
    module = _import(source, spec, folder)
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = difflib.get_close_matches(name, dir(found), n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageMistake(f"{spec!r}: {source} has no attribute {name!r}{advice}") from None
    return found


def _import(source: str, spec: str, folder: Path) -> ModuleType:
    try:
        if not source.endswith(".py"):
            _reach(folder)
            return importlib.import_module(source)
        path = (folder / source).resolve()
        if not path.is_file():
            raise UsageMistake(f"{spec!r}: there is no file {path}")
        return _import_file(path)
    except ModuleNotFoundError as error:
        raise UsageMistake(f"{spec!r}: there is no module {error.name!r}") from error
    except (UsageMistake, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageMistake(f"{spec!r}: importing {source} raised {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    known = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(path)]
    if known:
        return known[0]
    name = f"modelbench_spec_{path.stem}_{abs(hash(path))}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise UsageMistake(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    _reach(path.parent)
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reach(folder: Path) -> None:
    """Let modules of a folder be imported, now and when a factory is called."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def build(target: Any, spec: str) -> Any:
    """Return the object that a SPEC stands for: functions and classes are factories, anything else is taken.

    Raises:
        ModelError: the factory raised, or needs arguments.
    """
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        return target
    try:
        inspect.signature(target).bind()
    except TypeError as error:
        raise ModelError(f"{spec!r} is a factory and must take no arguments: {error}") from error
    except ValueError as error:
        raise ModelError(f"{spec!r} is no factory that could be called: {error}") from error
    try:
        return target()
    except Exception as error:
        raise ModelError(f"the factory {spec!r} raised {type(error).__name__}: {error}") from error
