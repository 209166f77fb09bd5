"""A KPI's row says everything: nothing is decided by a name or by the module of a derivation."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tables import STUDENT, FixedSources

import pytest_modelbench
from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.gate import read_gate
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.results import Verdict
from pytest_modelbench.settings import Settings

ROOT = Path(pytest_modelbench.__file__).parent


def test_a_moved_derivation_still_fits_labels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a KPI of one label per sample says so: under another module's name it refuses regression as before."""
    import pytest_modelbench.kpis.accuracy.shares as moved

    monkeypatch.setitem(__import__("sys").modules, "derive_vision", moved)
    gate = read_gate(("top1_accuracy", ">= 90%"), {}, None, "marker")
    gate = replace(gate, kpi=replace(gate.kpi, derive="derive_vision:top1_accuracy"))
    values = STUDENT[:, :1]
    data = EvalData(np.arange(len(values), dtype=float)[:, None], values, task="regression")
    plan = ItemPlan(nodeid="test", student="student", gates=(gate,), settings=Settings())
    session = BenchSession()
    session.plan([plan])
    result, _ = session.judge(plan, gate, FixedSources(values, values, data))
    assert result.verdict is Verdict.ERROR
    assert "is for one label per sample, and the task is regression" in result.reason


def test_machine_and_tails_are_said_by_the_row() -> None:
    """Under another name a row means the same."""
    cold, tail = CATALOGUE["cold_start"], CATALOGUE["latency_p99"]
    assert replace(cold, name="time_to_first_token").of_machine
    assert replace(tail, name="response_p99").tail
    assert not CATALOGUE["latency_p50"].tail
    assert not CATALOGUE["latency_mean"].tail
    assert {name for name, kpi in CATALOGUE.items() if kpi.tail} == {
        "latency_p90",
        "latency_p95",
        "latency_p99",
        "latency_p99_9",
    }


def test_what_kinds_imply() -> None:
    """The fields of each KPI's kind are those that KPIs had by their probe's name."""
    of = {name: {kpi.name for kpi in CATALOGUE.values() if getattr(kpi, name)} for name in ("of_machine", "timed")}
    assert of["of_machine"] == {
        *(name for name in CATALOGUE if name.startswith("latency_")),
        "throughput",
        "cold_start",
        "energy_per_1k",
        "power",
        "carbon_per_1m",
    }
    assert of["timed"] == {
        *(name for name in CATALOGUE if name.startswith("latency_")),
        "throughput",
        "compile_gain",
    }
    assert {kpi.name for kpi in CATALOGUE.values() if not kpi.needs_data} == {
        "parameters",
        "nonzero_parameters",
        "sparsity",
        "size_on_disk",
    }


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_compares_the_name_of_a_kind(path: Path) -> None:
    """What a kind implies is a field of it: no file compares `.probe` with a text or looks it up among texts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            kinds = [side for side in sides if side.endswith((".probe", ".probe.name"))]
            texts = [side for side in sides if side.startswith(("'", "{'", "('"))]
            assert not (kinds and texts), f"{path}:{node.lineno} {ast.unparse(node)}"
