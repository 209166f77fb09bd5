"""Suites of fake models for real pytest runs, and their reports, each checked against the schema."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest

from pytest_modelbench.reports.json_report import report_schema

FAKES = """
import itertools
import numpy as np
import pytest
from pytest_modelbench import EvalData, FakeClock, FakeModel

CLOCK = FakeClock()
ROWS = 200
INPUTS = np.arange(ROWS, dtype=float).reshape(ROWS, 1)
TARGETS = np.arange(ROWS) % 10

def answers(wrong=0, nan_class=None):
    '''Logits that are right but for the first `wrong` samples, and NaN for one class.'''
    def outputs(batch):
        rows = np.asarray(batch)[:, 0].astype(int)
        logits = np.zeros((len(rows), 10))
        logits[np.arange(len(rows)), TARGETS[rows]] = 5.0
        logits[rows < wrong] = np.roll(logits[rows < wrong], 1, axis=1)
        if nan_class is not None:
            logits[TARGETS[rows] == nan_class] = np.nan
        return logits
    return outputs

def teacher(**changes):
    return FakeModel(**{**dict(outputs=answers(2), cost_ns=1e6, clock=CLOCK, parameters=100_000, size_bytes=400_000),
                        **changes})

def student(**changes):
    return FakeModel(**{**dict(outputs=answers(4), cost_ns=4e5, clock=CLOCK, parameters=10_000, size_bytes=40_000),
                        **changes})

TEACHER, STUDENT = teacher(), student()

@pytest.fixture(scope="session")
def teacher_model():
    return TEACHER

@pytest.fixture(scope="session")
def student_model():
    return STUDENT

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, TARGETS)
"""


@dataclass
class Finished:
    """A finished run: pytester's result, and the JSON report if there was one."""

    result: pytest.RunResult
    report: dict[str, Any] = field(default_factory=dict)

    def gate(self, kpi: str) -> dict[str, Any]:
        """Return the one gate of a KPI."""
        (gate,) = [gate for gate in self.report["gates"] if gate["kpi"] == kpi]
        return dict(gate)

    @property
    def verdicts(self) -> dict[str, str]:
        """Return the verdict of every gate by node id and KPI."""
        return {f"{gate['nodeid']}:{gate['kpi']}": gate["verdict"] for gate in self.report["gates"]}

    @property
    def text(self) -> str:
        """Return everything that was printed."""
        return str(self.result.stdout) + str(self.result.stderr)


Judge = Callable[..., Finished]


@functools.cache
def schema_of_reports() -> jsonschema.Draft202012Validator:
    """Return the validator of the report's schema, which is itself checked once: that takes longer than a run."""
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report that follows the schema."""
    schema_of_reports().validate(report)
    return report


def read_report(pytester: pytest.Pytester, name: str = "report.json") -> dict[str, Any]:
    """Read a JSON report, checked against the schema; empty where there is none."""
    path = pytester.path / name
    if not path.exists():
        return {}
    report = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return dict(checked(report))


def interruptible() -> None:
    """Let SIGINT arrive, also where these tests run in the background and ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
