"""A first SLA from a report: today's values with some slack, as a modelbench.toml."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.grammar.formats import ESTIMATED
from pytest_modelbench.grammar.tiers import fitting
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.store.facts import explained

DIGITS = 5


def thresholds_toml(report: Mapping[str, Any], path: str, slack: float, student: str | None = None) -> str:
    """Return a modelbench.toml whose limits are a student's values of a report, each worse by a slack.

    A value that was sampled on this machine counts by the worse end of its interval. What cannot be a limit is a
    comment that says why.

    Args:
        report: the JSON report.
        path: where it is from, for the file's first line.
        slack: as a fraction.
        student: the student's label, where there are several.

    Raises:
        UsageMistake: there is no such student, several and none named, or nothing with a value.
    """
    report = explained(report, CATALOGUE)
    labels = list(dict.fromkeys(gate["student"] for gate in report["gates"]))
    if student is None and len(labels) > 1:
        raise UsageMistake(f"{path} has several students. Write --student NAME, one of {', '.join(labels)}")
    chosen = student or next(iter(labels), "")
    gates = [gate for gate in report["gates"] if gate["student"] == chosen]
    if not gates:
        raise UsageMistake(f"{path} has no student {chosen!r}; there are {', '.join(labels) or 'none'}")
    lines = [f"# The values of {chosen} in {path}, each with a slack of {100 * slack:g}%."]
    settings = report.get("settings", {})
    lines += _models(settings, chosen)
    lines += ["", "[kpi]"]
    if len({gate.get("suite") for gate in gates}) > 1:
        raise UsageMistake(
            f"{path} has several students {chosen!r}, of other data or teachers. Judge one suite alone"
        )
    entries = list(_entries(gates, slack, settings))
    if not any(entry.startswith("[kpi.") or " = " in entry for entry in entries if not entry.startswith("#")):
        raise UsageMistake(f"{path} has no value of {chosen} that could be a limit")
    plain = [entry for entry in entries if not entry.startswith("[")]
    return "\n".join([*lines, *plain, *(entry for entry in entries if entry.startswith("["))]) + "\n"


def _models(settings: Mapping[str, Any], student: str) -> Iterator[str]:
    """Yield the models and data that the session was given by options; fixtures stay where they are."""
    specs = {role: (settings.get(role) or {}).get("spec") for role in ("teacher", "previous")}
    students = [entry for entry in settings.get("students") or [] if entry["name"] in {student, None}]
    specs["student"] = students[0]["spec"] if students else None
    models = [f"{role} = {json.dumps(spec)}" for role, spec in specs.items() if spec]
    if models:
        yield from ("", "[models]", *models)
    data = (settings.get("data") or {}).get("spec")
    if data:
        yield from ("", "[data]", f"eval = {json.dumps(data)}")


def _entries(gates: list[dict[str, Any]], slack: float, settings: Mapping[str, Any]) -> Iterator[str]:
    names: set[str] = set()
    seen: set[str] = set()
    for gate in gates:
        key = json.dumps([gate["kpi"], gate["options"]], sort_keys=True)
        if key in seen:
            continue
        confidence = {**settings, **gate.get("settings", {})}.get("confidence")
        limit = _limit(gate, slack, by_interval=confidence is not None)
        if limit.startswith("#"):
            yield limit
            continue
        seen.add(key)
        name, number = gate["kpi"], 2
        while name in names:
            name, number = f"{gate['kpi']}_{number}", number + 1
        names.add(name)
        options = _options(gate, CATALOGUE[gate["kpi"]])
        if name == gate["kpi"] and not options:
            yield f"{name} = {json.dumps(limit)}"
            continue
        lines = [
            f"limits = {json.dumps(limit)}",
            *([f'kpi = "{gate["kpi"]}"'] if name != gate["kpi"] else []),
            *options,
        ]
        yield "\n".join(["", f"[kpi.{name}]", *lines]).lstrip("\n")


def _options(gate: Mapping[str, Any], kpi: Kpi) -> list[str]:
    """Return the options that are not the KPI's own."""
    lines = [
        f"{name} = {json.dumps(value)}" for name, value in gate["options"].items() if value != kpi.options.get(name)
    ]
    estimated = (gate["readings"]["student"] or {}).get("provenance") in ESTIMATED
    if estimated and "allow_estimated = true" not in lines:
        lines.append("allow_estimated = true")
    return lines


def _limit(gate: Mapping[str, Any], slack: float, *, by_interval: bool) -> str:
    """Return the limit of a gate, or a comment that says why it has none."""
    name, reading = gate["kpi"], gate["readings"]["student"]
    kpi = CATALOGUE.get(name)
    if "under" in gate["options"]:
        return f"# {name}: on corrupted inputs; its test states its limits"
    if kpi is None:
        return f"# {name}: a custom KPI; its test states its limits"
    if gate["report_only"]:
        return f"# {name}: for the report only"
    if reading is None or reading["value"] is None:
        return f"# {name}: no value ({gate['verdict']})"
    if "transform" in gate["options"]:
        return f"# {name}: its transform is code; its test states its limits"
    if kpi.unit == "tier":
        names = fitting(reading["value"])
        return f"<= {names[0]}" if names else f"# {name}: beyond every tier"
    lower = gate["better"] == "lower"
    value, end = reading["value"], reading["ci_high" if lower else "ci_low"]
    if gate["of_machine"] or gate["timed"]:
        if end is None:
            return f"# {name}: its sample is too small for a bound; give it more time"
        value = end
    elif by_interval and end is not None:
        value = end
    bound = value + abs(value) * slack * (1 if lower else -1)
    limit = f"{'<=' if lower else '>='} {_number(bound, value, up=lower)} {kpi.unit}".strip().replace(" %", "%")
    try:
        read_gate((name, limit), {})
    except UsageMistake as mistake:
        return f"# {name}: {str(mistake).splitlines()[0]}"
    return limit


def _number(value: float, held: float, *, up: bool) -> str:
    """Return a number with five digits, rounded to the side on which a value holds."""
    if value == 0:
        return "0"
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    step = 10.0**-places
    rounded = (math.ceil if up else math.floor)(round(value / step, 6)) * step
    if (rounded < held) if up else (rounded > held):
        rounded += step if up else -step
    return f"{rounded:.{places}f}".rstrip("0").rstrip(".") if places > 0 else f"{rounded:.0f}"
