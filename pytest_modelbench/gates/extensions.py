"""What others bring: KPIs, kinds, adapters, formats, edge cases, corruptions, suites, checked and named by origin.

They are kept in the tables that hold the built-in ones, for the length of a session.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from pytest_modelbench.data.case_names import BUILT_IN as CASES
from pytest_modelbench.data.case_names import EXTENSIONS as EDGE_CASES
from pytest_modelbench.data.case_names import GROUPS
from pytest_modelbench.data.corruptions.names import AUTO, FAMILIES
from pytest_modelbench.data.corruptions.names import BUILT_IN as CORRUPTIONS
from pytest_modelbench.data.corruptions.names import EXTENSIONS as ADDED_CORRUPTIONS
from pytest_modelbench.errors import UsageMistake, cause_of, shown
from pytest_modelbench.gates.suites import CONTENT
from pytest_modelbench.grammar.option_values import unprintable
from pytest_modelbench.hooks import ADDING
from pytest_modelbench.kpis.catalogue import CATALOGUE, EXTENSION_KPIS, PILLARS
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.models import formats, registry, saved
from pytest_modelbench.options import SUITES, TRACKERS
from pytest_modelbench.probes import kinds
from pytest_modelbench.probes.kinds import ProbeKind

GROUP = "pytest_modelbench"
"""The entry-point group of packages."""
_LONGEST = 100
_TEXTS = ("name", "pillar", "unit", "better", "definition", "method", "source", "derive")
KINDS: dict[str, ProbeKind[Any]] = {}
"""Kinds of measurement that others bring, by name."""


def entry_points() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield who offers a module by the entry-point group, and what loads it."""
    for point in importlib.metadata.entry_points(group=GROUP):
        yield f"{point.dist.name if point.dist else '?'} (entry point {point.name})", point.load


def installed() -> Extensions:
    """Return what installed packages add, for commands outside of pytest: their hooks get None for `config`."""
    extensions = Extensions()
    modules = []
    for origin, load in entry_points():
        try:
            modules.append((origin, load()))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the code of others may raise anything, SystemExit included
            extensions.mistakes.append(cannot_load(origin, error))
    for hook in ADDING:
        for origin, module in modules:
            if (function := getattr(module, hook, None)) is not None:
                arguments = {"config": None} if "config" in inspect.signature(function).parameters else {}
                extensions.take(hook, functools.partial(function, **arguments), origin)
    return extensions


def cannot_load(origin: str, error: BaseException) -> str:
    """Say that a package's module cannot be loaded."""
    return f"{origin} cannot be loaded: {cause_of(error)}. Mend it, or uninstall it"


