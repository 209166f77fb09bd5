"""A KPI's row says everything: nothing is decided by a name or by the module of a derivation."""

from __future__ import annotations

import ast
import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tables import GUESS, STUDENT, FixedSources, evidence

import pytest_modelbench
from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.catalogue import BUILT_IN, CATALOGUE, FAMILIES, in_files_of_their_own
from pytest_modelbench.kpis.kpi import ROOM
from pytest_modelbench.probes.kinds import TOKEN_ENERGY, TOKEN_TIMES
from pytest_modelbench.results import Verdict
from pytest_modelbench.settings import Settings

ROOT = Path(pytest_modelbench.__file__).parent


def test_a_moved_derivation_still_fits_labels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a KPI of one label per sample says so: under another module's name it refuses regression as before."""
    import pytest_modelbench.kpis.accuracy.shares as moved

    monkeypatch.setitem(__import__("sys").modules, "derive_vision", moved)
    gate = assigned(read_gate(("top1_accuracy", ">= 90%"), {}, None, "marker"))
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
        "response_p90",
        "response_p95",
        "response_p99",
        "response_p99_9",
        "time_to_first_token_p90",
        "time_to_first_token_p95",
        "time_to_first_token_p99",
        "time_per_output_token_p90",
        "time_per_output_token_p99",
        "inter_token_latency_p99",
        "generation_latency_p90",
        "generation_latency_p99",
    }


def test_what_kinds_imply() -> None:
    """The fields of each KPI's kind are those that KPIs had by their probe's name."""
    of = {name: {kpi.name for kpi in CATALOGUE.values() if getattr(kpi, name)} for name in ("of_machine", "timed")}
    assert of["of_machine"] == {
        *(name for name in CATALOGUE if name.startswith("latency_")),
        *(name for name in CATALOGUE if name.startswith("response_")),
        "goodput",
        "max_qps",
        "throughput",
        "cold_start",
        "energy_per_1k",
        "power",
        "carbon_per_1m",
        *(name for name, kpi in CATALOGUE.items() if kpi.probe in {TOKEN_TIMES, TOKEN_ENERGY}),
    }
    assert of["timed"] == {
        *(name for name in CATALOGUE if name.startswith("latency_")),
        "throughput",
        "compile_gain",
        "sparse_gain",
    }
    assert {kpi.name for kpi in CATALOGUE.values() if not kpi.needs_data} == {
        "parameters",
        "nonzero_parameters",
        "sparsity",
        "size_on_disk",
        "cache_bytes_per_token",
        "prediction_drift",
        "confidence_drift",
    }


ONE_FILE = """
from pytest_modelbench.kpis.kpi import Kpi
from pytest_modelbench.probes.kinds import PREDICTIONS

KPI = Kpi(
    name="share_of_threes", pillar="quality", unit="", better="lower", definition="answers of class 3",
    method="counted", source="a test", probe=PREDICTIONS, derive=f"{__name__}:threes",
)

def threes(question, measurements):
    from pytest_modelbench.kpis.evidence import exact_evidence
    from pytest_modelbench.results import Estimate, Reading

    def reading(role):
        count = float((measurements.predictions(role).labels == 3).sum())
        return Reading(estimate=Estimate.exact(count), unit="", method="counted")

    yield exact_evidence(question, reading)
"""


def test_one_file_is_a_kpi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `kpi_NAME.py` in a family is found and judged as it is: no list elsewhere names it."""
    file = tmp_path / "brought" / "family" / "kpi_threes.py"
    file.parent.mkdir(parents=True)
    file.write_text(ONE_FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    (kpi,) = in_files_of_their_own(tmp_path / "brought", "brought")
    monkeypatch.setitem(BUILT_IN, kpi.name, kpi)
    found = evidence("share_of_threes", "reduction >= 0%")
    assert found.student.value == (GUESS == 3).sum()
    file.write_text("KPI = 'share_of_threes'")
    monkeypatch.delitem(sys.modules, "brought.family.kpi_threes")
    importlib.invalidate_caches()
    with pytest.raises(TypeError, match="KPI is a str, expected a Kpi"):
        list(in_files_of_their_own(tmp_path / "brought", "brought"))


def test_no_name_is_taken_twice() -> None:
    """A second row of a name would replace the first silently."""
    rows = [*FAMILIES, *in_files_of_their_own(ROOT / "kpis", ROOM)]
    assert len({kpi.name for kpi in rows}) == len(rows) == len(BUILT_IN)


def test_families_do_not_import_each_other() -> None:
    """What several families derive from stands beside them, so that one can be read and moved without the others."""
    families = {path.parent.name for path in (ROOT / "kpis").glob("*/rows.py")} | {"fidelity"}
    assert {"accuracy", "footprint", "stability"} <= families
    for path in (ROOT / "kpis").glob("*/*.py"):
        others = [f"pytest_modelbench.kpis.{family}" for family in families - {path.parent.name}]
        assert not [other for other in others if other in path.read_text()], path


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_compares_the_name_of_a_kind(path: Path) -> None:
    """What a kind implies is a field of it: no file compares `.probe` with a text or looks it up among texts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            kinds = [side for side in sides if side.endswith((".probe", ".probe.name"))]
            texts = [side for side in sides if side.startswith(("'", "{'", "('"))]
            assert not (kinds and texts), f"{path}:{node.lineno} {ast.unparse(node)}"
