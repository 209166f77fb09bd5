"""Students as they are deployed: every gate judges the exported file, which is made once, in a fresh process."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import pytest
from suites import Judge

from pytest_modelbench.bench import deployments
from pytest_modelbench.exports.options import ExportOptions

pytestmark = pytest.mark.slow

NETS = '''
import os
import sys
import time
from pathlib import Path
import torch
from torch import nn

LOG = Path(__file__).with_name("built")

def built(what, width):
    """Say in which kind of process a net is built: this one, or one that was asked for something."""
    asked = [part for part in sys.argv if part.startswith("--modelbench-child=")]
    kind = Path(asked[0].partition("=")[2]).read_text().split('"kind": "')[1].split('"')[0] if asked else "run"
    with LOG.open("a") as file:
        file.write(f"{kind} {what}\\n")
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))

def teacher(): return built("teacher", 64)
def int8(): return built("int8", 16)
def small(): return built("small", 32)

class Broken(nn.Module):
    """Branches by its data, which no exporter can follow."""
    def __init__(self):
        super().__init__()
        self.net = int8()
    def forward(self, inputs):
        return self.net(inputs) if inputs.sum() > 0 else self.net(inputs) + 1

class InChild(nn.Module):
    """Does something on a fresh process's first call."""
    def __init__(self, act):
        super().__init__()
        self.net, self.act = int8(), act
    def forward(self, inputs):
        if any(part.startswith("--modelbench-child=") for part in sys.argv):
            self.act()
        return self.net(inputs)

def crashing(): return InChild(lambda: os.kill(os.getpid(), 11))
def hanging(): return InChild(lambda: time.sleep(600))

def test_set():
    torch.manual_seed(3)
    inputs = torch.randn(200, 8)
    return inputs, teacher()(inputs).argmax(1)
