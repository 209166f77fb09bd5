"""An earlier JSON report as the baseline that `regression` compares with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pytest_modelbench.errors import UsageMistake, message_of, shown
from pytest_modelbench.results import SCHEMA_VERSION, Estimate, Reading, Reference, json_object
from pytest_modelbench.stats.sessions import difference_across, ratio_across, worsening, worsening_by_ratio
from pytest_modelbench.store.facts import FORM_OF_FACTS, explained
from pytest_modelbench.store.forms import Form, are, has, is_reading, is_reference, is_table, is_text, maybe
from pytest_modelbench.store.readable import regular_file

MOST_BYTES = 512 * 2**20
WRITE_ONE = "Write one with --modelbench-save-baseline=PATH"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One gate's value, what it was measured beside, the hash of its samples, and the form of their inputs."""

    reading: Reading
    reference: Reference | None = None
    data: str | None = None
    form: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry(Measured):
    """What a baseline knows of one gate; `inconclusive` says that its limits were, `path` where it is from.

    `settings` are those that held for it, `teacher` the teacher's value beside it.
    """

    path: str
    inconclusive: bool
    teacher: Reading | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def worse_than(now: Measured, then: Entry, *, better: str, of_machine: bool, of_samples: bool) -> Estimate | str:
    """Return how much worse a value is than in another session, as a fraction, or why it cannot be compared.

    Args:
        now: of this session.
        then: of the earlier one.
        better: `lower` or `higher`.
        of_machine: whether the value depends on the machine: then only ratios to what both sessions measured count.
        of_samples: whether it depends on the samples: then they must be the same.
    """
    unit = now.reading.unit
    if then.reading.unit != unit:
        return f"{then.path} has it in {then.reading.unit!r}"
    if then.form and now.form and then.form != now.form:
        return f"{then.path} has it for inputs of another form ({then.form}, and here {now.form})"
    if not of_machine:
        if of_samples and then.data and now.data and then.data != now.data:
            return f"{then.path} has it for other samples ({then.data}, and here {now.data})"
        gap = difference_across(now.reading.estimate, then.reading.estimate)
        return worsening(gap, then.reading.value, better)
    before, here = then.reference, now.reference
    if before is None or here is None:
        return (
            f"{then.path if before is None else 'this session'} measured no teacher and no reference workload beside "
            f"it, and a bare {unit or 'value'} of another session is not comparable"
        )
    if before.kind != here.kind or _other(before.hash, here.hash):
        return f"{then.path} has it relative to another {before.kind} ({before.hash}, and here {here.hash})"
    if other := differing(before.settings, here.settings):
        return f"{then.path} has it with other settings ({other}). State equal ones, such as --modelbench-threads=1"
    return worsening_by_ratio(ratio_across(here.ratio, before.ratio), better)


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the settings of two measurements that differ; empty where times can be compared.

    A process without torch has no threads of its own to tell.
    """
    shared = [name for name in now if name in then and not (name == "threads" and None in (then[name], now[name]))]
    return "; ".join(f"{name} {then[name]}, here {now[name]}" for name in shared if then[name] != now[name])


def without_student(nodeid: str, student: str) -> str:
    """Return a test's node id without the parameter that names the student.

    >>> without_student("tests/test_sla.py::test_clicks[eu-int8]", "int8")
    'tests/test_sla.py::test_clicks[eu]'
    """
    start = nodeid.find("[", nodeid.find("::"))
    name, inside = nodeid[:start], nodeid[start + 1 : -1]
    if start < 0 or inside == student:
        return nodeid if start < 0 else name
    return f"{name}[{f'-{inside}-'.replace(f'-{student}-', '-', 1)[1:-1]}]"


def _other(then: str, now: str) -> bool:
    """Whether two models are known to differ; of those that only have an identity, only the kind is compared."""
    (kind_then, _, of_then), (kind_now, _, of_now) = then.partition(":"), now.partition(":")
    unknown = of_then.startswith("object-") or of_now.startswith("object-")
    return kind_then != kind_now if unknown else then != now


class Baseline:
    """An earlier report, looked up gate by gate.

    Args:
        report: the JSON report.
        path: where it came from, for messages.
    """

    def __init__(self, report: Mapping[str, Any], path: str) -> None:
        self.report = report
        self.path = path
        self._gates: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        self._alike: dict[tuple[str, str, str], dict[str, list[Mapping[str, Any]]]] = {}
        for gate in report["gates"]:
            self._gates.setdefault(gate["kpi"], {}).setdefault(gate["student"], []).append(gate)
            alike = self._alike.setdefault((gate["kpi"], gate["student"], _key(gate["options"])), {})
            alike.setdefault(gate["nodeid"], []).append(gate)

    @classmethod
    def read(cls, path: Path, catalogue: Mapping[str, object]) -> Baseline:
        """Read a report.

        Args:
            path: of the report.
            catalogue: the KPIs that this version knows, for a report whose gates do not say what theirs are.

        Raises:
            UsageMistake: it cannot be read, is not a report, or is one of a newer schema.
        """
        return cls(explained(read_report(path), catalogue), str(path))

    def told(self) -> dict[str, Any]:
        """Return what a report says of its baseline: where it is, and the machine of it."""
        return {"path": self.path, "environment": self.report.get("environment", {})}

    def knows_any(self, kpis: Sequence[str]) -> bool:
        """Whether it has a gate on one of these KPIs; else it is another project's."""
        return any(kpi in self._gates for kpi in kpis)

    def find(self, kpi: str, student: str, options: Mapping[str, Any], nodeid: str) -> Entry | str:
        """Return what is known of a gate, or why nothing is.

        Args:
            kpi: the KPI's name.
            student: the student's label.
            options: measurement options as the report has them.
            nodeid: of the item, which tells gates apart that are equal otherwise. A value that a test recorded is
                that test's alone.
        """
        named = self._gates.get(kpi, {})
        if not named:
            return f"{self.path} has no gate on {kpi}"
        if student not in named:
            others = ", ".join(sorted(map(repr, named)))
            return f"{self.path} has {kpi} of {others}, and not of {student!r}"
        options = json_object(dict(options))
        by_item = self._alike.get((kpi, student, _key(options)), {})
        if not by_item:
            first = named[student][0]["options"]
            return f"{self.path} has {kpi} of {student} with other options: {_told(first, options)}"
        if nodeid in by_item:
            return self._only(by_item[nodeid], kpi, student)
        alike = [gate for gates in by_item.values() for gate in gates]
        test = without_student(nodeid, student)
        alike = [gate for gate in alike if not _is_recorded(gate) or without_student(gate["nodeid"], student) == test]
        if not alike:
            return f"{self.path} has {kpi} of {student} recorded by other tests, and not by {test}"
        return self._only(alike, kpi, student)

    def _only(self, chosen: Sequence[Mapping[str, Any]], kpi: str, student: str) -> Entry | str:
        """Return what gates know that are one, or why it is not known which is meant."""
        values = {json.dumps(gate["readings"]["student"], sort_keys=True) for gate in chosen}
        if len(values) > 1:
            where = ", ".join(gate["nodeid"] for gate in chosen[:3])
            return f"{self.path} has several students {student!r} with {kpi}: {where}. Give them different names"
        return self._entry(chosen[0])

    def _entry(self, gate: Mapping[str, Any]) -> Entry | str:
        reading = gate["readings"]["student"]
        if reading is None or reading["value"] is None:
            return f"in {self.path} it has no value ({gate['verdict']}: {gate['reason']})"
        return Entry(
            reading=reading_of(reading),
            reference=reference_of(gate.get("reference")),
            data=self.data_of(gate),
            form=self.form_of(gate),
            path=self.path,
            inconclusive=gate["verdict"] == "inconclusive",
            teacher=_teacher_of(gate),
            settings={**self.report.get("settings", {}), **gate.get("settings", {})},
        )

    def data_of(self, gate: Mapping[str, Any]) -> str | None:
        """Return the hash of the samples that a gate was judged on, where that is known."""
        return cast("str | None", self._samples(gate).get("hash"))

    def form_of(self, gate: Mapping[str, Any]) -> str | None:
        """Return the form of their inputs, for a gate on what it costs to answer."""
        return cast("str | None", self._samples(gate).get("form")) if gate.get("of_inputs") else None

    def _samples(self, gate: Mapping[str, Any]) -> Mapping[str, Any]:
        notes: Mapping[str, Any] = self.report.get("data", {}).get(gate.get("suite", ""), {})
        return notes


