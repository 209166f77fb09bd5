"""The fixture profiler and the KPIs of a profile, on real torch modules."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.plugin.profiler_fixture import NvtxRanges

MODELS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, layers, copies=0):
        super().__init__()
        self.layers, self.copies = nn.Sequential(*(nn.Linear(40, 40) for _ in range(layers))), copies
        self.head = nn.Linear(40, 10)
    def forward(self, x):
        x = self.layers(x.float().expand(-1, 40))
        for _ in range(self.copies):
            x = x.double().float()
        return self.head(x)

@pytest.fixture(scope="session")
def teacher_model():
    return Net(8)

@pytest.fixture(scope="session")
def student_model():
    return Net(2)
"""
COPYING = """
@pytest.fixture(scope="session")
def student_model():
    return Net(2, copies=50)
"""
SUITE = """
import pytest

@pytest.mark.kpi("operator_count", "ratio <= 0.6")
@pytest.mark.kpi("top_operator_share")
@pytest.mark.kpi("copy_share")
def test_operators(): ...
"""


def test_kpis_of_a_profile(judge: Judge) -> None:
    """The student dispatches fewer operators, and its reading names the largest."""
    finished = judge(SUITE, more=MODELS)
    assert finished.result.ret == 0, finished.text
    counts = finished.gate("operator_count")["readings"]
    assert counts["teacher"]["value"] - counts["student"]["value"] == 6
    assert "aten::" in finished.gate("top_operator_share")["readings"]["student"]["method"]


def test_copies_are_seen(judge: Judge) -> None:
    """A student that casts to and fro spends its time on it."""
    suite = SUITE.replace('"copy_share"', '"copy_share", "<= 5%"')
    gate = judge(suite, more=MODELS + COPYING).gate("copy_share")
    assert gate["verdict"] == "fail"
    assert gate["readings"]["student"]["value"] > 50


ANNOTATED = """
class Annotated(Net):
    def forward(self, x):
        with torch.profiler.record_function("all of it"):
            return super().forward(x)

@pytest.fixture(scope="session")
def student_model():
    return Annotated(2, copies=50)
"""


@pytest.mark.parametrize(
    "student", ["Annotated(2, copies=50)", "torch.jit.script(Net(2, copies=50))"], ids=["annotated", "script"]
)
@pytest.mark.filterwarnings("default")
def test_ranges_are_no_operators(judge: Judge, student: str) -> None:
    """What stands in a range of one's own, or of TorchScript's, counts as it does outside of it."""
    suite = SUITE.replace('"copy_share"', '"copy_share", "<= 5%"')
    plain = judge(suite, more=MODELS + COPYING)
    found = judge(suite, more=MODELS + ANNOTATED.replace("Annotated(2, copies=50)", student))
    counts = [one.gate("operator_count")["readings"]["student"]["value"] for one in (plain, found)]
    assert counts[1] >= 100
    assert found.gate("copy_share")["verdict"] == "fail"
    assert "aten::" in found.gate("top_operator_share")["readings"]["student"]["method"]


def test_students_of_other_layouts_have_profiles_of_their_own(judge: Judge) -> None:
    """Their weights are equal, and what they do is not."""
    layouts = """
class Images(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 10, 3, padding=1)
    def forward(self, x):
        return self.first(x.expand(-1, 3, 16, 16)).contiguous().mean((2, 3))

@pytest.fixture(scope="session", params=["plain", "last"])
def student_model(request):
    made = Images()
    return made.to(memory_format=torch.channels_last) if request.param == "last" else made

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(torch.rand(8, 3, 1, 1), torch.zeros(8).long())
"""
    suite = 'import pytest\n\n@pytest.mark.kpi("copy_share")\ndef test_copies(): ...\n'
    readings = [gate["readings"]["student"] for gate in judge(suite, more=MODELS + layouts).report["gates"]]
    assert readings[0]["value"] != readings[1]["value"]


