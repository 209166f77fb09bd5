"""Real ONNX files of a torch module beside the module: the healthy one passes, broken ones fail with the words."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from suites import Finished, Judge, read_report

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.score, self.box = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, x):
        hidden = torch.relu(self.body(x))
        return {"score": self.score(hidden), "box": self.box(hidden)}

def load():
    return Net().eval()

def load_half():
    return load().half()
"""
CONFTEST = """
import pytest
import torch
from pytest_modelbench import EvalData

@pytest.fixture(scope="session")
def eval_data():
    torch.manual_seed(1)
    return EvalData(torch.randn(40, 8), select="score", batch_size=16, ids=[f"image {i}" for i in range(40)])
"""
SUITE = """
import pytest

@pytest.mark.kpi("parity", "<= 1e-4", source="shop.py:load")
def test_parity(): ...
"""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the module as torch does, and break copies of the file."""
    folder = tmp_path_factory.mktemp("exported")
    shop: dict[str, object] = {}
    exec(MODULE, shop)  # noqa: S102 - the module of the suite
    net = shop["load"]()  # type: ignore[operator]

    def export(name: str, names: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net, (torch.randn(4, 8),), folder / name, dynamo=True, external_data=False, verbose=False,
                input_names=["x"], output_names=names, dynamic_shapes=({0: "batch"},),
            )  # fmt: skip

    export("healthy.onnx", ["score", "box"])
    export("swapped.onnx", ["box", "score"])
    healthy = onnx.load(folder / "healthy.onnx")
    for name, damage in {"nan.onnx": nan_for_one_class, "missing.onnx": without_box}.items():
        damaged = onnx.ModelProto()
        damaged.CopyFrom(healthy)
        damage(damaged)
        onnx.save(damaged, folder / name)
    return folder


def nan_for_one_class(model: onnx.ModelProto) -> None:
    """Make the bias of one class NaN."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "score.bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[1] = np.nan
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))


def without_box(model: onnx.ModelProto) -> None:
    """Leave an output out."""
    model.graph.output.remove(next(one for one in model.graph.output if one.name == "box"))


def run(pytester: pytest.Pytester, suite: str, *arguments: str) -> Finished:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(shop=MODULE, test_sla=suite)
    command = ("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", *arguments)
    return Finished(pytester.runpytest_inprocess(*command), read_report(pytester))


def test_healthy_and_broken_files(pytester: pytest.Pytester, exported: Path) -> None:
    """Each failure says its reason and stands in the JSON report with its numbers."""
    names = ["healthy", "swapped", "nan", "missing"]
    students = [f"--modelbench-student={name}={exported / name}.onnx" for name in names]
    finished = run(pytester, SUITE, *students)
    gates = {gate["student"]: gate for gate in finished.report["gates"]}
    assert {name: gate["verdict"] for name, gate in gates.items()} == {
        "healthy": "pass", "swapped": "fail", "nan": "fail", "missing": "fail",
    }  # fmt: skip
    healthy = gates["healthy"]
    assert healthy["readings"]["student"]["value"] < 1e-5
    assert "as expected of float32" in healthy["readings"]["student"]["method"]
    assert "reference: Net in float32" in healthy["readings"]["student"]["method"]
    assert healthy["options"]["source"] == "shop.py:load"
    assert {"score, batch size 1", "box, batch size 16"} <= {row["name"] for row in healthy["breakdown"]}
    assert "'box' holds the values of 'score' (labelled by position)" in " ".join(gates["swapped"]["notes"])
    assert gates["swapped"]["worst_samples"][0].startswith("image ")
    assert gates["nan"]["notes"][0] == (
        "the output 'score': 40 of 120 values are not finite, and are in the reference"
    )
    assert gates["missing"]["notes"][0] == "the output 'box' is missing: found 'score', expected 'score', 'box'"
    assert gates["missing"]["readings"]["student"]["value"] is None
    finished.result.stdout.fnmatch_lines(["*the output 'box' is missing*"])


def test_a_source_in_half_precision_is_stated(pytester: pytest.Pytester, exported: Path) -> None:
    """It is the reference as it is; a file in float32 is then as far off as float16 is."""
    suite = SUITE.replace(":load", ":load_half").replace("1e-4", "1%")
    gate = run(pytester, suite, f"--modelbench-student={exported / 'healthy.onnx'}").gate("parity")
    assert gate["verdict"] == "pass", gate["reason"]
    assert "as expected of float16" in gate["readings"]["student"]["method"]
    assert "reference: Net in float16" in gate["readings"]["student"]["method"]


