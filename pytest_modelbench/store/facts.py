"""What a report says of its KPIs, and what an older one leaves to this version's catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.results import FACTS, facts_of
from pytest_modelbench.store.forms import Form, is_flag, is_text, maybe

UNKNOWN: Mapping[str, Any] = {
    "better": "",
    "timed": False,
    "of_machine": False,
    "of_samples": True,
    "of_inputs": False,
    "report_only": False,
}
"""What is taken for a KPI of which neither the report nor the catalogue says anything."""
FORM_OF_FACTS: Form = {name: maybe(is_text) if name == "better" else is_flag for name in FACTS}


def explained(report: Mapping[str, Any], catalogue: Mapping[str, object]) -> dict[str, Any]:
    """Return a report in which every gate says what its KPI is, also where the report does not.

    Args:
        report: of any version of this schema.
        catalogue: the KPIs that this version knows, by name.
    """
    return {**report, "gates": [_explained(gate, catalogue) for gate in report["gates"]]}


def _explained(gate: Mapping[str, Any], catalogue: Mapping[str, object]) -> Mapping[str, Any]:
    stated = {name: gate[name] for name in FACTS if gate.get(name) not in {None, ""}}
    if len(stated) == len(FACTS):
        return gate
    facts = facts_of(catalogue[gate["kpi"]]) if gate["kpi"] in catalogue else UNKNOWN
    return {**gate, **facts, **stated}
