"""Deployed files as students of a torch teacher: every gate judges them as it judges modules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from suites import Judge

pytestmark = pytest.mark.slow

FAKES = """
import numpy as np, openvino, pytest, torch
from pathlib import Path
from torch import nn
from pytest_modelbench import EvalData

FOLDER = Path(__file__).parent

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()

@pytest.fixture(scope="session")
def teacher_model():
    return net()

@pytest.fixture(scope="session")
def student_model():
    return str(FOLDER / "student.SUFFIX")

@pytest.fixture(scope="session")
def eval_data():
    inputs = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    with torch.no_grad():
        targets = net()(torch.from_numpy(inputs)).argmax(1).numpy()
    return EvalData(inputs, targets, batch_size=16)
"""
SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", ">= 50%")
@pytest.mark.kpi("agreement", ">= 50%")
@pytest.mark.kpi("nonfinite_outputs", "<= 0")
@pytest.mark.kpi("latency_p50", "<= 10 s", "ratio <= 50")
@pytest.mark.kpi("size_on_disk", "<= 100 kB")
@pytest.mark.kpi("parameters", "<= 1000")
@pytest.mark.kpi("peak_memory", "<= 4 GB")
@pytest.mark.kpi("cold_start", "<= 300 s")
def test_deployed(): ...
"""


EXPORT = """
import openvino, torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
shapes = ({0: torch.export.Dim.DYNAMIC},)
torch.onnx.export(net, (torch.ones(2, 16),), "student.onnx", dynamic_shapes=shapes, verbose=False,
                  external_data=False)
openvino.save_model(openvino.Core().read_model("student.onnx"), "student.xml", compress_to_fp16=False)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the teacher's module, exported by torch to ONNX and from there by openvino."""
    folder = tmp_path_factory.mktemp("exported")
    subprocess.run([sys.executable, "-c", EXPORT], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(autouse=True)
def files(pytester: pytest.Pytester, exported: Path) -> None:
    """Give each test the files to change."""
    shutil.copytree(exported, pytester.path, dirs_exist_ok=True)


@pytest.mark.parametrize(("suffix", "kind"), [("onnx", "onnx"), ("xml", "openvino")])
def test_a_file_is_judged_against_its_teacher(judge: Judge, suffix: str, kind: str) -> None:
    """All gates pass; threads are the teacher's, and memory and start were measured in fresh processes."""
    finished = judge(SUITE, "--modelbench-threads=1", fakes=FAKES.replace("SUFFIX", suffix))
    assert finished.result.ret == 0, finished.text
    assert set(finished.verdicts.values()) == {"pass"}
    told = finished.report["models"]["students"]["student"]
    assert (told["kind"], told["threads"]) == (kind, 1)
    assert told["precision"]["computes_in"] == {"float32": 2}
    assert finished.gate("parameters")["readings"]["student"]["value"] == 16 * 32 + 32 + 32 * 4 + 4
    assert finished.gate("agreement")["readings"]["student"]["value"] == 100


DAMAGED = """
import numpy as np, pytest
from pathlib import Path
from pytest_modelbench import EvalData

@pytest.fixture(scope="session")
def teacher_model():
    return lambda batch: np.asarray(batch)[:, :4]

@pytest.fixture(scope="session", params=PARAMS)
def student_model(request):
    return Path(__file__).parent / request.param

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.ones((8, 16), dtype=np.float32), np.zeros(8, dtype=int), task="multiclass", outputs="logits")
"""


@pytest.mark.parametrize("named", [False, True], ids=["fixture", "option"])
def test_damaged_files_are_one_message_each(judge: Judge, named: bool) -> None:
    """However a student is named: the file, the runtime and what to do, without the runtime's own frames."""
    whole, graph = Path("student.onnx").read_bytes(), Path("student.xml").read_text()
    Path("cut.onnx").write_bytes(whole[: len(whole) // 2])
    Path("operator.onnx").write_bytes(whole.replace(b"Gemm", b"Gemx").replace(b"Relu", b"Relx"))
    Path("operator.xml").write_text(graph.replace('type="MatMul"', 'type="MatMux"'))
    shutil.copy("student.bin", "operator.bin")
    Path("noise.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 500)
    Path("noise.pte").write_bytes(b"\x1c\0\0\0ET12" + b"\xff" * 500)
    files = {
        "cut.onnx": "cannot be read as ONNX: *. It is damaged or cut off, or another kind of file. *",
        "operator.onnx": "cannot be loaded by ONNX Runtime: *Gemx*",
        "operator.xml": "cannot be loaded by OpenVINO: *MatMux*",
        "noise.tflite": "cannot be loaded by LiteRT: *. It is damaged or cut off, or was written for another version *",
        "noise.pte": "cannot be loaded by ExecuTorch: *. It is damaged or cut off, or was written for another *",
    }
    options = [f"--modelbench-student={name.replace('.', '_')}={name}" for name in files] if named else []
    finished = judge(
        'import pytest\n@pytest.mark.kpi("agreement", ">= 1%")\ndef test_it(): ...\n',
        *options,
        fakes=DAMAGED.replace("PARAMS", repr(list(files))),
        process=True,  # libraries that other tests loaded here log to streams that are closed
    )
    assert finished.result.ret == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in finished.text
    assert "INTERNALERROR" not in finished.text
    for name, words in files.items():
        label = name.replace(".", "_") if named else "*"
        finished.result.stdout.fnmatch_lines([f"{label}: *{name} {words}"])
