"""TensorRT without a GPU: what a screen finds in real files, and the commands it writes."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime import quantization

from pytest_modelbench.exports.source import SizeRange
from pytest_modelbench.exports.tensorrt import commands, operators, screen, write_samples

WEIGHTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)


def write(path: Path, *nodes: onnx.NodeProto, opset: int = 20) -> Path:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(WEIGHTS, "weights")],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path


def test_a_plain_file_has_no_findings(tmp_path: Path) -> None:
    """Which is no promise."""
    assert screen(write(tmp_path / "plain.onnx")) == []
    supported, unsupported = operators()
    assert (len(supported), len(unsupported)) == (150, 46)
    assert not supported & unsupported


def test_what_tensorrt_does_not_take(tmp_path: Path) -> None:
    """Unknown, foreign and refused operators, and a newer opset."""
    assert screen(write(tmp_path / "new.onnx", opset=22)) == [
        "the file has opset 22, and TensorRT takes 9 to 20. Export with opset=20"
    ]
    found = screen(
        write(tmp_path / "foreign.onnx", helper.make_node("FusedGelu", ["x"], ["y"], domain="com.microsoft"))
    )
    assert found == ["the operator com.microsoft.FusedGelu is not of ONNX itself, and needs a plugin of TensorRT"]
    found = screen(write(tmp_path / "det.onnx", helper.make_node("Det", ["x"], ["y"])))
    assert found == ["TensorRT does not take the operator Det"]
    assert screen(write(tmp_path / "later.onnx", helper.make_node("Attention2", ["x"], ["y"]))) == [
        "the operator Attention2 is not in the list of TensorRT 10.0"
    ]


def test_operators_inside_of_branches_are_seen(tmp_path: Path) -> None:
    """A graph inside of an If is part of the model."""
    branch = helper.make_graph(
        [helper.make_node("Det", ["x"], ["z"])], "branch", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    constant = helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True), "t"))
    found = screen(
        write(
            tmp_path / "if.onnx",
            constant,
            helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        )
    )
    assert found == ["TensorRT does not take the operator Det (2 of them)"]


@pytest.mark.filterwarnings("default")
def test_quantised_files(tmp_path: Path) -> None:
    """Dynamic quantisation has no form in TensorRT, and a static one must be symmetric."""

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = 1

        def get_next(self) -> dict[str, object] | None:
            self.left -= 1
            return {"x": np.linspace(0, 3, 16, dtype=np.float32).reshape(2, 8)} if self.left >= 0 else None

    plain = str(write(tmp_path / "plain.onnx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization.quantize_dynamic(plain, str(tmp_path / "dynamic.onnx"))
        quantization.quantize_static(plain, str(tmp_path / "static.onnx"), Calibration())
        quantization.quantize_static(
            plain, str(tmp_path / "even.onnx"), Calibration(), extra_options={"ActivationSymmetric": True}
        )
    told = "\n".join(screen(tmp_path / "dynamic.onnx"))
    assert "does not take the operator DynamicQuantizeLinear" in told
    assert "does not take the operator MatMulInteger. Remedy: export the float model" in told
    assert "quantisers have a zero point that is not 0" in "\n".join(screen(tmp_path / "static.onnx"))
    assert screen(tmp_path / "even.onnx") == []


def test_commands_have_the_real_shapes(tmp_path: Path) -> None:
    """From one row to the largest batch, with the batch of the data as the usual one; lengths that differ too."""
    ranges = {"x": SizeRange(least=(1, 3, 5), most=(64, 3, 9))}
    built, compared = commands(tmp_path / "a model.onnx", {"x": np.zeros((16, 3, 8))}, ranges)
    assert built == (
        f"trtexec '--onnx={tmp_path}/a model.onnx' --minShapes=x:1x3x5 --optShapes=x:16x3x8 --maxShapes=x:64x3x9 "
        f"--stronglyTyped '--saveEngine={tmp_path}/a model.engine'"
    )
    assert "--trt-max-shapes 'x:[64,3,9]' --data-loader-script" in compared


def test_samples_are_written_for_the_other_machine(tmp_path: Path) -> None:
    """The loader gives the batches back by name and in order."""
    batches = [{"x": np.full((2, 3), i), "mask": np.ones(2)} for i in range(11)]
    write_samples(tmp_path, batches, [{"y": np.zeros((2, 1))}] * 11)
    loaded = list(runpy.run_path(str(tmp_path / "inputs.py"))["load_data"]())
    assert len(loaded) == 11
    assert all(np.array_equal(one["x"], given["x"]) for one, given in zip(loaded, batches, strict=True))
    assert np.load(tmp_path / "expected.npz")["10/y"].shape == (2, 1)
