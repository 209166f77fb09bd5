"""The last verdicts as OpenMetrics text, for a node exporter's textfile collector and for GitLab's metrics report.

Source: the OpenMetrics specification 1.0.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.recognising import is_metrics
from pytest_modelbench.store.replacing import replacing

_FAMILIES = {
    "modelbench_kpi": "The value of a KPI, in the unit of its label, rounded to the width of its interval.",
    "modelbench_limit_holds": "1 if a limit holds, 0 if it does not; absent where that is not known.",
    "modelbench_margin": "How far a value is from its limit, positive where the limit holds.",
    "modelbench_gates": "The number of gates by verdict.",
    "modelbench_complete": "1 if the run came to its end.",
    "modelbench_report_timestamp_seconds": "When the report was written.",
}
_HOLDS = {"pass": 1.0, "fail": 0.0}


def openmetrics(report: Mapping[str, Any], now_s: float) -> str:
    """Return a report as OpenMetrics text.

    Args:
        report: the JSON report.
        now_s: seconds since the epoch.
    """
    lines: list[str] = []
    samples: dict[str, list[str]] = {family: [] for family in _FAMILIES}
    for gate in report["gates"]:
        for family, sample in _of_gate(gate):
            if sample not in samples[family]:
                samples[family].append(sample)
    for verdict, count in report["summary"].items():
        samples["modelbench_gates"].append(_sample("modelbench_gates", {"verdict": verdict}, count))
    samples["modelbench_complete"].append(_sample("modelbench_complete", {}, float(bool(report["complete"]))))
    timestamp = "modelbench_report_timestamp_seconds"
    samples[timestamp].append(_sample(timestamp, {}, round(now_s, 3)))
    for family, text in _FAMILIES.items():
        lines += [f"# TYPE {family} gauge", f"# HELP {family} {text}", *samples[family]]
    return "\n".join([*lines, "# EOF", ""])


def _of_gate(gate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the samples of a gate, each with its family; a KPI that is measured in two ways has labels for both."""
    options = {
        f"option_{name}": str(value) for name, value in gate["options"].items() if isinstance(value, str | int)
    }
    shared = {"kpi": gate["kpi"], "student": gate["student"], "test": gate["nodeid"], **options}
    for role, reading in gate["readings"].items():
        if reading is not None and reading["value"] is not None:
            labels = {**shared, "role": role, "unit": reading["unit"]}
            yield "modelbench_kpi", _sample("modelbench_kpi", labels, rounded(reading))
    for limit in gate["limits"]:
        labels = {**shared, "limit": limit["text"]}
        if limit["verdict"] in _HOLDS:
            yield "modelbench_limit_holds", _sample("modelbench_limit_holds", labels, _HOLDS[limit["verdict"]])
        if limit.get("margin") is not None:
            margin = rounded({**limit, "value": limit["margin"]})
            yield "modelbench_margin", _sample("modelbench_margin", labels, margin)


def rounded(reading: Mapping[str, Any]) -> float:
    """Return a value with no more digits than its interval supports, so that noise does not change the text.

    >>> rounded({"value": 1.23456, "ci_low": 1.1, "ci_high": 1.4})
    1.2
    """
    value, low, high = float(reading["value"]), reading["ci_low"], reading["ci_high"]
    if low is None or high is None or high <= low:
        return value
    return round(value, -math.floor(math.log10(high - low)))


def _sample(family: str, labels: Mapping[str, str], value: float) -> str:
    listed = ",".join(f'{name}="{_label(text)}"' for name, text in labels.items())
    return f"{family}{{{listed}}} {value!r}" if listed else f"{family} {value!r}"


def _label(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _write(ending: Ending, path: Path) -> None:
    with replacing(path, OPENMETRICS.name, is_metrics) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(openmetrics(ending.told, time.time()))
        file.flush()
        os.fsync(file.fileno())


OPENMETRICS = Report(
    name="OpenMetrics file",
    flag="--modelbench-openmetrics",
    asked=lambda settings: settings.openmetrics,
    ours=is_metrics,
    write=_write,
)