def test_in_a_file_of_gates(pytester: pytest.Pytester, exported: Path) -> None:
    """A SPEC starts at the file's folder; calls as timed are compared where a timed gate is in the file too."""
    pytester.mkdir("gates")
    pytester.path.joinpath("gates", "shop.py").write_text(MODULE)
    pytester.path.joinpath("gates", "modelbench.toml").write_text(f"""
[models]
student = "{(exported / "healthy.onnx").as_posix()}"

[kpi]
latency_p50 = "<= 10 s"

[kpi.parity]
limits = "<= 0.01%"
source = "shop.py:load"
outputs = ["score"]
""")
    pytester.makeconftest(CONFTEST)
    result = pytester.runpytest_inprocess(
        "--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", "gates/modelbench.toml"
    )
    gate = Finished(result, read_report(pytester)).gate("parity")
    assert gate["verdict"] == "pass", gate["reason"]
    assert "calls as timed, batch size 1" in gate["readings"]["student"]["method"]
    assert "compared outputs only: score" in gate["notes"]


def test_a_derived_student_compares_with_its_source(pytester: pytest.Pytester) -> None:
    """No `source=` is needed; the gate does not apply to the source itself."""
    pytester.makepyfile(shop=MODULE)
    pytester.path.joinpath("modelbench.toml").write_text(
        """
[models.students.net]
model = "shop.py:load"
deploy = ["onnx"]

[kpi]
parity = "<= 1e-4"
"""
    )
    pytester.makeconftest(CONFTEST)
    result = pytester.runpytest_inprocess(
        "--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", "modelbench.toml"
    )
    gates = {gate["student"]: gate for gate in Finished(result, read_report(pytester)).report["gates"]}
    assert gates["net@onnx"]["verdict"] == "pass", gates["net@onnx"]["reason"]
    assert "reference: Net in float32" in gates["net@onnx"]["readings"]["student"]["method"]
    assert gates["net"]["verdict"] == "not_applicable"
    assert gates["net"]["reason"] == "net was not made from another model; compared with it: net@onnx"


def test_mistakes_are_told_at_collection(judge: Judge) -> None:
    """All of them, before anything is measured."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("parity", "<= 1e-4", source="shop.py:load")
        def test_no_file(): ...

        @pytest.mark.kpi("parity", "<= 1e-4", source="test_sla.py:lod")
        def test_no_function(): ...

        @pytest.mark.kpi("parity", "drop <= 1%")
        def test_drop(): ...

        def load(): ...
        """
    )
    assert finished.result.ret == 4
    for line in (
        "test_sla.py::test_no_file: kpi 'parity': source 'shop.py:load': there is no file *",
        "test_sla.py::test_no_function: kpi 'parity': source 'test_sla.py:lod': * did you mean 'load'?",
        "test_sla.py::test_drop: kpi 'parity': 'drop <= 1%': parity is not compared with the teacher's. *'<= 1e-4'",
    ):
        finished.result.stderr.fnmatch_lines([f"*{line}"])


def test_no_source_is_one_error(judge: Judge) -> None:
    """A student of a fixture says nothing of what it was made from."""
    gate = judge("import pytest\n\n@pytest.mark.kpi('parity', '<= 1e-4')\ndef test_parity(): ...").gate("parity")
    assert gate["verdict"] == "error"
    assert gate["reason"].startswith("nobody says which model student was made from. Write source=")


def test_a_regression_is_judged(pytester: pytest.Pytester, exported: Path) -> None:
    """Against an earlier report, by the same options."""
    healthy = f"--modelbench-student=net={exported / 'healthy.onnx'}"
    run(pytester, SUITE, healthy, "--modelbench-save-baseline=base.json")
    assert pytester.path.joinpath("base.json").is_file()
    gate = run(
        pytester, SUITE.replace('"<= 1e-4"', '"regression <= 10%"'), healthy, "--modelbench-baseline=base.json"
    ).gate("parity")
    assert gate["verdict"] == "pass", gate["reason"]
    worse = f"--modelbench-student=net={exported / 'swapped.onnx'}"
    gate = run(
        pytester, SUITE.replace('"<= 1e-4"', '"regression <= 10%"'), worse, "--modelbench-baseline=base.json"
    ).gate("parity")
    assert gate["verdict"] == "fail", gate["reason"]
