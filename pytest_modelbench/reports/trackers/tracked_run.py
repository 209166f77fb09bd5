"""A student's part of a report in neutral rows, which every tracker takes: settings, values and facts by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pytest_modelbench.reports.trackers.gate_keys import Key, keyed
from pytest_modelbench.results import Verdict, worst

Scalar = str | int | float | bool
SUBJECT = re.compile(r"\s*([a-z]+)\s*[<>=]")
FILES = frozenset(
    {
        *("json_path", "save_baseline", "benchmark_json", "markdown", "html", "openmetrics", "history", "log"),
        *("record_contract", "record_export", "export_record", "artifacts", "enabled", "plan", "students", "tiers"),
    }
)
"""Settings that say where a session writes to, or that every session has."""
PARTS = frozenset({"ci_low", "ci_high", "margin", "teacher", "baseline"})
"""What the last part of a metric's name may be besides what was measured; it has the unit of that."""
MODEL = ("kind", "class", "hash", "parameters", "size_on_disk_bytes", "device", "dtype")
MACHINE = ("processor", "machine", "logical_cpus", "gpu")
QUIET = frozenset({Verdict.NOT_APPLICABLE, Verdict.REPORTED, Verdict.NOT_RUN})
"""The verdicts that do not decide a student's."""
FAILURES = frozenset({Verdict.FAIL, Verdict.ERROR})
MOST_NAMED = 5
INTERRUPTED = 2
"""pytest's exit status after Ctrl-C, SIGTERM and pytest.exit."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A finite number with its unit; the unit of plain numbers is empty."""

    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker logs of one student.

    Names are tuples, such as `("latency_p50", "ci_low")`: each tracker joins them by its own rules.

    Attributes:
        student: the student's name.
        verdict: the worst verdict that a gate of the student reached.
        complete: whether the run came to its end.
        interrupted: whether a person or the machine ended it.
        started: when the session started, in UTC; None if an old report does not say it.
        ended: when the session ended, in UTC; None if it did not, or if an old report does not say it.
        params: settings, limits, options, units and facts about the models.
        metrics: the KPIs with their intervals, the teacher's values, and the margins of the limits.
        tags: the verdicts, the version of the code, and the machine.
        headline: one sentence for people.
    """

    student: str
    verdict: str
    complete: bool
    interrupted: bool
    started: datetime | None
    ended: datetime | None
    params: Mapping[Key, Scalar]
    metrics: Mapping[Key, Metric]
    tags: Mapping[str, str]
    headline: str


def tracked_runs(report: Mapping[str, Any]) -> list[TrackedRun]:
    """Return a run for each student that has a gate or an edge case that was run.

    Args:
        report: the JSON report, of a session or read from a file.
    """
    students: dict[str, list[Mapping[str, Any]]] = {}
    for gate in report["gates"]:
        students.setdefault(gate["student"], []).append(gate)
    cases = _edge_cases(report)
    students |= {student: [] for student in cases if student not in students}
    return [
        _run(student, gates, cases.get(student, []), report)
        for student, gates in students.items()
        if cases.get(student) or any(gate["verdict"] != Verdict.NOT_RUN for gate in gates)
    ]


def _edge_cases(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the outcomes of the edge cases by student."""
    outcomes: dict[str, list[str]] = {}
    for test in report.get("tests", []):
        if "edge_case" in test and test.get("student") and test["outcome"] != "skipped":
            outcomes.setdefault(test["student"], []).append(test["outcome"])
    return outcomes


def _run(
    student: str, gates: Sequence[Mapping[str, Any]], cases: Sequence[str], report: Mapping[str, Any]
) -> TrackedRun:
    by_key = keyed(gates)
    metrics = dict(_metrics(by_key))
    verdict = _verdict(gates, cases)
    session = report.get("run") or {}
    return TrackedRun(
        student=student,
        verdict=verdict,
        complete=bool(report["complete"]),
        interrupted=report["exit_status"] in {None, INTERRUPTED},
        started=_time(session.get("started")),
        ended=_time(session.get("ended")),
        params={**dict(_params(student, by_key, report)), **_units(metrics)},
        metrics=metrics,
        tags=dict(_tags(student, by_key, report)) | {"modelbench.verdict": verdict} | _case_tag(cases),
        headline=_headline(student, verdict, gates, report),
    )


def _verdict(gates: Sequence[Mapping[str, Any]], cases: Sequence[str]) -> str:
    verdicts = [Verdict(gate["verdict"]) for gate in gates]
    if any(outcome in {"failed", "error"} for outcome in cases):
        verdicts.append(Verdict.FAIL)
    decided = [verdict for verdict in verdicts if verdict not in QUIET]
    return worst(decided or verdicts or [Verdict.PASS]).value


def _case_tag(cases: Sequence[str]) -> dict[str, str]:
    failed = sum(outcome in {"failed", "error"} for outcome in cases)
    return {"modelbench.edge_cases": f"{len(cases)} run, {failed} failed"} if cases else {}


