"""The hooks of the extension: what it adds, and what it does with results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modelbench.extend import PREDICTIONS, AdapterEntry, FileFormat, Kpi, ProbeKind

LARGEST: ProbeKind[float] = ProbeKind(name="largest", of_samples=True, take="acme_modelbench.largest:take")


def pytest_modelbench_probe_kinds() -> list[ProbeKind[float]]:
    """A kind of measurement: the largest output over the data."""
    return [LARGEST]


def pytest_modelbench_kpis() -> list[Kpi]:
    """A KPI over the recorded pass, and one of the kind above."""
    return [
        Kpi(
            name="distinct_labels",
            pillar="quality",
            unit="",
            better="higher",
            definition="number of labels that the model predicts at least once",
            method="one forward pass over the evaluation data",
            source="acme",
            probe=PREDICTIONS,
            derive="acme_modelbench.distinct:distinct_labels",
        ),
        Kpi(
            name="largest_output",
            pillar="reliability",
            unit="",
            better="lower",
            definition="largest absolute output over the evaluation data",
            method="one more forward pass",
            source="acme",
            probe=LARGEST,
            derive="acme_modelbench.largest:largest_output",
        ),
    ]


def pytest_modelbench_adapters() -> Mapping[str, AdapterEntry]:
    """An adapter for the engine's objects."""
    return {"acme": AdapterEntry(base="acme_modelbench.engine:Engine", adapter="acme_modelbench.engine:EngineModel")}


def pytest_modelbench_formats() -> Mapping[str, FileFormat]:
    """The format of the engine's files."""
    return {"acme": FileFormat(suffix=".acme", load="acme_modelbench.engine:load")}


def pytest_modelbench_edge_cases() -> Mapping[str, Callable[[Any], Any]]:
    """An edge case: every sample the first one's negative."""
    return {"inverted": lambda inputs: -inputs}


def pytest_modelbench_corruptions() -> Mapping[str, Callable[[Any, int, Any], Any]]:
    """A corruption: values that are moved by up to the severity, all of a sample by the same."""
    return {"drifted": lambda sample, severity, rng: sample + int(rng.integers(0, severity + 1))}


def pytest_modelbench_suites() -> Mapping[str, Sequence[str]]:
    """A suite of three KPIs."""
    return {"acme": ("distinct_labels", "largest_output", "top1_accuracy")}


def pytest_modelbench_trackers() -> Mapping[str, str]:
    """A result tracker."""
    return {"acme": "acme_modelbench.tracker"}


def pytest_modelbench_verdict(item: Any, result: Mapping[str, Any]) -> None:
    """Note every verdict as it is reached."""
    with Path(item.config.rootpath, "verdicts.txt").open("a", encoding="utf-8") as file:
        file.write(f"{result['kpi']} {result['verdict']}\n")


def pytest_modelbench_report(config: Any, report: Mapping[str, Any], exit_status: int) -> None:
    """Write a report of one's own."""
    lines = [f"{gate['kpi']}: {gate['verdict']}" for gate in report["gates"]]
    Path(config.rootpath, "acme.txt").write_text("\n".join([f"exit {exit_status}", *lines]), encoding="utf-8")


def pytest_modelbench_summary(report: Mapping[str, Any]) -> list[str]:
    """One line below the summary."""
    return [f"acme: {len(report['gates'])} gates were reported"]
