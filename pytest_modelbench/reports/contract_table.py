"""A contract as people read it: the reference column of the KPI table."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modelbench.grammar.formats import ESTIMATED, format_interval, format_judged, marked
from pytest_modelbench.reports.layout import line
from pytest_modelbench.reports.terminal import PILLARS, render_table
from pytest_modelbench.results import Reading
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.recorded import RecordedReading


def render_contract(contract: Contract, *, width: int, colour: bool) -> str:
    """Render what a contract says of its teacher."""
    teacher, here = contract.teacher, contract.environment
    parameters = f", {teacher['parameters']:,} parameters" if "parameters" in teacher else ""
    machine = [here.get("processor"), f"{here.get('logical_cpus')} processors", here.get("gpu") or "no GPU"]
    lines = [
        f"teacher: {teacher.get('kind', 'unknown')}{parameters}, {teacher.get('hash', 'no hash')}",
        f"machine: {', '.join(map(str, machine))}, {here.get('platform')}",
        f"software: {', '.join(f'{name} {v}' for name, v in here.get('packages', {}).items() if v)}",
    ]
    for dataset in contract.told["data"]:
        if not dataset["parts"]:
            continue
        named = "named by ids" if dataset["has_ids"] else "known by position"
        classes = f", {len(dataset['classes'])} classes" if dataset["classes"] else ""
        lines.append(f"predictions: {dataset['samples']:,} samples, {named}{classes}")
    for recorded in contract.told.get("kinds", ()):
        options = ", ".join(f"{name}={value!r}" for name, value in recorded["options"].items())
        lines.append(f"{recorded['kind']}: {recorded['size_bytes']:,} bytes{options and f', {options}'}")
    table = render_table(("KPI", "Teacher", "Evidence"), list(_rows(contract)), width=width, colour=colour)
    return "\n".join([*map(line, lines), "", table])


def _rows(contract: Contract) -> Iterator[tuple[str | tuple[str, str], ...]]:
    for pillar in PILLARS:
        own = [recorded for recorded in contract.readings if recorded.pillar == pillar]
        if own:
            yield ((pillar, "bold"), "", "")
        for recorded in own:
            yield (
                f" {recorded.kpi}{_told(recorded)}",
                marked(format_judged(recorded.reading.value, recorded.reading.unit), recorded.reading.provenance),
                _evidence(recorded.reading),
            )


def _told(recorded: RecordedReading) -> str:
    batch = recorded.options.get("batch_size")
    return f" b{batch}" if batch not in {None, 1} else ""


def _evidence(reading: Reading) -> str:
    low, high = reading.estimate.low, reading.estimate.high
    if low == high == reading.value or (low is None and high is None):
        return reading.provenance
    parts = [format_interval(low, high, reading.unit)]
    parts += [f"n={reading.n:,}"] if reading.n else []
    return " ".join([*parts, reading.provenance] if reading.provenance in ESTIMATED else parts)