def read_report(path: Path) -> dict[str, Any]:
    """Read a JSON report of this schema, or an older one.

    Raises:
        UsageMistake: it cannot be read, is cut off, is not a report, or is one of a newer schema.
    """
    try:
        text = regular_file(path, MOST_BYTES).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageMistake(f"cannot read {path}: it is not text. {WRITE_ONE}") from error
    except (OSError, UsageMistake) as error:
        problem = str(error) if isinstance(error, UsageMistake) else f"cannot read {path}: {error.strerror or error}"
        raise UsageMistake(f"{problem}. {WRITE_ONE}") from error
    if not text.strip():
        raise UsageMistake(f"{path} is empty. {WRITE_ONE}")
    try:
        report = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise UsageMistake(f"{path} is not JSON, or only a part of it: {message_of(error)}. {WRITE_ONE}") from error
    if not isinstance(report, dict) or "schema_version" not in report:
        raise UsageMistake(f"{path} is not a report of pytest-modelbench: it has no schema_version. {WRITE_ONE}")
    version = report["schema_version"]
    if version != SCHEMA_VERSION:
        raise UsageMistake(
            f"{path} has schema_version {shown(version)}, and this version of pytest-modelbench reads "
            f"{SCHEMA_VERSION!r}. Update pytest-modelbench, or write the baseline again"
        )
    if not has(report, {"gates": are(_is_gate)}, _REPORT):
        raise UsageMistake(f"{path} is not a report of pytest-modelbench: its gates cannot be read. {WRITE_ONE}")
    return report


