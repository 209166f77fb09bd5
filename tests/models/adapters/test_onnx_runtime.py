"""ONNX files in ONNX Runtime: real files, exported by torch and built by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
from pytest_modelbench.models.adapters.runtime import threads_for
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading, SavedModel

WEIGHTS = np.arange(24, dtype=np.float32).reshape(8, 3) / 10
INPUTS = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)


def write(path: Path, *, external: bool = False, dtype: int = TensorProto.FLOAT, opset: int = 20) -> Path:
    """Write a model of one product and one sum of rows, with two outputs."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["logits"]),
            helper.make_node("ReduceSum", ["logits"], ["total"], keepdims=0),
        ],
        "net",
        [helper.make_tensor_value_info("x", dtype, ["batch", 8])],
        [
            helper.make_tensor_value_info("logits", dtype, ["batch", 3]),
            helper.make_tensor_value_info("total", dtype, []),
        ],
        [onnx.numpy_helper.from_array(WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(dtype)), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, str(path), save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path


def load(path: Path | str, **loading: Any) -> OnnxModel:
    model = adapt(str(path), Loading(name="student", **loading))
    assert isinstance(model, OnnxModel)
    return model


def refused(path: Path | str, words: str, **loading: Any) -> None:
    with pytest.raises(ModelError, match=words) as error:
        load(path, **loading)
    assert str(error.value).startswith("student")


def test_answers_counts_and_identity(tmp_path: Path) -> None:
    """Outputs come by name; weights are counted as stored; two loads are one model."""
    model = load(write(tmp_path / "model.onnx"))
    outputs = model(INPUTS)
    assert list(outputs) == ["logits", "total"]
    assert np.allclose(outputs["logits"], INPUTS @ WEIGHTS)
    assert model.count_parameters().total == 24
    assert model.count_parameters().nonzero == 23
    assert model.artefact().size_bytes == (tmp_path / "model.onnx").stat().st_size
    assert model.fingerprint() == load(tmp_path / "model.onnx").fingerprint()
    told = model.describe()
    assert (told["provider"], told["opset"], told["threads"]) == ("CPUExecutionProvider", 20, torch.get_num_threads())


def test_results_are_own_copies(tmp_path: Path) -> None:
    """A later call must not change what an earlier one returned."""
    call = load(write(tmp_path / "model.onnx")).bind(INPUTS)
    first = call()["logits"]
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(call()["logits"], kept)


def test_inputs_are_matched_by_name_and_cast(tmp_path: Path) -> None:
    """A cast happens before the timed call, and the report states it."""
    model = load(write(tmp_path / "model.onnx"))
    outputs = model({"x": INPUTS.astype(np.float64)})
    assert outputs["logits"].dtype == np.float32
    assert model.describe()["casts"] == {"x": "float64 -> float32"}
    assert np.allclose(model(torch.from_numpy(INPUTS))["logits"], outputs["logits"])
    with pytest.raises(ModelError, match="the inputs lack 'x' and have 'y'; the file model.onnx takes 'x'"):
        model({"y": INPUTS})
    with pytest.raises(ModelError, match=r"found 2 input\(s\), and the file model.onnx takes 1: x \(float32, \?x8\)"):
        model((INPUTS, INPUTS))


def test_fractions_are_not_cast_to_integers(tmp_path: Path) -> None:
    """Cutting them off would judge other inputs."""
    model = load(write(tmp_path / "model.onnx", dtype=TensorProto.INT32))
    assert model(np.ones((1, 8)))["logits"].dtype == np.int32
    with pytest.raises(ModelError, match=r"the input 'x' has fractions \(float32\).* takes int32"):
        model(INPUTS)
    with pytest.raises(ModelError, match="has values from 1 to 4294967296"):
        model(np.array([[1, 1, 1, 1, 1, 1, 1, 2**32]]))


def test_external_weights_are_part_of_the_model(tmp_path: Path) -> None:
    """Two files that differ only in their weights are two models, and the size is that of both files."""
    path = write(tmp_path / "model.onnx", external=True)
    weights = tmp_path / "weights.bin"
    model = load(path)
    assert model.artefact().size_bytes == path.stat().st_size + weights.stat().st_size
    assert model.count_parameters().total == 24
    before = model.fingerprint()
    weights.write_bytes(bytes(weights.stat().st_size))
    assert load(path).fingerprint() != before
    weights.unlink()
    refused(path, "keeps its weights in weights.bin, and there is no such file")


@pytest.mark.parametrize(("more", "is_right"), [(-1, False), (0, True), (4096, True), (4097, False)])
def test_a_file_of_weights_of_another_length_is_refused(tmp_path: Path, more: int, is_right: bool) -> None:
    """The message names both files and their sizes; a longer file may be shared with another model beside this one."""
    path = write(tmp_path / "model.onnx", external=True)
    weights = tmp_path / "weights.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:more] if more < 0 else whole + bytes(more))
    if is_right:
        assert load(path)(INPUTS)["logits"].shape == (2, 3)
        return
    size = len(whole) + more
    refused(
        path, rf"model.onnx reads {len(whole)} bytes of weights, and weights.bin has {size}: it belongs to another"
    )
    write(tmp_path / "decoder.onnx")
    if more > 0:
        assert load(path)(INPUTS)["logits"].shape == (2, 3)


def test_refused_files(tmp_path: Path) -> None:
    """Each says what is wrong with the file."""
    whole = write(tmp_path / "model.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:-40])
    refused(tmp_path / "cut.onnx", "cannot be read as ONNX")
    (tmp_path / "text.onnx").write_text("this is no model")
    refused(tmp_path / "text.onnx", "cannot be read as ONNX")
    refused(write(tmp_path / "future.onnx", opset=99), "cannot be loaded by ONNX Runtime.*99")


def test_the_provider_asked_for_is_the_one_that_runs(tmp_path: Path) -> None:
    """A model that was asked to run on a GPU is never timed on the CPU."""
    path = write(tmp_path / "model.onnx")
    refused(path, "cannot run model.onnx on CUDAExecutionProvider; this build has", device="cuda")
    refused(f"{path}?provider=TensorrtExecutionProvider", "cannot run model.onnx on TensorrtExecutionProvider")
    refused(f"{path}?providor=x", r"takes the options provider=\.\.\., each once")
    assert load(f"{path}?provider=CPUExecutionProvider").provider == "CPUExecutionProvider"


@pytest.mark.skipif(sys.platform != "linux", reason="reads processor times of threads")
@pytest.mark.filterwarnings("default")
def test_no_thread_spins_after_a_call(tmp_path: Path) -> None:
    """Spinning threads would take processor time from the model that is timed next."""
    path = tmp_path / "wide.onnx"
    torch.onnx.export(
        torch.nn.Linear(1024, 1024).eval(), (torch.ones(2, 1024),), str(path), input_names=["x"], verbose=False
    )
    script = f"""
import time, numpy as np, onnxruntime
from pathlib import Path
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel, session_options
from pytest_modelbench.models.saved import Loading, SavedModel

def burnt(session, inputs):
    session.run(None, {{"x": inputs}})
    before = time.process_time()
    time.sleep(0.2)
    return time.process_time() - before

inputs = np.ones((2, 1024), dtype=np.float32)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
spinning = onnxruntime.InferenceSession({str(path)!r}, options)
ours = OnnxModel(Path({str(path)!r}), Loading(name="student", threads=2)).session
print(sum(burnt(ours, inputs) for _ in range(3)), sum(burnt(spinning, inputs) for _ in range(3)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ours, spinning = map(float, done.stdout.split())
    assert ours < spinning / 3


def test_probabilities_by_label_become_columns(tmp_path: Path) -> None:
    """The converter of scikit-learn returns one map of labels for each sample unless told not to."""
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[4, 2])],
        "maps",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_value_info(
                "probabilities",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(
                        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
                    )
                ),
            )
        ],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(tmp_path / "maps.onnx"))
    outputs = load(tmp_path / "maps.onnx")(np.array([[0.75, 0.25]], dtype=np.float32))
    assert np.array_equal(outputs["probabilities"], [[0.25, 0.75]])


def write_fixed(path: Path, batch: int, operator: str = "Identity", output: Sequence[int] | None = None) -> Path:
    shape = [batch, 8] if output is None else output
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_a_larger_batch_than_a_fixed_one_is_an_error(tmp_path: Path) -> None:
    """It names both sizes and what to write, before the runtime is called; so does a row of another shape."""
    model = load(write_fixed(tmp_path / "m.onnx", 2))
    words = r"takes only batch 2: x \(float32, 2x8\), found 3x8\. Export .*EvalData\(\.\.\., batch_size=2\)"
    with pytest.raises(ModelError, match=words):
        model(np.ones((3, 8)))
    for rows in (1, 2):
        with pytest.raises(ModelError, match=rf"found an input of shape {rows}x3, .* takes x \(float32, 2x8\)"):
            model(np.ones((rows, 3)))
    with pytest.raises(ModelError, match="takes only batch 2: .*found 0x8"):
        model(np.ones((0, 8)))


def test_smaller_batches_are_padded_to_a_fixed_one(tmp_path: Path) -> None:
    """Their outputs are those of the rows that were asked for, and the description states it; nothing else is padded."""
    model = load(write_fixed(tmp_path / "m.onnx", 4), pads=True)
    rows = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    assert model.describe()["padding"] == {}
    np.testing.assert_array_equal(model(rows)["y"], rows)
    description = model.describe()
    assert description["padding"] == {}
    for count in (3, 1, 2):
        np.testing.assert_array_equal(model(rows[:count])["y"], rows[:count])
    assert description["padding"] == {"note": "batches are padded to 4", "smallest": 1}
    copy = model.replicate()
    assert copy is not None
    np.testing.assert_array_equal(copy(rows[:1])["y"], rows[:1])


@pytest.mark.parametrize(("operator", "output"), [("ReduceSum", []), ("Transpose", [8, 4])])
def test_outputs_without_a_row_for_each_sample_are_not_padded(
    tmp_path: Path, operator: str, output: Sequence[int]
) -> None:
    """A sum over the batch would count the padding: the message names the output and its shape."""
    path = write_fixed(tmp_path / "m.onnx", 4, operator, [1, 1] if operator == "ReduceSum" else output)
    assert load(path, pads=True)(np.ones((4, 8)))["y"].shape in {(1, 1), (8, 4)}
    words = r"takes only batch 4, and a batch of 3 cannot be padded: the output 'y' has shape \(\d, \d\), not 4 rows"
    with pytest.raises(ModelError, match=words):
        load(path, pads=True)(np.ones((3, 8)))


def test_padding_must_be_asked_for(tmp_path: Path) -> None:
    """A file of one batch size has often lost its dynamic batch: only `?pad=yes` says that it is meant so."""
    path = write_fixed(tmp_path / "m.onnx", 4)
    with pytest.raises(ModelError, match=r"takes only batch 4: .*found 3x8\..* or write 'm.onnx\?pad=yes'"):
        load(path)(np.ones((3, 8)))
    asked = adapt(SavedModel.parse(f"{path}?pad=yes"), Loading(name="student"))
    assert asked(np.ones((3, 8)))["y"].shape == (3, 8)
    assert (
        str(SavedModel.parse("m.onnx?provider=CPUExecutionProvider&pad=yes"))
        == "m.onnx?provider=CPUExecutionProvider&pad=yes"
    )


def test_reasons_of_the_runtime_are_told_without_its_source(tmp_path: Path) -> None:
    """The opset and what the runtime takes fit into the message; functions of its source code do not help."""
    with pytest.raises(ModelError) as error:
        load(write(tmp_path / "future.onnx", opset=99))
    said = str(error.value)
    assert re.search(r"cannot be loaded by ONNX Runtime: .*Opset 99.*is till opset \d+", said)
    assert "onnxruntime_src" not in said
    assert "ONNXRuntimeError" not in said


def test_weights_in_constants_are_counted(tmp_path: Path) -> None:
    """Some exporters write weights as constants; a file without counted weights is no file of 0 parameters."""
    value = helper.make_tensor_value_info
    weights = helper.make_node("Constant", [], ["weights"], value=onnx.numpy_helper.from_array(WEIGHTS, "w"))
    product = helper.make_node("MatMul", ["x", "weights"], ["y"])
    ends = [value("x", TensorProto.FLOAT, ["n", 8])], [value("y", TensorProto.FLOAT, ["n", 3])]
    for name, nodes in {"constant": [weights, product], "none": [helper.make_node("Identity", ["x"], ["y"])]}.items():
        graph = helper.make_graph(nodes, "net", *ends)
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
        onnx.save(model, tmp_path / f"{name}.onnx")
    counted = load(tmp_path / "constant.onnx").count_parameters()
    assert (counted.total, counted.nonzero, counted.stored) == (24, 23, True)
    with pytest.raises(NotApplicable, match=r"none.onnx holds no weights as tensors"):
        load(tmp_path / "none.onnx").count_parameters()


def test_threads_are_those_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is not loaded, it is the processors of the container, not those of the machine."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert threads_for(Loading(name="student")) == 2
    assert threads_for(Loading(name="student", threads=3)) == 3
