"""Programs of torch.export: as objects, as their modules, quantised, and as a part of another module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.cost.flops import count_flops

BATCH = torch.linspace(-1, 1, 4 * 50).reshape(4, 50)
PARAMETERS = 50 * 50 + 50 + 50 * 10 + 10


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 10)).eval()


def program(*, dynamic: bool = True) -> Any:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(net(), (BATCH,), dynamic_shapes=shapes)


def model_of(candidate: Any) -> Model:
    return adapt(candidate, Loading(name="student"))


def quantised() -> Any:
    pytest.importorskip("torchao", reason="needs torchao")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    settings = x86.get_default_x86_inductor_quantization_config()
    prepared = prepare_pt2e(program().module(), x86.X86InductorQuantizer().set_global(settings))
    prepared(BATCH)
    return convert_pt2e(prepared)


@pytest.mark.parametrize("make", [program, lambda: program().module()], ids=["program", "module"])
def test_program_runs_as_it_was_exported(make: Any) -> None:
    """The object or its module: it has no evaluation mode, and needs none."""
    model = model_of(make())
    assert model.kind == "torch"
    assert torch.allclose(model(BATCH), net()(BATCH))
    assert not model.unsure()
    assert model.count_parameters().total == PARAMETERS
    assert count_flops(model, BATCH, 4).per_sample == 2 * (50 * 50 + 50 * 10)
    copied = model.replicate()
    assert copied is not None
    assert torch.allclose(copied(BATCH[:1]), net()(BATCH[:1]))


def test_exported_part_of_a_module() -> None:
    """The parts around it are put into evaluation mode, and back."""
    module = nn.Sequential(program().module(), nn.Dropout(0.5))
    model = model_of(module)
    assert torch.allclose(model(BATCH), net()(BATCH))
    assert module[1].training


def test_program_in_memory_for_one_batch_size_says_so() -> None:
    """As one that came out of a file."""
    with pytest.raises(
        ModelError, match=r"export it with dynamic_shapes.* or write EvalData\(\.\.\., batch_size=N\)"
    ):
        model_of(program(dynamic=False))(BATCH[:2])


@pytest.mark.filterwarnings("ignore")
def test_quantised_program_is_counted_without_what_it_left_over() -> None:
    """PT2E keeps the float weights, which its graph reads no more: neither parameters nor bytes."""
    module = quantised()
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS
    assert sum(b.numel() for b in module.buffers()) > 3000
    model = model_of(module)
    assert model(BATCH).shape == (4, 10)
    assert not model.unsure()
    assert model.count_parameters().total == PARAMETERS
    assert model.artefact().size_bytes < 3000 + 4 * 60 + 60 * 12 + 1500
    counted = count_flops(model, BATCH, 4)
    assert (counted.per_sample, dict(counted.uncounted)) == (2 * 3000, {})


@pytest.mark.filterwarnings("ignore")
def test_quantised_part_of_a_module_is_counted_alike() -> None:
    """What a graph left over is left out where the graph is only a part, too."""
    model = model_of(nn.Sequential(quantised(), nn.Linear(10, 2)))
    assert model(BATCH).shape == (4, 2)
    assert model.count_parameters().total == PARAMETERS + 22


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_quantised_archive_loads_in_a_fresh_process(tmp_path: Path) -> None:
    """Nothing but the archive says which operators it calls: torch does not register them by itself."""
    path = tmp_path / "int8.pt2"
    torch.export.save(torch.export.export(quantised(), (BATCH,)), path)
    code = (
        "from pytest_modelbench.models.registry import adapt\n"
        "from pytest_modelbench.models.saved import Loading, SavedModel\n"
        f"print(adapt(SavedModel({str(path)!r}), Loading(name='student')).kind)"
    )
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "torch", ended.stderr
