"""Exports to ONNX: real models, and the traps that exporters and checkers let through."""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporting import Attention, Branching, Export, Lstm, Pair, Sized, assert_ready, cnn, floats, mlp
from torch import nn

from pytest_modelbench.exports import onnx_file
from pytest_modelbench.exports.parity import compare
from pytest_modelbench.exports.source import Source
from pytest_modelbench.exports.steps import Status
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

BATCHES = [floats(4, 8), floats(4, 8, seed=1), floats(3, 8, seed=2)]


def tokens(rows: int, length: int, seed: int = 0) -> dict[str, Any]:
    ids = np.random.default_rng(seed).integers(0, 50, size=(rows, length))
    return {"ids": ids, "mask": np.ones_like(ids)}


@pytest.mark.slow
def test_steps_of_a_model_that_is_ready(export: Export, tmp_path: Path, capfd: Any) -> None:
    """Each step is taken once, with its numbers; nothing is printed and nothing changes in the module."""
    module = mlp()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = export(module, "onnx", BATCHES)
    assert_ready(found)
    assert [step.name for step in found.steps][-3:] == ["alone_and_in_batch", "size", "speed"]
    parity, batches = found.step("parity"), found.step("dynamic_batch")
    assert parity is not None
    assert parity.numbers["value"] < 1e-5
    assert batches is not None
    assert set(batches.numbers["parity"]) == {"1", "2", "7", "4", "3"}
    assert found.file == tmp_path / "model.onnx"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert found.tools["onnxruntime"]
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_training_mode_leaves_no_dropout(export: Export, tmp_path: Path) -> None:
    """A model in training mode is exported in evaluation mode."""
    assert_ready(export(mlp(), "onnx", BATCHES))
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    assert "Dropout" not in {node.op_type for node in graph.node}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "batches"),
    [(cnn(), [floats(4, 3, 8, 8)]), (Lstm(), [floats(4, 5, 8)]), (Pair(), BATCHES)],
    ids=["cnn", "lstm", "tuple"],
)
def test_kinds_of_models(export: Export, module: nn.Module, batches: list[Any]) -> None:
    """Convolutions, recurrence and several outputs keep their values in every batch size."""
    assert_ready(export(module, "onnx", batches))


@pytest.mark.slow
def test_lengths_of_sequences_vary(export: Export) -> None:
    """A dimension in which the data's batches differ stays free, and outputs keep their names."""
    found = export(Attention(), "onnx", [tokens(4, 6), tokens(3, 9), tokens(4, 5)])
    assert_ready(found)
    with_one = export(Attention(), "onnx", [tokens(4, 6)], dynamic={"ids": [0, 1], "mask": [0, 1]})
    assert_ready(with_one)
    shapes = [value.type.tensor_type.shape for value in onnx.load(str(with_one.file)).graph.input]
    assert all(dim.dim_param for shape in shapes for dim in shape.dim)


def test_dynamic_names_an_input_that_is_there(export: Export) -> None:
    """An unknown input or dimension is told with what there is."""
    unknown = export(mlp(), "onnx", BATCHES, dynamic={"x": [0]})
    assert "dynamic= names the input 'x', and the data have '0'" in (unknown.steps[-1].evidence)
    deep = export(mlp(), "onnx", BATCHES, dynamic={"0": [0, 2]})
    assert "dimensions [0, 2] of the input '0', which has 2" in deep.steps[-1].evidence


def test_branch_on_values(export: Export) -> None:
    """The failure has its cause, the line of the model, and a remedy."""
    step = export(Branching(), "onnx", BATCHES).stopped_at
    assert step is not None
    assert (step.name, step.status) == ("export", Status.FAIL)
    assert "Could not guard on data-dependent expression" in step.evidence
    assert "exporting.py:" in step.evidence
    assert "torch.cond" in step.remedy


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamic_int8_of_torch(export: Export) -> None:
    """It has no ONNX form; the remedy names what to do instead."""
    quantised = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
        mlp().eval(), {nn.Linear}, torch.qint8
    )
    step = export(quantised, "onnx", BATCHES).stopped_at
    assert step is not None
    assert step.name == "export"
    assert "quantize_dynamic" in step.remedy


@pytest.mark.slow
def test_bfloat16_fails_at_the_check(export: Export) -> None:
    """The checker with full_check sees an operator that has no bfloat16."""
    step = export(nn.Sequential(nn.Conv1d(8, 4, 1)).bfloat16(), "onnx", [floats(4, 8, 3)]).stopped_at
    assert step is not None
    assert step.name == "check"
    assert "bfloat16" in step.evidence
    assert "float32" in step.remedy


