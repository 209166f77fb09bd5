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
    for one in contract.told["data"]:
        if not one["parts"]:
            continue
        named = "named by ids" if one["has_ids"] else "known by position"
        classes = f", {len(one['classes'])} classes" if one["classes"] else ""
        lines.append(f"predictions: {one['samples']:,} samples, {named}{classes}")
    table = render_table(("KPI", "Teacher", "Evidence"), list(_rows(contract)), width=width, colour=colour)
    return "\n".join([*map(line, lines), "", table])


def _rows(contract: Contract) -> Iterator[tuple[str | tuple[str, str], ...]]:
    for pillar in PILLARS:
        own = [one for one in contract.readings if one.pillar == pillar]
        if own:
            yield ((pillar, "bold"), "", "")
        for one in own:
            yield (
                f" {one.kpi}{_told(one)}",
                marked(format_judged(one.reading.value, one.reading.unit), one.reading.provenance),
                _evidence(one.reading),
            )


def _told(one: RecordedReading) -> str:
    batch = one.options.get("batch_size")
    return f" b{batch}" if batch not in {None, 1} else ""


def _evidence(reading: Reading) -> str:
    low, high = reading.estimate.low, reading.estimate.high
    if low == high == reading.value or (low is None and high is None):
        return reading.provenance
    told = [format_interval(low, high, reading.unit)]
    told += [f"n={reading.n:,}"] if reading.n else []
    return " ".join([*told, reading.provenance] if reading.provenance in ESTIMATED else told)
