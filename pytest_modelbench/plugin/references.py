"""References of gates in addition to the teacher: the previous student, a baseline, the reference workload."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.plugin.parametrisation import defined_for
from pytest_modelbench.plugin.stash import GATES, LABEL, MISTAKES
from pytest_modelbench.store.baseline import Baseline, Entry

if TYPE_CHECKING:
    from pytest_modelbench.gates.assignment import Assignment
    from pytest_modelbench.gates.gate import Gate
    from pytest_modelbench.settings import Settings
    from pytest_modelbench.store.contract import Contract
    from pytest_modelbench.store.export_record import ExportRecord


File = TypeVar("File")


def baseline_of(config: pytest.Config, settings: Settings) -> Baseline | None:
    """Read the baseline that the options name; one that cannot be read is a mistake of the session's."""
    return _read(config, "--modelbench-baseline", settings.baseline, lambda path: Baseline.read(path, CATALOGUE))


def contract_of(config: pytest.Config, settings: Settings) -> Contract | None:
    """Open the contract that the options name; one that cannot be read is a mistake of the session's."""
    if settings.contract is None:
        return None
    from pytest_modelbench.store.contract import Contract

    return _read(config, "--modelbench-contract", settings.contract, Contract.open)


def export_record_of(config: pytest.Config, settings: Settings) -> ExportRecord | None:
    """Read the record of exports that the options name; one that cannot be read is a mistake of the session's."""
    if settings.export_record is None:
        return None
    from pytest_modelbench.store.export_record import ExportRecord

    return _read(config, "--modelbench-export-record", settings.export_record, ExportRecord.read)


def _read(config: pytest.Config, flag: str, path: str | None, read: Callable[[Path], File]) -> File | None:
    try:
        return None if path is None else read(Path(config.invocation_params.dir, path))
    except UsageMistake as mistake:
        config.stash[MISTAKES].append(f"{flag}: {mistake}")
        return None


def assignments(
    gates: Sequence[Gate], item: pytest.Item, settings: Settings, baseline: Baseline | None
) -> tuple[Assignment, ...]:
    """Return what the session makes of an item's gates.

    Args:
        gates: as written.
        item: whose label is known.
        settings: that hold for the item.
        baseline: the earlier report, if one is given.
    """
    from pytest_modelbench.gates.assignment import Known, assign

    if not gates:
        return ()
    defined = Known(
        teacher=defined_for(item, "teacher_model", settings), previous=defined_for(item, "previous_model", settings)
    )
    earlier = None if baseline is None else functools.partial(_measured_beside, baseline, item)
    return tuple(assign(gate, defined, settings, earlier) for gate in gates)


def _measured_beside(baseline: Baseline, item: pytest.Item, gate: Gate) -> str | None:
    """Return what a baseline's value of a gate was measured beside: the teacher, the workload, or None."""
    entry = baseline.find(gate.kpi.name, item.stash[LABEL], gate.told_options, item.nodeid)
    return entry.reference.kind if isinstance(entry, Entry) and entry.reference is not None else None


def other_project(items: Sequence[pytest.Item], baseline: Baseline | None) -> Iterator[str]:
    """Yield a mistake where a baseline has nothing of what is judged here."""
    kpis = {gate.kpi.name for item in items for gate in item.stash.get(GATES, ()) if gate.regresses}
    if baseline is not None and kpis and not baseline.knows_any(sorted(kpis)):
        yield (
            f"--modelbench-baseline: {baseline.path} has none of the KPIs whose regression is judged here "
            f"({', '.join(sorted(kpis))}): it is another project's. Write one with --modelbench-save-baseline=PATH"
        )