_REPORT: Form = {
    "data": lambda value: is_table(value) and all(map(is_table, value.values())),
    "environment": is_table,
    "settings": is_table,
}
_GATE: Form = {
    "kpi": is_text,
    "student": is_text,
    "nodeid": is_text,
    "readings": lambda value: has(value, {"student": maybe(is_reading)}),
    "options": is_table,
    "verdict": is_text,
    "reason": is_text,
}
_MAYBE: Form = {"settings": is_table, "reference": maybe(is_reference), "suite": is_text, **FORM_OF_FACTS}


def _is_gate(gate: Any) -> bool:
    """Whether something has every field of a gate that is read here, each in its form."""
    return has(gate, _GATE, _MAYBE)


def _key(options: Mapping[str, Any]) -> str:
    """Return options as a key: 2 and 2.0 are one number."""
    whole = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in options.items()
    }
    return json.dumps(whole, sort_keys=True)


def _told(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return ", ".join(f"{name} was {then.get(name)!r} and is {now.get(name)!r}" for name in names)


def reading_of(reading: Mapping[str, Any]) -> Reading:
    """Return a reading as a report has it; what JSON cannot hold (an infinite end) is unknown."""
    return Reading(
        estimate=Estimate(value=reading["value"], low=reading["ci_low"], high=reading["ci_high"]),
        unit=reading["unit"],
        n=reading["n"],
        confidence=reading["confidence"],
        provenance=reading["provenance"],
        method=reading["method"],
    )


def reference_of(reference: Mapping[str, Any] | None) -> Reference | None:
    """Return what a value was measured beside, as a report or a contract has it."""
    if reference is None or reference["ratio"] is None:
        return None
    ratio = Estimate(value=reference["ratio"], low=reference["ci_low"], high=reference["ci_high"])
    return Reference(
        kind=reference["kind"], hash=reference["hash"], ratio=ratio, settings=reference.get("settings", {})
    )


def _teacher_of(gate: Mapping[str, Any]) -> Reading | None:
    reading = gate["readings"].get("teacher")
    return reading_of(reading) if is_reading(reading) and reading["value"] is not None else None


def _is_recorded(gate: Mapping[str, Any]) -> bool:
    reading = gate["readings"]["student"]
    return reading is not None and reading["provenance"] == "recorded"
