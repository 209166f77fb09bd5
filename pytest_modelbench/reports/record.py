"""The report record: what every report is made from, gathered item by item, in plain JSON types."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.probes.machine import environment
from pytest_modelbench.reports.diagnosis import diagnose
from pytest_modelbench.reports.distillation import distillation
from pytest_modelbench.reports.tradeoff import tradeoff
from pytest_modelbench.results import SCHEMA_VERSION, Verdict, json_object

ROLES = ("teacher", "previous")


class Record:
    """Gathers gates, tests and session data as they arrive, from this process or from workers."""

    def __init__(self) -> None:
        self.gates: dict[tuple[str, str], dict[str, Any]] = {}
        self.tests: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.timings: list[dict[str, Any]] = []
        self.diagnoses: list[dict[str, Any]] = []
        self.benchmarks: dict[str, dict[str, Any]] = {}
        self.data: dict[str, dict[str, Any]] = {}
        self.baseline: dict[str, Any] | None = None
        self.contract: dict[str, Any] | None = None
        self.environment: dict[str, Any] = {}
        self.mistakes: list[str] = []
        self.command = ""
        """What is typed to run the session's tests again, without their names."""
        self.run: dict[str, Any] = {}
        """When the session started and ended, and the version of the code."""
        self.crashed = False

    def expect(self, gates: Sequence[dict[str, Any]]) -> None:
        """Take note of collected gates, which are `not_run` until something is heard of them."""
        for gate in gates:
            self.gates.setdefault((gate["nodeid"], gate["kpi"]), gate)

    def hear(self, nodeid: str, gates: Sequence[Mapping[str, Any]], worker: str | None) -> None:
        """Take the verdicts that ride on an item's report."""
        for gate in gates:
            self.gates[nodeid, gate["kpi"]] = {"nodeid": nodeid, "outcome": None, **gate, "worker": worker}

    def finish_phase(self, nodeid: str, outcome: str, duration_s: float) -> None:
        """Add one phase of an item; the worst outcome stands."""
        test = self.tests.setdefault(nodeid, {"nodeid": nodeid, "outcome": "passed", "duration_s": 0.0})
        test["duration_s"] += duration_s
        if outcome != "passed" and test["outcome"] not in {"failed", "error"}:
            test["outcome"] = outcome

    def describe_test(self, nodeid: str, facts: Mapping[str, Any]) -> None:
        """Take what else is known of an item: where it is, the edge case it ran, and for which student."""
        self.tests[nodeid].update(facts)

    def edge_cases(self) -> int:
        """Return the number of items that ran an edge case."""
        return sum("edge_case" in test for test in self.tests.values())

    def judged_anything(self) -> bool:
        """Whether some gate came to a verdict on the student, or some edge case was run."""
        nothing = {Verdict.NOT_APPLICABLE, Verdict.NOT_RUN}
        gates = any(gate["verdict"] not in nothing for gate in self.gates.values())
        return gates or any("edge_case" in test and test["outcome"] != "skipped" for test in self.tests.values())

    def measured_anything(self) -> bool:
        """Whether some gate has a value of the student's."""
        return any(gate["readings"]["student"] is not None for gate in self.gates.values())

    def add_session(self, data: Mapping[str, Any]) -> None:
        """Take what one process knows beyond its items: models, timings, environment, mistakes."""
        self.expect(data.get("collected", []))
        for name, notes in data.get("models", {}).items():
            model = self.models.setdefault(name, {})
            passes = model.get("forward_passes", 0) + notes.get("forward_passes", 0)
            answers = {**model.get("answers", {}), **notes.get("answers", {})}
            model.update({**notes, "answers": answers} if answers else notes)
            model["forward_passes"] = passes
        self.timings += data.get("timings", [])
        self.diagnoses += [diagnosis for diagnosis in data.get("diagnoses", []) if diagnosis not in self.diagnoses]
        self.benchmarks.update(data.get("benchmarks", {}))
        self.data = {
            suite: {**self.data.get(suite, {}), **data.get("data", {}).get(suite, {})}
            for suite in {**self.data, **data.get("data", {})}
        }
        self.baseline = self.baseline or data.get("baseline")
        self.contract = self.contract or data.get("contract")
        self.environment = self.environment or dict(data.get("environment", {}))
        self.mistakes += [mistake for mistake in data.get("mistakes", []) if mistake not in self.mistakes]

    def with_session(self, data: Mapping[str, Any]) -> Record:
        """Return a copy that also knows what the running process knows by now."""
        record = copy.copy(self)
        record.models = {name: dict(notes) for name, notes in self.models.items()}
        record.timings, record.mistakes, record.data = list(self.timings), list(self.mistakes), dict(self.data)
        record.diagnoses = list(self.diagnoses)
        record.add_session(data)
        return record

    def ordered_gates(self) -> list[dict[str, Any]]:
        """Return all gates with their items' outcomes."""
        gates = []
        for (nodeid, _), gate in self.gates.items():
            test = self.tests.get(nodeid)
            gates.append({**gate, "outcome": test["outcome"] if test else None})
        return gates

    def counts(self) -> dict[str, int]:
        """Return the number of gates by verdict."""
        verdicts = Counter(gate["verdict"] for gate in self.gates.values())
        return {verdict.value: verdicts[verdict.value] for verdict in Verdict}

    def complete(self, exit_status: int | None) -> bool:
        """Whether every collected gate's item ran to its end, or was deliberately left out; not while items run."""
        unheard = any(nodeid not in self.tests for nodeid, _ in self.gates)
        return exit_status in {0, 1, 5} and not unheard and not self.crashed

    def to_json(self, exit_status: int | None, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON report."""
        models = {name: notes for name, notes in self.models.items() if name not in ROLES}
        settings, gates = settings_that_hold(settings, self.ordered_gates())
        report = json_object(
            {
                "schema_version": SCHEMA_VERSION,
                "complete": self.complete(exit_status),
                "exit_status": exit_status,
                "command": self.command,
                "run": self.run,
                "environment": self.environment or environment(final=exit_status is not None),
                "settings": settings,
                "models": {**{role: self.models.get(role) for role in ROLES}, "students": models},
                "data": self.data,
                "baseline": self.baseline,
                "contract": self.contract,
                "gates": None,
                "tests": None,
                "timings": self.timings,
                "tradeoff": tradeoff(gates),
                "distillation": distillation(gates),
                "mistakes": self.mistakes,
                "diagnosis": [*diagnose(self.timings), *self.diagnoses],
                "summary": self.counts(),
            }
        )
        return {**report, "gates": gates, "tests": list(self.tests.values())}  # which are plain JSON types already


def settings_that_hold(
    settings: Mapping[str, Any], gates: list[dict[str, Any]]
) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return the settings that hold for the gates, and gates that name only settings of their own.

    What all gates have alike, and otherwise than the session, is the report's.
    """
    own = gates[0].get("settings", {}) if gates else {}
    if not own or any(gate.get("settings", {}) != own for gate in gates):
        return settings, gates
    return {**settings, **own}, [{**gate, "settings": {}} for gate in gates]
