"""Functions that another process finds by their names: `module:function`."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_modelbench.errors import DataError, cause_of, shown

_INSIDE = ("<locals>", "<lambda>")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A function by its name.

    Attributes:
        spec: `module:function`.
        folder: where its module is, for a process that has another path of Python; empty for the path as it is.
    """

    spec: str
    folder: str = ""

    def function(self, what: str) -> Callable[[Any], Any]:
        """Import the function.

        Args:
            what: the argument that names it, for messages.

        Raises:
            DataError: there is no such module or function, or importing it raised.
        """
        name, _, attribute = self.spec.partition(":")
        target: Any = self._module(name, what)
        owner, part = target, attribute
        for part in attribute.split("."):
            owner, target = target, getattr(target, part, None)
        if not callable(target):
            near = difflib.get_close_matches(part, [] if owner is None else dir(owner), n=1)
            advice = f"; did you mean {near[0]!r}?" if near and near[0] != part else ""
            raise DataError(f"{what}: the module {name} has no function {shown(attribute)}{advice}")
        function: Callable[[Any], Any] = target
        return function

    def _module(self, name: str, what: str) -> ModuleType:
        if self.folder and self.folder not in sys.path:
            sys.path.append(self.folder)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise DataError(
                f"{what}: {shown(self.spec)} cannot be imported, there is no module {shown(error.name)}. Workers "
                "must import it, too: write a module on Python's path"
            ) from error
        except Exception as error:
            raise DataError(f"{what}: importing {shown(name)} raised {cause_of(error)}") from error


def named_function(value: Any, what: str, folder: str = "") -> Named:
    """Return a function that other processes can import, for its name or for itself.

    Args:
        value: `module:function`, or a function that is at the top of its module.
        what: the argument, for messages.
        folder: where modules are looked for, besides Python's path.

    Raises:
        DataError: it has no such name, or the name leads to something else.
    """
    spec = value if isinstance(value, str) else _spec_of(value, what)
    module, _, attribute = spec.partition(":")
    if not module or not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        raise DataError(f'{what}: found {shown(value)}, expected "module:function"')
    found = Named(spec=spec, folder=folder).function(what)
    if not isinstance(value, str) and found is not value:
        raise DataError(f"{what}: {spec} is another function than the given one. Give it a name of its own")
    return Named(spec=spec, folder=_home_of(module) or folder)


def _spec_of(value: Any, what: str) -> str:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if not callable(value) or not isinstance(module, str) or not name:
        raise DataError(f'{what}: found {shown(value)}, expected "module:function"')
    if any(part in name for part in _INSIDE) or module == "__main__":
        raise DataError(
            f"{what}: workers cannot import {name} of {module}. Write the function at the top of a module, and "
            f'{what}="module:function"'
        )
    return f"{module}:{name}"


def _home_of(module: str) -> str:
    """Return the folder that has to be on Python's path for a module that is in a file; else empty."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    parents = module.count(".") + (1 if path.name.startswith("__init__.") else 0)
    return str(path.parents[parents]) if len(path.parents) > parents else ""