def test_compiled_models_have_no_count(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel holds several operators: a small count would say nothing."""
    inside = ANNOTATED.replace('"all of it"', '"## Call CompiledFxGraph abc ##"')
    gate = judge(SUITE, more=MODELS + inside).gate("operator_count")
    assert gate["verdict"] == "not_applicable"
    assert "it runs compiled" in gate["reason"]


def test_models_without_torch_have_no_operators(judge: Judge) -> None:
    """Not applicable, with the reason."""
    gate = judge(SUITE).gate("operator_count")
    assert gate["verdict"] == "not_applicable"
    assert "no operator of torch ran" in gate["reason"]


def test_profiles_in_the_report_and_as_files(judge: Judge) -> None:
    """Tables are sections of a failed item; traces, tables and memory timelines are in folders of the item."""
    Path("kept").mkdir()
    finished = judge(
        """
        def test_compare(profiler, teacher, student, eval_data):
            table = profiler.compare(teacher, student, eval_data.inputs[:8])
            assert "aten::addmm" in table
            with profiler.record("block", calls=2) as recording:
                student(eval_data.inputs[:8])
                student(eval_data.inputs[:8])
            assert recording.profile.calls == 2
            assert 0 < recording.profile.operator_count < 60
            raise AssertionError("look at the sections")
        """,
        "--modelbench-artifacts=kept/here",
        more=MODELS,
    )
    finished.result.stdout.fnmatch_lines(
        [
            "*modelbench profile: teacher*",
            "*aten::addmm*",
            "*modelbench profile: teacher and student*",
            "operator*change*",
        ]
    )
    folder = Path("kept/here/test_sla.py-test_compare")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        f"{who}.{what}"
        for who in ("teacher", "student", "block")
        for what in ("pt.trace.json", "operators.txt", "memory.json")
    }
    trace = json.loads((folder / "student.pt.trace.json").read_text())
    assert any(event.get("name") == "aten::addmm" for event in trace["traceEvents"])
    timeline = json.loads((folder / "student.memory.json").read_text())
    assert max(point["bytes"] for point in timeline) > 0
    assert [point["us"] for point in timeline] == sorted(point["us"] for point in timeline)


def test_no_latency_inside_of_a_profile(judge: Judge) -> None:
    """A recording profiler slows every operator down: refused, whoever started it; and no profile inside of another."""
    finished = judge(
        """
        import pytest, torch

        @pytest.mark.kpi("latency_p50", "<= 1 s")
        def test_ours(profiler, kpi):
            with profiler.record():
                kpi.student

        def test_theirs(profiler, student, eval_data):
            with torch.profiler.profile():
                profiler.profile(student, eval_data.inputs[:1])

        def test_memory(profiler, memory_meter):
            with profiler.record(), memory_meter:
                pass

        def test_energy(profiler, energy_meter):
            with profiler.record(), energy_meter:
                pass
        """,
        more=MODELS,
    )
    assert (
        "latencies cannot be measured here: torch's profiler is recording" in finished.gate("latency_p50")["reason"]
    )
    for what in ("a profile cannot be taken inside of another one", "memory", "energy"):
        assert f"{what}: torch's profiler is recording" in finished.text


def test_artifacts_folder_that_cannot_be_written(judge: Judge) -> None:
    """Told before anything runs."""
    Path("taken").write_text("a file", encoding="utf-8")
    finished = judge(SUITE, "--modelbench-artifacts=taken/below", more=MODELS)
    assert finished.result.ret == 4
    assert "--modelbench-artifacts: found 'taken/below', expected a folder that can be written" in finished.text


def test_ranges_for_nsight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch sees a GPU every item's call is a range of its name, closed also when it raises."""
    events: list[str] = []
    nvtx = types.SimpleNamespace(range_push=events.append, range_pop=lambda: events.append("end"))
    cuda = types.SimpleNamespace(is_available=lambda: True, nvtx=nvtx)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    item: Any = types.SimpleNamespace(nodeid="test_sla.py::test_p99")
    ranges = NvtxRanges().pytest_runtest_call(item)
    next(ranges)
    with pytest.raises(ValueError, match="the body"):
        ranges.throw(ValueError("the body"))
    assert events == ["test_sla.py::test_p99", "end"]
