"""Names for authors of KPIs, kinds of measurement, adapters, file formats and trackers.

They are provisional until version 1.0.

Handed out lazily, so that a module which implements hooks loads nothing heavy by importing them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modelbench.kpis.kpi import Kpi, Measurements, Question
    from pytest_modelbench.models.base import Artefact, Model, ParameterCount
    from pytest_modelbench.models.registry import AdapterEntry
    from pytest_modelbench.models.saved import FileFormat, Loading
    from pytest_modelbench.probes.kinds import OUTPUTS, PREDICTIONS, ProbeKind, Taking
    from pytest_modelbench.reports.trackers.names import NameRule
    from pytest_modelbench.reports.trackers.tracked_run import TrackedRun
    from pytest_modelbench.reports.trackers.tracker import Shipment, Tracker
    from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading

__all__ = [
    "OUTPUTS",
    "PREDICTIONS",
    "AdapterEntry",
    "Artefact",
    "Comparison",
    "Estimate",
    "Evidence",
    "FileFormat",
    "Kpi",
    "Loading",
    "Measurements",
    "Model",
    "NameRule",
    "ParameterCount",
    "ProbeKind",
    "Question",
    "Reading",
    "Shipment",
    "Taking",
    "TrackedRun",
    "Tracker",
]

_HOMES = {
    "kpis.kpi": ("Kpi", "Measurements", "Question"),
    "models.base": ("Artefact", "Model", "ParameterCount"),
    "models.registry": ("AdapterEntry",),
    "models.saved": ("FileFormat", "Loading"),
    "probes.kinds": ("OUTPUTS", "PREDICTIONS", "ProbeKind", "Taking"),
    "reports.trackers.names": ("NameRule",),
    "reports.trackers.tracked_run": ("TrackedRun",),
    "reports.trackers.tracker": ("Shipment", "Tracker"),
    "results": ("Comparison", "Estimate", "Evidence", "Reading"),
}


def __getattr__(name: str) -> Any:
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pytest_modelbench.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
