"""Exports to the other formats; each compiles once."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporting import Attention, Branching, Export, Lstm, Pair, Sized, assert_ready, floats, mlp

from pytest_modelbench.data.arrays import map_tree
from pytest_modelbench.exports.parity import Parity, compare
from pytest_modelbench.exports.steps import Status

BATCHES = [floats(4, 8), floats(4, 8, seed=1), floats(3, 8, seed=2)]


@pytest.mark.slow
@pytest.mark.parametrize("module", [mlp(), Lstm(), Pair()], ids=["mlp", "lstm", "tuple"])
def test_torch_export(export: Export, module: Any) -> None:
    """An archive of torch.export takes every batch size."""
    batches = [floats(4, 5, 8)] if isinstance(module, Lstm) else BATCHES
    assert_ready(export(module, "torch_export", batches))


def test_size_that_became_a_constant(export: Export) -> None:
    """torch.export refuses it; the remedy names the cause and the way to allow it."""
    step = export(Sized(), "torch_export", BATCHES).stopped_at
    assert step is not None
    assert step.name == "export"
    assert "Constraints violated" in step.evidence
    assert "':fixed'" in step.remedy
    assert_ready(export(Sized(), "torch_export:fixed", BATCHES))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_reference_of_a_quantised_module_is_itself(export: Export) -> None:
    """A file that computes as its int8 module does has a parity of 0, however far int8 is from float32."""
    pytest.importorskip("torchao", reason="needs torchao")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    module, inputs = mlp().eval(), torch.from_numpy(BATCHES[0])
    program = torch.export.export(module, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    settings = x86.get_default_x86_inductor_quantization_config()
    prepared = prepare_pt2e(program.module(), x86.X86InductorQuantizer().set_global(settings))
    prepared(inputs)
    quantised = convert_pt2e(prepared)
    assert compare(module(inputs).detach(), quantised(inputs).detach(), rows=4).value > 1e-2
    exported = export(quantised, "torch_export", BATCHES)
    assert_ready(exported)
    step = exported.step("parity")
    assert step is not None
    assert step.numbers["value"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("module", [mlp(), Lstm(), Pair()], ids=["mlp", "lstm", "tuple"])
def test_openvino(export: Export, module: Any) -> None:
    """A traced module takes every batch size."""
    pytest.importorskip("openvino")
    batches = [floats(4, 5, 8)] if isinstance(module, Lstm) else BATCHES
    assert_ready(export(module, "openvino", batches))


@pytest.mark.slow
def test_openvino_reports_nothing_and_forks_nothing(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of this process would run its exit functions: no conversion starts one."""
    pytest.importorskip("openvino")
    forks: list[int] = []
    fork = os.fork

    def counted() -> int:
        forks.append(os.getpid())
        return fork()

    monkeypatch.setattr(os, "fork", counted)
    assert_ready(export(mlp(), "openvino", BATCHES))
    time.sleep(0.5)  # reports are sent by threads
    assert not forks


@pytest.mark.slow
def test_openvino_variants(export: Export) -> None:
    """`f16` stores weights in float16; `fixed` allows one batch size."""
    pytest.importorskip("openvino")
    half = export(mlp(), "openvino:f16", BATCHES)
    assert_ready(half)
    step = half.step("parity")
    assert step is not None
    assert step.numbers["value"] > 1e-5
    assert_ready(export(Sized(), "openvino:fixed", BATCHES))


@pytest.mark.slow
@pytest.mark.parametrize(("module", "word"), [(Sized(), "int(x.shape[0])"), (Branching(), "torch.cond")])
def test_tracing_loses_what_it_does_not_see(export: Export, module: Any, word: str) -> None:
    """A traced constant or branch passes until another batch size shows it; the warning of the trace is its remedy."""
    pytest.importorskip("openvino")
    step = export(module, "openvino", [BATCHES[0]]).stopped_at
    assert step is not None
    assert step.name == "dynamic_batch", step
    assert word in step.remedy


@pytest.mark.slow
def test_executorch(export: Export) -> None:
    """A program with XNNPACK takes all batch sizes up to the greatest that is asked for."""
    pytest.importorskip("executorch.exir")
    assert_ready(export(mlp(), "executorch", BATCHES))


@pytest.mark.slow
def test_executorch_has_no_names(export: Export) -> None:
    """Named inputs go by their order, and named outputs too; lengths that differ are planned for."""
    pytest.importorskip("executorch.exir")
    batches = [
        {"ids": np.arange(4 * length).reshape(4, length) % 50, "mask": np.ones((4, length), dtype=np.float32)}
        for length in (5, 9, 7)
    ]
    exported = export(Attention(), "executorch", batches)
    assert_ready(exported)
    parity = exported.step("parity")
    assert parity is not None
    assert parity.numbers["by_position"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler")
def test_aotinductor(export: Export) -> None:
    """A package compiled for this machine takes every batch size."""
    assert_ready(export(mlp(), "aotinductor", BATCHES))


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["numbers", "nan"])
def test_tvm_reads_outside_of_the_tensor(export: Export, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`x[:, -1]` compiles and answers with other memory; parity finds it, and the warning of the compiler is its remedy."""
    pytest.importorskip("tvm")
    if memory == "nan":
        monkeypatch.setattr("pytest_modelbench.exports.run.compare", _with_nan)
    step = export(Lstm(), "tvm", [floats(4, 5, 8)]).stopped_at
    assert step is not None
    assert step.name == "parity"
    assert "x.shape[1] - 1" in step.remedy


def _with_nan(reference: Any, outputs: Any, rows: int) -> Parity:
    """Compare as if the memory that was read held NaN."""
    return compare(reference, map_tree(lambda leaf: np.full_like(leaf, np.nan), outputs), rows=rows)


def test_tensorrt_is_screened_and_never_ready(export: Export, tmp_path: Path) -> None:
    """Without a GPU it is an error, with a screen of the ONNX file, commands and samples for another machine."""
    found = export(mlp(), "tensorrt", BATCHES)
    assert not found.ready
    step = found.stopped_at
    assert step is not None
    assert (step.name, step.status) == ("install", Status.ERROR)
    assert "Screened only, which is not a pass: nothing in the operator list of TensorRT 10.0" in step.evidence
    assert "--modelbench-record-export=PATH" in step.remedy
    assert "trtexec" in step.numbers["commands"][0]
    (script,) = tmp_path.rglob("tensorrt.sh")
    assert "--maxShapes=" in script.read_text()
    assert {path.name for path in script.parent.iterdir()} >= {
        "model.onnx",
        "inputs.npz",
        "expected.npz",
        "inputs.py",
    }


def test_runtime_that_is_not_installed(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that names what to install."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    step = export(mlp(), "onnx", BATCHES).stopped_at
    assert step is not None
    assert (step.name, step.status) == ("install", Status.ERROR)
    assert "pip install 'pytest-modelbench[onnx]'" in step.remedy


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["array", "mapping"])
def test_keras_models_take_all_inputs_as_one(export: Export, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    """A Keras model on torch is exported to ONNX with one input or several."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    if named:
        parts = {name: keras.Input((4,), name=name) for name in ("first", "second")}
        model = keras.Model(parts, keras.layers.Dense(3)(keras.layers.concatenate(list(parts.values()))))
        batch: Any = {"first": floats(6, 4), "second": floats(6, 4)}
    else:
        model, batch = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]), floats(6, 8)
    found = export(model, "onnx", [batch])
    assert found.ready, found.stopped_at
