"""`modelbench.toml` as a test file without Python: every KPI in it is an ordinary item, at its line."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any

import pytest

from pytest_modelbench.settings import Given, resolve_settings
from pytest_modelbench.sla import KpiEntry, Sla, read_sla
from pytest_modelbench.stash import JUDGING, MISTAKES, NAMED, SETTINGS


class SlaFile(pytest.Module):
    """A module that is made from the file's KPIs instead of being imported.

    Being a module, its items get conftest fixtures, parametrisation, marks and reports like any other.
    """

    def _getobj(self) -> ModuleType:
        """Make the module; pytest's `obj` asks for it once."""
        if str(self.path.parent) not in sys.path:
            sys.path.insert(0, str(self.path.parent))
        sla = self._read()
        self.stash[NAMED] = dict(sla.named)
        module = ModuleType(self.nodeid)
        module.__file__ = str(self.path)
        for entry in sla.kpis:
            setattr(module, entry.name, _function(entry, str(self.path), module.__name__))
        return module

    def istestfunction(self, obj: object, name: str) -> bool:
        """Take every KPI, whatever the suite calls its test functions."""
        return isinstance(obj, FunctionType) and not name.startswith("__")

    def _read(self) -> Sla:
        """Read the file; all mistakes go to the session's. Without `--modelbench` only its form matters."""
        told: list[str] = self.config.stash[MISTAKES]
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            told.append(f"{self.nodeid}: cannot be read: {error}")
            return Sla()
        sla, mistakes, is_toml = read_sla(text, self.nodeid, str(self.path.parent))
        judging = self.config.stash.get(JUDGING, None)
        if judging is not None:
            self.stash[SETTINGS], of_run = resolve_settings(
                [judging.places[0], self._place(sla), *judging.places[1:]]
            )
            mistakes += [mistake for mistake in of_run if mistake.startswith(f"{self.nodeid}:")]
        if judging is not None or not is_toml:
            told += [mistake for mistake in mistakes if mistake not in told]
        return sla

    def _place(self, sla: Sla) -> Given:
        def where(option: Any) -> str:
            key = option.name.removeprefix("modelbench_")
            return f"{self.nodeid}:{sla.lines.get(('run', key), 1)}: [run] {key}"

        return Given(values=sla.run, where=where)


def _function(entry: KpiEntry, path: str, module: str) -> FunctionType:
    """Return a test function that stands where the KPI is written and carries its marker."""

    def judged_by_its_marker() -> None:
        """Nothing: the marker is enough."""

    code = judged_by_its_marker.__code__.replace(
        co_filename=path, co_firstlineno=entry.line, co_name=entry.name, co_qualname=entry.name
    )
    function = FunctionType(code, {"__name__": module}, entry.name)
    pytest.mark.kpi(entry.kpi, *entry.limits, **entry.options)(function)
    return function