def _lost_batch(source: Source, folder: Path, dim: Any) -> Path:
    """Export with a batch of which torch makes a constant without an error."""
    path = folder / "model.onnx"
    shapes = source.shapes(lambda _name, _at: dim)
    torch.onnx.export(
        source.module, source.args, path, dynamo=True, dynamic_shapes=shapes, verbose=False, external_data=False
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("dim", [torch.export.Dim.AUTO, torch.export.Dim("batch")], ids=["other rows", "refused"])
def test_lost_batch_fails_at_its_own_step(export: Export, monkeypatch: pytest.MonkeyPatch, dim: Any) -> None:
    """A file that takes every batch and answers with other rows, or one batch only, passes all steps but one."""
    monkeypatch.setattr(onnx_file, "export", functools.partial(_lost_batch, dim=dim))
    found = export(Sized(), "onnx", BATCHES[:2])
    step = found.stopped_at
    assert step is not None
    assert step.name == "dynamic_batch", step
    assert "batch size 1" in step.evidence
    assert "int(x.shape[0])" in step.remedy
    assert not found.ready


@pytest.mark.slow
def test_one_batch_size_may_be_allowed(export: Export) -> None:
    """`:fixed` exports the batch size of the data and skips the others."""
    found = export(Sized(), "onnx:fixed", BATCHES)
    assert_ready(found)
    assert onnx.load(str(found.file)).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4


@pytest.mark.slow
def test_half_precision(export: Export) -> None:
    """`:fp16` stores and takes float16, and is held against what float16 explains."""
    found = export(mlp(), "onnx:fp16", BATCHES)
    assert_ready(found)
    step = found.step("parity")
    assert step is not None
    assert 1e-5 < step.numbers["value"] <= step.numbers["limit"] == 2e-3


@pytest.mark.slow
def test_provider_asked_for_is_the_provider_run(export: Export) -> None:
    """A build without the provider fails; the CPU never stands in."""
    step = export(mlp(), "onnx@CUDAExecutionProvider", BATCHES).stopped_at
    assert step is not None
    assert step.name == "load"
    assert "CUDAExecutionProvider" in step.evidence
    assert "execution provider" in step.remedy


def test_opset_of_the_future(tmp_path: Path) -> None:
    """onnx.checker is content with opset 99; the check is not."""
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "net", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 99)], ir_version=10)
    onnx.save(model, str(tmp_path / "future.onnx"))
    onnx.checker.check_model(model)
    with pytest.raises(Exception, match="99"):
        onnx_file.check(tmp_path / "future.onnx")


@pytest.mark.slow
def test_opset_asked_for_is_the_opset_written(export: Export) -> None:
    """Torch's exporter writes another opset where it does not know the one that was asked for, without an error."""
    assert_ready(export(mlp(), "onnx", BATCHES, opset=19))
    step = export(mlp(), "onnx", BATCHES, opset=99).stopped_at
    assert step is not None
    assert step.name == "export"
    assert re.search(r"asked for opset=99, and the exporter wrote opset \d+\. Write opset=\d+", step.evidence)


@pytest.mark.slow
def test_quantised_source_is_its_own_reference(export: Export) -> None:
    """What quantisation changed is not what the export changed."""

    class Rounded(nn.Module):
        """A layer whose weights are eight-bit numbers with a scale."""

        def __init__(self, layer: nn.Linear) -> None:
            super().__init__()
            scale = layer.weight.detach().abs().max() / 7
            self.register_buffer("weight", (layer.weight.detach() / scale).round().to(torch.int8))
            self.register_buffer("scale", scale)

        def forward(self, x: torch.Tensor) -> Any:
            return x @ (self.weight.to(x.dtype) * self.scale).T  # type: ignore[operator]

    torch.manual_seed(0)
    layer = nn.Linear(8, 4, bias=False)
    rounded = Rounded(layer)
    off = compare(layer(torch.from_numpy(BATCHES[0])), rounded(torch.from_numpy(BATCHES[0])), rows=4)
    assert off.value > 1e-2
    found = export(rounded, "onnx", BATCHES)
    assert_ready(found)
    parity = found.step("parity")
    assert parity is not None
    assert parity.numbers["value"] < 1e-5


@pytest.mark.slow
def test_labels_that_change_alone_are_counted(export: Export) -> None:
    """A model whose answer depends on its neighbours is ready, and the step tells how many labels change."""

    class Centred(nn.Module):
        """The differences from the batch's mean: alone, every sample is zero."""

        def forward(self, x: torch.Tensor) -> Any:
            return x - x.mean(0, keepdim=True)

    found = export(Centred(), "onnx", BATCHES)
    step = found.step("alone_and_in_batch")
    assert found.ready
    assert step is not None
    own = BATCHES[0] - BATCHES[0].mean(0)
    assert step.numbers["changed"] == (own.argmax(1) != 0).sum() > 0


@pytest.mark.slow
def test_folded_layers_are_counted_as_stored(export: Export) -> None:
    """Batch normalisation is folded into the convolution before it: fewer parameters, and none was pruned."""
    module = cnn()
    found = export(module, "onnx", [floats(4, 3, 8, 8)])
    counted = adapt(str(found.file), Loading(name="file")).count_parameters()
    assert counted.stored
    assert counted.total == sum(p.numel() for p in module.parameters()) - 2 * 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_pruning_masks_are_told(export: Export) -> None:
    """Masks that are still attached are exported too; the remedy removes them."""
    from torch.nn.utils import prune

    module = mlp()
    prune.l1_unstructured(module[0], "weight", amount=0.5)  # type: ignore[no-untyped-call]
    found = export(module, "onnx", BATCHES)
    step = found.step("export")
    assert step is not None
    assert "0.weight" in step.evidence
    assert "prune.remove" in step.remedy
    assert hasattr(module[0], "weight_mask")


@pytest.mark.slow
def test_zeros_of_two_four_sparsity_are_stored_dense(export: Export) -> None:
    """The file is as large as a dense one, and the step says so."""
    module = mlp()
    with torch.no_grad():
        for at in ("0.weight", "3.weight"):
            module.get_parameter(at).reshape(-1, 4)[:, :2] = 0
    step = export(module, "onnx", BATCHES).step("export")
    assert step is not None
    assert "2:4 sparse" in step.evidence
    assert "dense" in step.remedy


def test_other_models_are_not_exported(export: Export) -> None:
    """A function has nothing to export; that is no failure of the format."""
    step = export(lambda x: x, "onnx", BATCHES).stopped_at
    assert step is not None
    assert step.status is Status.ERROR
    assert "only torch modules and scikit-learn estimators are exported" in step.evidence
