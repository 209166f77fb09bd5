"""What gates are held against beside the teacher: the previous student, a baseline, the reference workload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.limits import bind_limit, parse_limit
from pytest_modelbench.plugin.parametrisation import defined_for
from pytest_modelbench.plugin.stash import GATES, LABEL, MISTAKES
from pytest_modelbench.store.baseline import Baseline, Entry

if TYPE_CHECKING:
    from pytest_modelbench.gates.gate import Gate
    from pytest_modelbench.settings import Settings
    from pytest_modelbench.store.contract import Contract


File = TypeVar("File")


def baseline_of(config: pytest.Config, settings: Settings) -> Baseline | None:
    """Read the baseline that the options name; one that cannot be read is a mistake of the session's."""
    return _read(config, "--modelbench-baseline", settings.baseline, Baseline.read)


def contract_of(config: pytest.Config, settings: Settings) -> Contract | None:
    """Open the contract that the options name; one that cannot be read is a mistake of the session's."""
    if settings.contract is None:
        return None
    from pytest_modelbench.store.contract import Contract

    return _read(config, "--modelbench-contract", settings.contract, Contract.open)


def _read(config: pytest.Config, flag: str, given: str | None, read: Callable[[Path], File]) -> File | None:
    try:
        return None if given is None else read(Path(config.invocation_params.dir, given))
    except UsageMistake as mistake:
        config.stash[MISTAKES].append(f"{flag}: {mistake}")
        return None


def with_earlier(gate: Gate, item: pytest.Item, settings: Settings, baseline: Baseline | None) -> Gate:
    """Return a gate with the limit that `--modelbench-fail-on-regression` adds, and with what its measurement needs.

    Args:
        gate: as written.
        item: whose label is known.
        settings: that hold for the item.
        baseline: the earlier report, if one is given.
    """
    kpi = gate.kpi
    if kpi.probe.own_rounds:
        return gate  # it timed one function, and nothing beside it
    if settings.record_contract:
        conditions = tuple(replace(one, limits=()) for one in gate.conditions)
        return replace(gate, limits=(), shows_teacher=False, workload=kpi.probe.interleaved, recorded=conditions)
    gate = replace(gate, by_contract=settings.contract is not None)
    judgeable = not kpi.report_only and kpi.unit != "tier"
    if settings.fail_on_regression and judgeable and not gate.regresses:
        limit = parse_limit(settings.fail_on_regression)
        bound = bind_limit(
            limit, kpi=kpi.name, unit=kpi.unit, better=kpi.better, bounds=kpi.bounds, source="fail-on-regression"
        )
        gate = replace(gate, limits=(*gate.limits, bound))
    gate = replace(gate, previous=gate.regresses and defined_for(item, "previous_model", settings))
    compares = gate.regresses and baseline is not None and not gate.previous
    if gate.by_contract and settings.reference == "workload":
        return replace(gate, workload=kpi.probe.interleaved)
    if not kpi.of_machine or not (compares or settings.save_baseline):
        return gate
    teacher = defined_for(item, "teacher_model", settings) and not gate.by_contract
    kind = settings.reference
    if kind is None and compares and baseline is not None:
        found = baseline.find(kpi.name, item.stash[LABEL], gate.told_options, item.nodeid)
        kind = found.reference.kind if isinstance(found, Entry) and found.reference is not None else None
    if kpi.probe.interleaved and (kind == "workload" or (kind is None and not teacher)):
        return replace(gate, workload=True)
    return replace(gate, shows_teacher=teacher)


def other_project(items: Sequence[pytest.Item], baseline: Baseline | None) -> Iterator[str]:
    """Yield a mistake where a baseline has nothing of what is judged here."""
    kpis = {gate.kpi.name for item in items for gate in item.stash.get(GATES, ()) if gate.regresses}
    if baseline is not None and kpis and not baseline.knows_any(sorted(kpis)):
        yield (
            f"--modelbench-baseline: {baseline.path} has none of the KPIs whose regression is judged here "
            f"({', '.join(sorted(kpis))}): it is another project's. Write one with --modelbench-save-baseline=PATH"
        )
