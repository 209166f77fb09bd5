"""Acceptance tests that decide whether a compressed model may ship.

Public names are handed out lazily, so that importing the package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modelbench.data.case_names import register_edge_case
    from pytest_modelbench.data.corruptions.case import CorruptedCase
    from pytest_modelbench.data.corruptions.names import register_corruption
    from pytest_modelbench.data.edge_cases import EdgeCase
    from pytest_modelbench.data.evaldata import EvalData
    from pytest_modelbench.data.text_data import TextData
    from pytest_modelbench.errors import (
        CheckFailure,
        DataError,
        MeasurementError,
        ModelbenchError,
        ModelError,
        NotApplicable,
        UsageMistake,
    )
    from pytest_modelbench.exports.deployed import Deployed
    from pytest_modelbench.models.adapters.fake import FakeClock, FakeModel
    from pytest_modelbench.models.base import Model
    from pytest_modelbench.models.endpoints import OpenAIEndpoint, RestEndpoint
    from pytest_modelbench.models.functions import TextFunction
    from pytest_modelbench.plugin.kpi_fixture import KpiAccess
    from pytest_modelbench.plugin.metamorphic import directional, invariance

__version__ = "0.1.0"

__all__ = [
    "CheckFailure",
    "CorruptedCase",
    "DataError",
    "Deployed",
    "EdgeCase",
    "EvalData",
    "FakeClock",
    "FakeModel",
    "KpiAccess",
    "MeasurementError",
    "Model",
    "ModelError",
    "ModelbenchError",
    "NotApplicable",
    "OpenAIEndpoint",
    "RestEndpoint",
    "TextData",
    "TextFunction",
    "UsageMistake",
    "directional",
    "invariance",
    "register_corruption",
    "register_edge_case",
]

_HOMES = {
    "CorruptedCase": "data.corruptions.case",
    "Deployed": "exports.deployed",
    "EdgeCase": "data.edge_cases",
    "EvalData": "data.evaldata",
    "FakeClock": "models.adapters.fake",
    "FakeModel": "models.adapters.fake",
    "KpiAccess": "plugin.kpi_fixture",
    "Model": "models.base",
    "OpenAIEndpoint": "models.endpoints",
    "RestEndpoint": "models.endpoints",
    "TextFunction": "models.functions",
    "TextData": "data.text_data",
    "directional": "plugin.metamorphic",
    "invariance": "plugin.metamorphic",
    "register_corruption": "data.corruptions.names",
    "register_edge_case": "data.case_names",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "errors")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