class Extensions:
    """Everything that others brought to one session.

    Attributes:
        mistakes: what could not be taken, each with who brought it and what to write.
    """

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self._added: list[tuple[MutableMapping[str, Any], str]] = []
        self._owners: dict[str, str] = {}
        self._takes: Mapping[str, Callable[[object, str], None]] = {
            "pytest_modelbench_probe_kinds": self._kinds,
            "pytest_modelbench_kpis": self._kpis,
            "pytest_modelbench_adapters": self._adapters,
            "pytest_modelbench_formats": self._formats,
            "pytest_modelbench_edge_cases": self._edge_cases,
            "pytest_modelbench_corruptions": self._corruptions,
            "pytest_modelbench_suites": self._suites,
            "pytest_modelbench_trackers": self._trackers,
        }

    def take(self, hook: str, function: Callable[[], object], origin: str) -> None:
        """Call a hook's implementation and take what it returns; what is wrong becomes a mistake.

        Args:
            hook: its name.
            function: the implementation, with its arguments bound.
            origin: who brings it, such as "acme-modelbench (entry point acme)" or "conftest.py".
        """
        try:
            self._takes[hook](function(), origin)
        except UsageMistake as mistake:
            self.mistakes.append(f"{origin}: {hook}: {mistake}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the code of others may raise anything, SystemExit included
            self.mistakes.append(f"{origin}: {hook} raised {cause_of(error)}. Correct it there, or remove it")

    def remove(self) -> None:
        """Leave the tables as they were before this session."""
        for table, name in self._added:
            table.pop(name, None)
        self._added.clear()

    def _add(self, table: MutableMapping[str, Any], name: str, value: object, origin: str) -> None:
        table[name] = value
        self._added.append((table, name))
        self._owners[name] = origin

    def _kpis(self, returned: object, origin: str) -> None:
        for kpi in _iterated(returned, "rows of the class Kpi"):
            if not isinstance(kpi, Kpi):
                raise UsageMistake(f"returned {shown(kpi)}, expected rows of the class pytest_modelbench.extend.Kpi")
            with self._told(origin):
                check_row(kpi)
                self._add(EXTENSION_KPIS, kpi.name, kpi, origin)

    def _kinds(self, returned: object, origin: str) -> None:
        taken = {kind.name for kind in vars(kinds).values() if isinstance(kind, ProbeKind)}
        for kind in _iterated(returned, "values of the class ProbeKind"):
            if not isinstance(kind, ProbeKind):
                raise UsageMistake(f"returned {shown(kind)}, expected values of pytest_modelbench.extend.ProbeKind")
            with self._told(origin):
                _refuse_taken("kind of measurement", kind.name, taken | set(KINDS))
                _check_path(f"ProbeKind {kind.name!r}: take", kind.take)
                self._add(KINDS, kind.name, kind, origin)

    def _adapters(self, returned: object, origin: str) -> None:
        for name, entry in _named(returned, "AdapterEntry by name"):
            with self._told(origin):
                if not isinstance(entry, registry.AdapterEntry):
                    raise UsageMistake(f"adapter {name!r} is {shown(entry)}, expected an AdapterEntry")
                _refuse_taken("adapter", name, (*registry.ADAPTERS, *registry.EXTENSIONS))
                _check_path(f"adapter {name!r}: base", entry.base)
                _check_path(f"adapter {name!r}: adapter", entry.adapter)
                self._add(registry.EXTENSIONS, name, entry, origin)

    def _formats(self, returned: object, origin: str) -> None:
        for name, form in _named(returned, "FileFormat by name"):
            with self._told(origin):
                if not isinstance(form, saved.FileFormat):
                    raise UsageMistake(f"format {name!r} is {shown(form)}, expected a FileFormat")
                _refuse_taken("format", name, (*formats.FORMATS, *saved.EXTENSIONS))
                _check_path(f"format {name!r}: load", form.load)
                if not str(form.suffix).startswith("."):
                    raise UsageMistake(f"format {name!r}: suffix={shown(form.suffix)}, expected one such as '.acme'")
                self._add(saved.EXTENSIONS, name, form, origin)

    def _edge_cases(self, returned: object, origin: str) -> None:
        for name, function in _named(returned, "functions by name"):
            with self._told(origin):
                _refuse_taken("edge case", name, (*CASES, *GROUPS, *EDGE_CASES))
                if not callable(function):
                    raise UsageMistake(f"edge case {name!r} is {shown(function)}, expected a function of a batch")
                self._add(EDGE_CASES, name, function, origin)

    def _corruptions(self, returned: object, origin: str) -> None:
        for name, function in _named(returned, "functions by name"):
            with self._told(origin):
                _refuse_taken("corruption", name, (*CORRUPTIONS, *FAMILIES, AUTO, *ADDED_CORRUPTIONS))
                if not callable(function):
                    raise UsageMistake(f"corruption {name!r} is {shown(function)}, expected a function of a sample")
                if ":" in name:
                    raise UsageMistake(f"corruption {name!r}: a name has no colon, after which a severity is written")
                self._add(ADDED_CORRUPTIONS, name, function, origin)

    def _suites(self, returned: object, origin: str) -> None:
        for name, names in _named(returned, "names of KPIs by suite"):
            with self._told(origin):
                _refuse_taken("suite", name, CONTENT)
                listed = _iterated(names, "names of KPIs")
                unknown = [kpi for kpi in listed if kpi not in CATALOGUE]
                if unknown:
                    raise UsageMistake(f"suite {name!r}: there is no KPI {shown(unknown[0])}")
                self._add(CONTENT, name, tuple(listed), origin)
                self._add(SUITES, name, None, origin)

    def _trackers(self, returned: object, origin: str) -> None:
        for name, module in _named(returned, "modules by name"):
            with self._told(origin):
                _refuse_taken("tracker", name, TRACKERS)
                if not isinstance(module, str) or not re.fullmatch(r"\w+(\.\w+)*", module):
                    raise UsageMistake(f"tracker {name!r} is {shown(module)}, expected the name of a module")
                self._add(TRACKERS, name, module, origin)

    @contextlib.contextmanager
    def _told(self, origin: str) -> Any:
        """Tell one mistake and go on with the next row; of a name that is taken, tell who brings it."""
        try:
            yield
        except TakenName as taken:
            owner = self._owners.get(taken.name)
            self.mistakes.append(f"{origin}: {taken}" + (f"; {owner} brings it" if owner else ""))
        except UsageMistake as mistake:
            self.mistakes.append(f"{origin}: {mistake}")


class TakenName(UsageMistake):
    """A name that the plugin or another extension uses already."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"the name {name!r} is taken by another {what}. Give it another name")
        self.name = name


def check_row(kpi: Kpi) -> None:
    """Refuse a row that the table, the report or a gate could not use.

    Raises:
        UsageMistake: saying which field, what was found and what is expected.
    """
    if not all(isinstance(getattr(kpi, field), str) for field in _TEXTS):
        field, value = next((name, getattr(kpi, name)) for name in _TEXTS if not isinstance(getattr(kpi, name), str))
        raise UsageMistake(f"kpi {shown(kpi.name)}: {field}={shown(value)}, expected a string")
    if fault := unprintable(kpi.name, _LONGEST):
        raise UsageMistake(f"a KPI's name is {shown(kpi.name)}, {fault}")
    if kpi.name in CATALOGUE:
        raise TakenName("KPI", kpi.name)
    if kpi.pillar not in PILLARS:
        raise UsageMistake(f"kpi {kpi.name!r}: pillar={shown(kpi.pillar)}, expected one of {', '.join(PILLARS)}")
    if kpi.better not in {"higher", "lower"}:
        raise UsageMistake(f"kpi {kpi.name!r}: better={shown(kpi.better)}, expected 'higher' or 'lower'")
    if not isinstance(kpi.probe, ProbeKind):
        raise UsageMistake(f"kpi {kpi.name!r}: probe={shown(kpi.probe)}, expected a ProbeKind such as PREDICTIONS")
    _check_path(f"kpi {kpi.name!r}: derive", kpi.derive)


def _check_path(what: str, path: object) -> None:
    parts = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not (parts[0].strip() and parts[2].strip()):
        raise UsageMistake(f"{what}={shown(path)}, expected 'module:name'")


def _refuse_taken(what: str, name: str, taken: Iterable[str]) -> None:
    if name in set(taken):
        raise UsageMistake(
            f"there is {'an' if what[0] in 'ae' else 'a'} {what} {name!r} already. Give it another name"
        )


def _iterated(returned: object, expected: str) -> list[Any]:
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        raise UsageMistake(f"returned {shown(returned)}, expected {expected}")
    return list(returned)


def _named(returned: object, expected: str) -> list[tuple[str, Any]]:
    if not isinstance(returned, Mapping) or not all(isinstance(name, str) and name.strip() for name in returned):
        raise UsageMistake(f"returned {shown(returned)}, expected {expected}")
    return list(returned.items())
