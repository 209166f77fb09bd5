"""Find what a SPEC names, and build it.

A SPEC is `module:factory` or `path/to/file.py:factory`, either with `@path/to/weights`, or a saved model: a file, a
folder of a Hugging Face model, or `hf://organisation/name` on its hub. For data, it may also be a file of prompts.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_modelbench.data.prompts import ENDINGS, is_text_file
from pytest_modelbench.errors import ModelError, UsageMistake, cause_of, message_of, shown, visible
from pytest_modelbench.grammar.option_values import at_home
from pytest_modelbench.models.endpoints import is_endpoint
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.saved import HUB, Filled, SavedModel, is_there

_LONGEST = 300
_FACTORY = re.compile(r"(?P<source>.+?):(?P<attribute>[A-Za-z_][\w.]*)(?:@(?P<weights>.+))?")


@dataclass(frozen=True, kw_only=True)
class Located:
    """What a SPEC names: an object with possibly a file of weights for what it makes, a saved model, or prompts."""

    spec: str
    target: Any = None
    weights: Path | None = None
    saved: SavedModel | None = None
    prompts: Path | None = None


def locate(named: NamedSpec, folder: Path, *, saved: bool = True) -> Located:
    """Find what a SPEC names, without calling or loading it.

    Args:
        named: as written.
        folder: where relative paths start if the SPEC brings no folder; modules are looked for there first.
        saved: whether a saved model makes sense.

    Raises:
        UsageMistake: there is no such file, module or attribute, or importing it failed.
    """
    spec, home = named.spec, Path(named.folder) if named.folder is not None else folder
    match = None if is_endpoint(spec) else _FACTORY.fullmatch(spec)
    if match is None:
        if not saved or is_text_file(spec):
            return Located(spec=spec, prompts=_prompts(spec, home))
        return Located(spec=spec, saved=_saved(spec, home))
    weights = None
    if match["weights"] is not None:
        weights = home / at_home(match["weights"])
        if not _is_file(weights):
            raise UsageMistake(f"{shown(spec)}: there is no file {_told(weights)}")
    return Located(spec=spec, target=_attribute(match["source"], match["attribute"], spec, home), weights=weights)


def _prompts(spec: str, home: Path) -> Path:
    path = home / at_home(spec)
    if not is_text_file(spec):
        raise UsageMistake(
            f"{shown(spec)}: expected module:factory, file.py:factory or a file of prompts ({', '.join(ENDINGS)})"
        )
    if not _is_file(path):
        raise UsageMistake(f"{shown(spec)}: there is no file {_told(path)}")
    return path


def _saved(spec: str, home: Path) -> SavedModel:
    if spec.startswith(HUB):
        return SavedModel(spec)
    if is_endpoint(spec):
        return SavedModel.parse(spec)
    saved = SavedModel.parse(spec) if not is_there(home / at_home(spec)) else SavedModel(spec)
    path = home / at_home(saved.path)
    if not is_there(path):
        raise UsageMistake(
            f"{shown(spec)}: expected module:factory, file.py:factory or a saved model, and there is no file "
            f"{_told(path)}"
        )
    return replace(saved, path=str(path))


def _is_file(path: Path) -> bool:
    """Whether there is a file, not a folder; a name that no file may have names none."""
    return is_there(path) and path.is_file()


def _told(path: Path) -> str:
    return visible(str(path)) if len(str(path)) < _LONGEST else shown(str(path))


def _attribute(source: str, attribute: str, spec: str, home: Path) -> Any:
    target: Any = _import(source, spec, home)
    for name in attribute.split("."):
        try:
            target = getattr(target, name)
        except AttributeError:
            near = difflib.get_close_matches(name, dir(target), n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageMistake(f"{shown(spec)}: {source} has no attribute {shown(name)}{advice}") from None
    return target


def _import(source: str, spec: str, folder: Path) -> ModuleType:
    try:
        if not source.endswith(".py"):
            _reach(folder)
            return _same_module(importlib.import_module(source), source, spec, folder)
        if not _is_file(folder / at_home(source)):
            raise UsageMistake(f"{shown(spec)}: there is no file {_told(folder / at_home(source))}")
        return _import_file((folder / at_home(source)).resolve())
    except ModuleNotFoundError as error:
        raise UsageMistake(f"{shown(spec)}: there is no module {shown(error.name)}") from error
    except (UsageMistake, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageMistake(f"{shown(spec)}: importing {source} raised {cause_of(error)}") from error


def _same_module(module: ModuleType, source: str, spec: str, folder: Path) -> ModuleType:
    """Return the module, if it is the one that the folder has.

    Raises:
        UsageMistake: another folder's module of that name was imported before.
    """
    here = folder.joinpath(*source.split("."))
    own = next((path for path in (here.with_suffix(".py"), here / "__init__.py") if path.is_file()), None)
    file = getattr(module, "__file__", None)
    if own is not None and file is not None and own.resolve() != Path(file).resolve():
        raise UsageMistake(
            f"{shown(spec)}: the module {source} was imported from {file}, and {own} is another of that name. "
            f"Give one of them another name, or write the file: '{'/'.join(source.split('.'))}.py:...'"
        )
    return module


def _import_file(path: Path) -> ModuleType:
    modules = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(path)]
    if modules:
        return modules[0]
    name = f"modelbench_spec_{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageMistake(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _reach(path.parent)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reach(folder: Path) -> None:
    """Let modules of a folder be imported before those of any other, now and when a factory is called."""
    if sys.path[:1] != [str(folder)]:
        sys.path[:] = [str(folder), *(path for path in sys.path if path != str(folder))]


def build(located: Located) -> Any:
    """Return the object that a SPEC names: functions and classes are factories, other objects are taken as they are.

    Raises:
        ModelError: the factory raised, or needs arguments.
    """
    if located.saved is not None or located.prompts is not None:
        return located.saved or located.prompts
    made = _made(located.target, located.spec)
    return made if located.weights is None else Filled(made, located.weights)


def _made(target: Any, spec: str) -> Any:
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        return target
    try:
        inspect.signature(target).bind()
    except TypeError as error:
        raise ModelError(f"{shown(spec)} is a factory and must take no arguments: {message_of(error)}") from error
    except ValueError as error:
        raise ModelError(f"{shown(spec)} is not a callable factory: {message_of(error)}") from error
    try:
        return target()
    except (Exception, SystemExit, GeneratorExit) as error:
        raise ModelError(f"the factory {shown(spec)} raised {cause_of(error)}") from error
