"""Data in memory that an engine's workers answer in parts: readings are those of one process to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from shard_projects import FEW, KPIS, error, readings, run, suite, write_project

CUT = '[run]\nengine = "processes"\nworkers = 2\nshards = 5'
KINDS = """
import pandas as pd
import torch

class Net(torch.nn.Module):
    def __init__(self, off):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.as_tensor(Linear(off).weights.T))
    def forward(self, x):
        return self.linear(x)

def teacher_net():
    return Net(0.0)

def student_net():
    return Net(0.15)

def tensors():
    x, y, _, sex = samples()
    return EvalData(torch.as_tensor(x), y, slices={"sex": sex}, dtype="float32", **SETTINGS)

def frame():
    x, y, ids, sex = samples()
    frame = pd.DataFrame(x, columns=list("abcd")).assign(label=y)
    return EvalData(frame, target="label", ids=[f"row {number}" for number in ids], **SETTINGS)

def loader():
    x, y, _, _ = samples()
    return EvalData(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))),
                    **SETTINGS)

def holed():
    x, y, ids, _ = samples()
    x[::500] = np.nan
    return EvalData(x, y, ids=ids.tolist(), **SETTINGS)

class Holed(Linear):
    def __call__(self, batch):
        answers = super().__call__(batch)
        answers[np.asarray(batch)[:, 0] > 2] = np.inf
        return answers

def holed_student():
    return Holed(0.15)

class Grumpy(Linear):
    def __call__(self, batch):
        if (np.asarray(batch) == samples()[0][4500]).all(axis=1).any():
            fault = HERE / "fault"
            if fault.exists() and fault.read_text() == "kill":
                fault.unlink()
                os.kill(os.getpid(), 9)
            if fault.exists() and fault.read_text() == "raise":
                raise ValueError("out of range")
            if fault.exists():
                return super().__call__(batch)[:, :2]
        return super().__call__(batch)

def grumpy():
    return Grumpy(0.15)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of its own, with models and data of several kinds."""
    write_project(tmp_path)
    with (tmp_path / "shop.py").open("a", encoding="utf-8") as file:
        file.write(KINDS)
    return tmp_path


@pytest.mark.slow
def test_no_bit_changes(project: Path) -> None:
    """Every KPI, those that need all outputs and those that search for slices among them."""
    kpis = {**KPIS, "weak_slice_drop": "<= 60 pp"}
    suite(project, data="whole", kpis=kpis)
    alone, _ = run(project)
    suite(project, data="whole", kpis=kpis, run=CUT)
    cut, _ = run(project)
    assert readings(cut) == readings(alone)
    (data,) = cut["data"].values()
    assert data["engine"].startswith("2 processes of this machine, 1 thread each")
    assert data["engine"].endswith("data in memory, cut into 5")
    for report in (alone, cut):
        assert report["models"]["students"]["small"]["forward_passes"] == 24  # batches of 256


@pytest.mark.slow
@pytest.mark.parametrize("data", ["tensors", "frame"])
def test_other_kinds_of_data(project: Path, data: str) -> None:
    """Tensors that are cast, without ids, and a frame with a target and ids that are texts."""
    student = "student_net" if data == "tensors" else "student"
    suite(project, data=data, student=student)
    alone, _ = run(project, "--modelbench-threads=1")
    report, printed = run(project, "--modelbench-engine=processes", "--modelbench-workers=2", "--modelbench-shards=7")
    assert readings(report) == readings(alone), printed


@pytest.mark.slow
def test_what_is_not_finite(project: Path) -> None:
    """Infinite outputs are told, and those of inputs that are NaN are excused, as in one process."""
    for data, verdict in (("holed", "pass"), ("whole", "fail")):
        student = "student" if data == "holed" else "holed_student"
        suite(project, data=data, student=student, kpis=["nonfinite_outputs"])
        alone, _ = run(project, code=int(verdict == "fail"))
        suite(project, data=data, student=student, kpis=["nonfinite_outputs"], run=CUT)
        report, _ = run(project, code=int(verdict == "fail"))
        assert readings(report) == readings(alone)
        assert report["gates"][0]["verdict"] == verdict


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_clusters(project: Path, engine: str) -> None:
    """A local cluster of each engine, a worker of which is killed."""
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[engine], reason=f"needs {engine}")
    suite(project, data="whole", student="grumpy")
    alone, _ = run(project)
    (project / "fault").write_text("kill", encoding="utf-8")
    report, printed = run(project, f"--modelbench-engine={engine}", "--modelbench-workers=2", "--modelbench-shards=6")
    assert readings(report) == readings(alone), printed
    assert not (project / "fault").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("raise", "samples 3,584 to 4,863: student raised ValueError on inputs of shape (256, 4): out of range"),
        ("shape", "samples 3,584 to 4,863: student changed the shape of its output from (*, 3) to (*, 2) at sample"),
    ],
)
def test_a_part_that_fails_is_named(project: Path, fault: str, expected: str) -> None:
    """With the samples, and the gate is an error."""
    suite(project, data="whole", student="grumpy", run=CUT)
    (project / "fault").write_text(fault, encoding="utf-8")
    report, _ = run(project, code=1)
    assert expected.replace("student", "small") in error(report)


@pytest.mark.slow
def test_what_is_not_cut(project: Path) -> None:
    """A loader is refused, and so is a factory of another model; with the engine serial nothing is cut."""
    suite(project, data="loader", run=CUT)
    report, _ = run(project, code=1)
    assert "shards=5 cuts arrays and frames in memory, and the samples come from a dataset" in error(report)
    suite(project, data="whole", student="other", run=CUT)
    report, _ = run(project, code=1)
    assert "made another model in a worker than in the session" in error(report)
    suite(project, data="whole", kpis=FEW, run=CUT.replace("processes", "serial"))
    assert run(project)[0]["summary"]["pass"] == len(FEW)
