"""The contract as one of the files that a session writes."""

from __future__ import annotations

from pathlib import Path

from pytest_modelbench.probes.machine import environment
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.recognising import is_contract


def _write(ending: Ending, path: Path) -> str:
    if ending.contract is None:
        return ""
    if path.exists() and not ending.complete:
        return f"contract: the run did not come to its end, so {path.name} is left as it was"
    teacher = ending.record.models.get("teacher", {})
    return ending.contract.write(path, teacher, environment(), ending.settings.to_json())


CONTRACT = Report(
    name="contract",
    flag="--modelbench-record-contract",
    asked=lambda settings: settings.record_contract,
    ours=is_contract,
    write=_write,
)