def _headline(student: str, verdict: str, gates: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    bad = list(dict.fromkeys(gate["kpi"] for gate in gates if Verdict(gate["verdict"]) in FAILURES))
    more = f" and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
    named = f" ({', '.join(bad[:MOST_NAMED])}{more})" if bad else ""
    cut = "" if report["complete"] else ". The run did not come to its end: this is what was known by then"
    return f"pytest-modelbench: {verdict} for {student}, {len(gates)} gate{'s' * (len(gates) != 1)}{named}{cut}"


def _params(
    student: str, by_key: Mapping[Key, Mapping[str, Any]], report: Mapping[str, Any]
) -> Iterator[tuple[Key, Scalar]]:
    models, settings = report["models"], report["settings"]
    specs = {named["name"]: named["spec"] for named in settings.get("students") or [] if named}
    yield ("student",), student
    for role, notes in (("model", models["students"].get(student)), ("teacher", models.get("teacher"))):
        yield from (((role, name), value) for name in MODEL if (value := _scalar((notes or {}).get(name))) != "")
    if spec := specs.get(student, specs.get(None)):
        yield ("model", "spec"), spec
    for name, value in settings.items():
        if name not in FILES and (text := _scalar(value)) != "":
            yield ("settings", name), text
    for key, gate in by_key.items():
        if gate["limits"]:
            yield ("limit", *key), "; ".join(limit["text"] for limit in gate["limits"])
        for name, value in {**gate["options"], **gate.get("settings", {})}.items():
            if (text := _scalar(value)) != "":
                yield ("option", *key, name), text


def _units(metrics: Mapping[Key, Metric]) -> dict[Key, Scalar]:
    return {("unit", *key): metric.unit for key, metric in metrics.items() if metric.unit and key[-1] not in PARTS}


def _scalar(value: Any) -> Scalar:
    """Return a setting as one value; "" for what was not given."""
    if isinstance(value, Mapping):
        value = value["spec"] if "spec" in value else [f"{name}={part}" for name, part in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(str(_scalar(part)) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float) else ""


def _metrics(by_key: Mapping[Key, Mapping[str, Any]]) -> Iterator[tuple[Key, Metric]]:
    """Yield every number that a gate has; a value that is missing or not finite has no metric."""
    margins: dict[Key, Metric] = {}
    for key, gate in by_key.items():
        for role, part in (("student", ()), ("teacher", ("teacher",)), ("baseline", ("baseline",))):
            reading = gate["readings"].get(role)
            if reading is not None:
                yield from _with_interval((*key, *part), reading, ends=role == "student")
        for limit in gate["limits"]:
            subject = _subject(limit["text"])
            if subject:
                yield from _with_interval((*key, *subject), limit, ends=True)
            name, margin = (*key, *subject, "margin"), _metric(limit.get("margin"), limit["unit"])
            if margin is not None and (name not in margins or margin.value < margins[name].value):
                margins[name] = margin
    yield from margins.items()


def _with_interval(key: Key, reading: Mapping[str, Any], *, ends: bool) -> Iterator[tuple[Key, Metric]]:
    """Yield a value and the ends of its interval; an exact value has none."""
    low, value, high = (_metric(reading.get(name), reading["unit"]) for name in ("ci_low", "value", "ci_high"))
    parts = {key: value}
    if ends and not low == value == high:
        parts |= {(*key, "ci_low"): low, (*key, "ci_high"): high}
    yield from ((name, metric) for name, metric in parts.items() if metric is not None)


def _metric(value: Any, unit: str) -> Metric | None:
    """Return a finite number with its unit, a fraction in percent as people write it; None for anything else."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if unit == "fraction":
        return Metric(value=100.0 * value, unit="%")
    return Metric(value=value + 0.0, unit=unit)  # which makes 0 of -0


def _subject(text: str) -> Key:
    """Return what a limit compares, such as the speedup; nothing for a limit on the value itself.

    >>> _subject("speedup >= 2x"), _subject("<= 120 ms")
    (('speedup',), ())
    """
    match = SUBJECT.match(text)
    return (match[1],) if match else ()


def _tags(
    student: str, by_key: Mapping[Key, Mapping[str, Any]], report: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    environment, version = report["environment"], report.get("run") or {}
    yield "modelbench.complete", str(bool(report["complete"])).lower()
    yield "modelbench.exit_status", str(report["exit_status"])
    for name in ("commit", "branch", "dirty"):
        if (value := version.get(name)) is not None:
            yield f"modelbench.{name}", str(value).lower() if name == "dirty" else str(value)
    machine = [str(value) for name in MACHINE if (value := environment.get(name)) is not None]
    if machine:
        yield "modelbench.machine", ", ".join(machine)
    for name in ("python", "platform"):
        if environment.get(name):
            yield f"modelbench.{name}", str(environment[name])
    for package, release in (environment.get("packages") or {}).items():
        if release:
            yield f"modelbench.package.{package}", str(release)
    models = {"model": report["models"]["students"].get(student), "teacher": report["models"].get("teacher")}
    for role, notes in models.items():
        if notes and notes.get("hash"):
            yield f"modelbench.{role}", notes["hash"]
    if report.get("command"):
        yield "modelbench.command", report["command"]
    for key, gate in by_key.items():
        yield ".".join(("modelbench.verdict", *key)), gate["verdict"]


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError):
        return None
