"""The hooks that others implement: in a conftest.py, in any pytest plugin, or in a package.

A package names one module that implements some of them in the entry-point group `pytest_modelbench`:

    [project.entry-points.pytest_modelbench]
    acme = "acme_modelbench"

It is loaded with `--modelbench` and `--modelbench-kpis`, and by no other run. The hooks that add something are
called once for each plugin, before the tests below it are read. A hook takes those of its arguments that it names.
Their signatures are provisional until version 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

ADDING = (
    "pytest_modelbench_probe_kinds",
    "pytest_modelbench_kpis",
    "pytest_modelbench_adapters",
    "pytest_modelbench_formats",
    "pytest_modelbench_edge_cases",
    "pytest_modelbench_corruptions",
    "pytest_modelbench_suites",
    "pytest_modelbench_trackers",
)
"""The hooks that add something, in the order in which they are called."""


def pytest_modelbench_kpis(config: pytest.Config) -> Iterable[Any]:  # type: ignore[empty-body]
    """Return KPIs for the catalogue: rows of the class `pytest_modelbench.extend.Kpi`.

    def pytest_modelbench_kpis(config):
        return [Kpi(name="abstentions", pillar="quality", unit="%", better="lower", probe=PREDICTIONS, ...)]
    """


def pytest_modelbench_probe_kinds(config: pytest.Config) -> Iterable[Any]:  # type: ignore[empty-body]
    """Return kinds of measurement (`extend.ProbeKind`), each with the function that takes it.

    def pytest_modelbench_probe_kinds(config):
        return [ProbeKind(name="tokens", take="acme_modelbench.tokens:count")]
    """


def pytest_modelbench_adapters(config: pytest.Config) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return adapters by name (`extend.AdapterEntry`); they are asked before the built-in ones.

    def pytest_modelbench_adapters(config):
        return {"acme": AdapterEntry(base="acme:Engine", adapter="acme_modelbench.adapter:EngineModel")}
    """


def pytest_modelbench_formats(config: pytest.Config) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return formats of saved models by name (`extend.FileFormat`); they are asked before the built-in ones.

    def pytest_modelbench_formats(config):
        return {"acme": FileFormat(suffix=".acme", load="acme_modelbench.adapter:load")}
    """


def pytest_modelbench_edge_cases(config: pytest.Config) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return edge cases by name: functions that get a batch of real inputs and return the batch to feed instead.

    def pytest_modelbench_edge_cases(config):
        return {"night": lambda images: images * 0.05}
    """


def pytest_modelbench_corruptions(config: pytest.Config) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return corruptions by name: functions of one sample, a severity from 1 to 5 and a random generator.

    def pytest_modelbench_corruptions(config):
        return {"rain": lambda image, severity, rng: image + 0.1 * severity * (rng.random(image.shape) < 0.05)}
    """


def pytest_modelbench_suites(config: pytest.Config) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return suites by name, each the names of its KPIs: `--modelbench-suite=NAME` judges or reports them all.

    def pytest_modelbench_suites(config):
        return {"acme": ("abstentions", "top1_accuracy", "latency_p99")}
    """


def pytest_modelbench_trackers(config: pytest.Config) -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return modules by name: `--modelbench-log=NAME` sends runs by the `TRACKER` of the module (`extend.Tracker`).

    def pytest_modelbench_trackers(config):
        return {"acme": "acme_modelbench.tracker"}
    """


def pytest_modelbench_verdict(item: pytest.Item, result: Mapping[str, Any]) -> None:
    """Look at the result of a gate of an item, as the report has it, when it is reached; parallel workers call it.

    def pytest_modelbench_verdict(item, result):
        if result["verdict"] == "fail":
            notify(item.nodeid, result["reason"])
    """


def pytest_modelbench_report(config: pytest.Config, report: Mapping[str, Any], exit_status: int) -> None:
    """Do something with the whole report at the end of the session, such as writing another file.

    def pytest_modelbench_report(config, report, exit_status):
        Path("verdicts.txt").write_text(" ".join(gate["verdict"] for gate in report["gates"]))
    """


def pytest_modelbench_summary(report: Mapping[str, Any]) -> Iterable[str]:  # type: ignore[empty-body]
    """Return lines that the terminal shows below the summary.

    def pytest_modelbench_summary(report):
        return [f"acme: {len(report['gates'])} gates"]
    """
