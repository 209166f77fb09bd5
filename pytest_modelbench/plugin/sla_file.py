"""`modelbench.toml` as a test file without Python: every KPI in it is an ordinary item, at its line."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

import pytest

from pytest_modelbench.errors import UsageMistake, message_of
from pytest_modelbench.gates.sla import MOST_BYTES, KpiEntry, Sla, read_sla
from pytest_modelbench.plugin.stash import MISTAKES, NAMED, READY_MADE, SETTINGS, STATE
from pytest_modelbench.settings import Given, engine_conflicts, resolve_settings
from pytest_modelbench.store.readable import regular_file


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
        if self._suites() and "student_model" in sla.named:
            from pytest_modelbench.gates.suites import entries

            for entry in entries(self._suites(), {entry.kpi for entry in sla.kpis}):
                if not hasattr(module, entry.name):
                    setattr(module, entry.name, ready_made(entry, str(self.path), module.__name__))
        return module

    def _suites(self) -> tuple[str, ...]:
        state = self.config.stash.get(STATE, None)
        return state.settings.suites if state is not None else ()

    def istestfunction(self, obj: object, name: str) -> bool:
        """Take every KPI, under any name of the suite's test functions."""
        return isinstance(obj, FunctionType) and not name.startswith("__")

    def _read(self) -> Sla:
        """Read the file; all mistakes go to the session's. Without `--modelbench` only its form matters."""
        session_mistakes: list[str] = self.config.stash[MISTAKES]
        try:
            text = regular_file(self.path, MOST_BYTES).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            session_mistakes.append(
                f"{self.nodeid}: it is not written in UTF-8 ({message_of(error)}). Save it as UTF-8"
            )
            return Sla()
        except (OSError, UsageMistake) as error:
            session_mistakes.append(f"{self.nodeid}: {message_of(error)}")
            return Sla()
        sla, mistakes, is_toml = read_sla(text, self.nodeid, str(self.path.parent), bare=bool(self._suites()))
        state = self.config.stash.get(STATE, None)
        if state is not None:
            places = [state.places[0], Given(values=sla.run, where=lambda _: self.nodeid), *state.places[1:]]
            settings, _ = resolve_settings(places)  # whose own mistakes are told by now
            self.stash[SETTINGS] = settings
            parallel = hasattr(self.config, "workerinput")
            mistakes = [*mistakes, *engine_conflicts(settings, places, workers=parallel)]
        if state is not None or not is_toml:
            session_mistakes += [mistake for mistake in mistakes if mistake not in session_mistakes]
        return sla


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


def ready_made(entry: KpiEntry, path: str, module: str) -> FunctionType:
    """Return the test function of a suite's item, which needs no teacher and is left out where it does not fit."""
    from pytest_modelbench.kpis.catalogue import CATALOGUE

    function = _function(entry, path, module)
    setattr(function, READY_MADE, True)
    data = ("eval_data",) if CATALOGUE[entry.kpi].needs_data else ()
    pytest.mark.usefixtures("student", "kpi", *data)(function)
    return function