'''
FIXTURES = """
import nets
import pytest
from pytest_modelbench import Deployed, EvalData

@pytest.fixture(scope="session")
def teacher_model():
    return nets.teacher()

@pytest.fixture(scope="session", params=["int8", pytest.param("small", id="tiny")])
def student_model(request):
    return getattr(nets, request.param)()

@pytest.fixture(scope="session")
def eval_data():
    inputs, targets = nets.test_set()
    return EvalData(inputs, targets, slices={"first": inputs[:, 0] > 0})
"""
ALONE = FIXTURES.replace(', params=["int8", pytest.param("small", id="tiny")]', "").replace(
    "def student_model(request):\n    return getattr(nets, request.param)()",
    "def student_model():\n    return nets.int8()",
)
EVERY_KPI = """
import pytest
import torch

@pytest.mark.kpi("export", "includes onnx")
@pytest.mark.kpi("parity", "<= 1e-4")
@pytest.mark.kpi("agreement", ">= 1%")
@pytest.mark.kpi("nonfinite_outputs", "<= 0")
@pytest.mark.kpi("parameters", "<= 1000")
@pytest.mark.kpi("size_on_disk", "<= 100 kB")
@pytest.mark.kpi("weak_slice_drop", "<= 99 pp")
@pytest.mark.kpi("slice_drop", "<= 99 pp")
def test_outputs(student):
    outputs = student(torch.zeros(2, 8))
    assert isinstance(outputs, dict) == student.name.endswith("@onnx")

@pytest.mark.kpi("latency_p50", processes=2)  # reported: two processes decide no limit
@pytest.mark.kpi("latency_mean", "ratio <= 1000x")
def test_time(): ...

@pytest.mark.kpi("peak_memory", "<= 1 GB")
@pytest.mark.kpi("cold_start", "<= 60 s", processes=2)
def test_cost(): ...
"""


@pytest.fixture(autouse=True)
def nets(pytester: pytest.Pytester) -> None:
    """Write the module of models that every suite here uses."""
    pytester.makepyfile(nets=NETS)


def builds() -> Counter[str]:
    """Count what was built in which kind of process."""
    return Counter(Path("built").read_text(encoding="utf-8").splitlines())


def students(finished_report: dict[str, object]) -> set[str]:
    """Return the labels of the students that were judged."""
    gates = finished_report["gates"]
    assert isinstance(gates, list)
    return {gate["student"] for gate in gates}


def test_every_kpi_judges_the_exported_file(judge: Judge) -> None:
    """One export serves all of them; processes that measure load the file and never build what it came from."""
    finished = judge(EVERY_KPI, "--modelbench-deploy=onnx", "--modelbench-budget=20", "-k", "onnx", fakes=ALONE)
    assert set(finished.verdicts.values()) == {"pass", "reported"}, finished.text
    assert students(finished.report) == {"student@onnx"}
    assert {gate["nodeid"].partition("[")[2] for gate in finished.report["gates"]} == {"student@onnx]"}
    notes = finished.report["models"]["students"]["student@onnx"]
    assert (notes["kind"], notes["deployed"]["source"], notes["deployed"]["target"]) == ("onnx", "student", "onnx")
    assert notes["deployed"]["ready"]
    assert notes["deployed"]["steps"][0]["name"] == "install"
    built = builds()
    assert built["export int8"] == 1
    assert not built["launch int8"] + built["timing int8"]
    assert built["timing teacher"] > 0


def test_a_file_names_formats(judge: Judge, pytester: pytest.Pytester) -> None:
    """The student of the table keeps its name, and the file's settings reach no other; workers share the export."""
    (pytester.path / "modelbench.toml").write_text(
        """
[models]
teacher = "nets:teacher"
[models.students]
int8 = {model = "nets:int8", deploy = ["onnx"]}
tiny = "nets:small"
[data]
eval = "nets:test_set"
[kpi]
agreement = ">= 1%"
size_on_disk = "<= 100 kB"
parameters = "<= 1000"
nonfinite_outputs = "<= 0"
"""
    )
    finished = judge("", "-n", "2", "--dist", "load", "--modelbench-artifacts=kept")
    assert finished.result.ret == 0, finished.text
    assert students(finished.report) == {"int8", "int8@onnx", "tiny"}
    assert builds()["export int8"] == 1
    assert list((pytester.path / "kept" / "int8" / "onnx").glob("*.onnx"))


def test_a_file_of_one_batch_size_takes_smaller_batches_padded(judge: Judge) -> None:
    """The last batch of the data, and single samples, are answered as by the module; the report and parity say so."""
    tests = """
import pytest

@pytest.mark.modelbench_deploy("onnx:fixed")
@pytest.mark.kpi("parity", "<= 1e-4")
@pytest.mark.kpi("agreement", ">= 1%")
def test_outputs(student): ...
"""
    fakes = ALONE.replace("EvalData(inputs, targets, slices", "EvalData(inputs, targets, batch_size=64, slices")
    finished = judge(tests, "-k", "onnx", fakes=fakes)
    assert finished.result.ret == 0, finished.text
    assert set(finished.verdicts.values()) == {"pass"}
    notes = finished.report["models"]["students"]["student@onnx:fixed"]
    assert notes["padding"]["note"] == "batches are padded to 64"
    assert "batches are padded to 64, the size that the file takes" in finished.gate("parity")["notes"]


def test_markers_deploy_some_tests(judge: Judge) -> None:
    """Students of a fixture's parameters keep their ids; a test without the marker has no others."""
    tests = """
import pytest

@pytest.mark.modelbench_deploy("onnx")
class TestDeployed:
    @pytest.mark.kpi("agreement", ">= 1%")
    @pytest.mark.kpi("parity", "<= 1e-4")
    def test_agreement(self): ...

    def test_body(self, student):
        assert student.kind == ("onnx" if "@" in student.name else "torch")

@pytest.mark.kpi("parameters", "<= 1000")
def test_parameters(): ...
"""
    finished = judge(tests, fakes=FIXTURES)
    assert finished.result.ret == 0, finished.text
    of_class = "test_sla.py::TestDeployed::test_agreement"
    assert finished.verdicts == {
        **{f"{of_class}[{one}]:agreement": "pass" for one in ("int8", "int8@onnx", "tiny", "tiny@onnx")},
        **{f"{of_class}[{one}]:parity": "not_applicable" for one in ("int8", "tiny")},
        **{f"{of_class}[{one}]:parity": "pass" for one in ("int8@onnx", "tiny@onnx")},
        **{f"test_sla.py::test_parameters[{one}]:parameters": "pass" for one in ("int8", "tiny")},
    }
    finished.result.assert_outcomes(passed=10)


def test_a_fixture_returns_a_deployed_student(judge: Judge) -> None:
    """Its label is the fixture's own, and fresh processes do not run the fixture."""
    fixture = """
@pytest.fixture(scope="session", params=["shipped"])
def student_model(request):
    return Deployed(nets.int8(), "onnx")
"""
    tests = """
import pytest

@pytest.mark.kpi("cold_start", "<= 60 s", processes=2)
@pytest.mark.kpi("size_on_disk", "<= 100 kB")
@pytest.mark.kpi("parity", "<= 1e-4")
def test_file(): ...
"""
    finished = judge(tests, fakes=FIXTURES, more=fixture)
    assert finished.result.ret == 0, finished.text
    assert "models are called" not in finished.text
    assert finished.report["models"]["students"]["shipped"]["kind"] == "onnx"
    assert not builds()["launch int8"]


def test_an_export_that_is_not_ready_is_the_error_of_every_gate(judge: Judge) -> None:
    """The reason is told once, with the step; the student itself is judged all the same."""
    broken = FIXTURES.replace('params=["int8", pytest.param("small", id="tiny")]', 'params=["Broken"]')
    tests = """
import pytest

@pytest.mark.kpi("agreement", ">= 1%")
def test_agreement(): ...

@pytest.mark.kpi("parameters", "<= 1000")
def test_parameters(): ...
"""
    finished = judge(tests, "--modelbench-deploy=onnx", fakes=broken)
    assert finished.result.ret == 1, finished.text
    assert [verdict for node, verdict in finished.verdicts.items() if "@onnx" not in node] == ["pass", "pass"]
    gates = [gate for gate in finished.report["gates"] if gate["student"] == "Broken@onnx"]
    assert {gate["verdict"] for gate in gates} == {"error"}
    (reason,) = {gate["reason"] for gate in gates}
    assert reason.startswith("Broken@onnx: the export of Broken to onnx is not ready: ")
    finished.result.stdout.fnmatch_lines(["ERROR 2 gates: Broken@onnx: the export of Broken to onnx is not ready:*"])
    assert builds()["export int8"] == 1


@pytest.mark.parametrize(
    ("model", "limit_s", "reason"),
    [
        ("crashing", 60, "export: its process was ended by SIGSEGV (a crash in compiled code)"),
        ("hanging", 8, "export: its process did not end within 8 s, and was stopped"),
    ],
    ids=["crashing", "hanging"],
)
def test_a_lost_process_fails_the_export(
    judge: Judge, model: str, limit_s: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a crash nor an endless export ends the session."""
    monkeypatch.setattr(deployments, "ExportOptions", functools.partial(ExportOptions, budget_s=limit_s))
    lost = FIXTURES.replace('params=["int8", pytest.param("small", id="tiny")]', f'params=["{model}"]')
    tests = "import pytest\n@pytest.mark.kpi('parameters', '<= 1000')\ndef test_parameters(): ...\n"
    finished = judge(tests, "--modelbench-deploy=onnx", fakes=lost)
    (gate,) = [gate for gate in finished.report["gates"] if gate["student"] == f"{model}@onnx"]
    assert gate["verdict"] == "error"
    assert reason in gate["reason"]


def test_mistakes_are_told_together(pytester: pytest.Pytester) -> None:
    """Unknown formats of a file, a marker and the option, each with its place; nothing is measured."""
    pytester.makeconftest(FIXTURES)
    (pytester.path / "modelbench.toml").write_text(
        """
[models.students]
int8 = {model = "nets:int8", deploy = ["onxx"]}
tiny = {deploy = "onnx"}
other = {model = "nets:int8", deploi = ["onnx"]}
[run]
deploy = 3
[kpi]
parameters = []
"""
    )
    pytester.makepyfile(
        test_sla="""
import pytest

@pytest.mark.modelbench_deploy("openvinno")
@pytest.mark.kpi("parameters")
def test_parameters(): ...

@pytest.mark.modelbench_deploy("onnx")
def test_nothing(): ...
"""
    )
    result = pytester.runpytest("--modelbench", "--modelbench-json=report.json")
    result.stderr.fnmatch_lines(
        [
            "*modelbench.toml:3: deploy: 'onxx' is not a format that a model can be exported to. Did you mean 'onnx'?",
            '*modelbench.toml:4: tiny has no model. Write tiny = {model = "module:factory", ...}',
            "*modelbench.toml:5: unknown key 'deploi' in [[]models.students.other[]]; did you mean 'deploy'?",
            "*modelbench.toml:7: [[]run[]] deploy: found 3, expected a string of formats, separated by commas*",
            "*test_sla.py::test_parameters: modelbench_deploy: 'openvinno' is not a format*Did you mean 'openvino'?",
            "*test_sla.py::test_nothing: modelbench_deploy: this test has no student. *",
        ]
    )
    assert not Path("built").exists()
    result = pytester.runpytest("--modelbench", "--modelbench-deploy=onnx,onxx", "test_sla.py")
    result.stderr.fnmatch_lines(
        ["*--modelbench-deploy: found 'onnx,onxx', expected a string of formats, *mean 'onnx'?"]
    )


def test_settings_of_a_file_deploy_its_students(pytester: pytest.Pytester) -> None:
    """Those of fixtures too, and those of suites; the formats of a student and of the settings add up."""
    pytester.makeconftest(ALONE)
    (pytester.path / "own.modelbench.toml").write_text(
        '[models.students]\nint8 = {model = "nets:int8", deploy = ["openvino"]}\n'
        '[run]\ndeploy = "onnx"\n[kpi]\nparameters = []\n'
    )
    (pytester.path / "fixture.modelbench.toml").write_text('[run]\ndeploy = "onnx"\n[kpi]\nparameters = []\n')
    pytester.makepyfile(test_plain="import pytest\n@pytest.mark.kpi('parameters')\ndef test_plain(): ...\n")
    found = pytester.runpytest("--collect-only", "-q", "--modelbench", "-p", "no:randomly")
    assert sorted(found.outlines[: found.outlines.index("")]) == [
        "fixture.modelbench.toml::parameters[student@onnx]",
        "fixture.modelbench.toml::parameters[student]",
        "own.modelbench.toml::parameters[int8@onnx]",
        "own.modelbench.toml::parameters[int8@openvino]",
        "own.modelbench.toml::parameters[int8]",
        "test_plain.py::test_plain",
    ]
    found = pytester.runpytest(
        *("--collect-only", "-q", "--modelbench", "--modelbench-deploy=onnx", "--modelbench-suite=footprint"),
        *("--modelbench-student=tiny=nets:small", "test_plain.py"),
    )
    found.stdout.fnmatch_lines_random(["*::size_on_disk[[]tiny@onnx[]]", "*::size_on_disk[[]tiny[]]"])


def test_ids_without_judging_are_those_with_it(pytester: pytest.Pytester) -> None:
    """A marker makes the same items where nothing is judged, so that node ids never change."""
    pytester.makeconftest(FIXTURES)
    tests = (
        "import pytest\n@pytest.mark.modelbench_deploy('onnx')\n@pytest.mark.kpi('parameters')\ndef test_it(): ...\n"
    )
    pytester.makepyfile(test_sla=tests)
    ids = [f"test_sla.py::test_it[[]{one}[]]" for one in ("int8", "int8@onnx", "tiny", "tiny@onnx")]
    for arguments in ([], ["--modelbench"]):
        pytester.runpytest("--collect-only", "-q", *arguments).stdout.fnmatch_lines(ids)


def test_the_plan_states_the_exports(judge: Judge) -> None:
    """Nothing is exported for it."""
    finished = judge(EVERY_KPI, "--modelbench-deploy=onnx", "--modelbench-plan", fakes=ALONE)
    finished.result.stdout.fnmatch_lines(["export * student@onnx, *one process for onnx*"])
    assert not Path("built").exists()
