"""ExecuTorch programs, lowered here with and without a delegate."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Net(torch.nn.Module):
    """One layer that a delegate takes, and a sum that it does not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(x), x.cumsum(1)


INPUTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of programs: static and delegated, portable, and one with an open batch."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    folder = tmp_path_factory.mktemp("programs")
    open_batch: Any = ({0: torch.export.Dim("batch", max=16)},)
    for name, partitioners, shapes in (
        ("delegated", [XnnpackPartitioner()], None),
        ("portable", [], None),
        ("dynamic", [XnnpackPartitioner()], open_batch),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(Net().eval(), (torch.ones(2, 4),), dynamic_shapes=shapes)
            lowered = to_edge_transform_and_lower(program, partitioner=partitioners).to_executorch()
        (folder / f"{name}.pte").write_bytes(lowered.buffer)
    return folder


@pytest.fixture
def no_first_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load intact programs at once; the fresh process that loads each file first is the subject of other tests."""
    monkeypatch.setattr("pytest_modelbench.models.saved.try_first", lambda *_: None)


def load(path: Path, **loading: Any) -> Any:
    return adapt(str(path), Loading(name="student", **loading))


def test_answers_and_the_delegated_share(programs: Path) -> None:
    """Outputs are those of the module, and the share says whether slow portable kernels run."""
    expected = Net()(torch.from_numpy(INPUTS))
    for name, share in (
        ("delegated", "1 of 2 calls run in a delegate"),
        ("portable", "0 of .* portable kernels are"),
    ):
        model = load(programs / f"{name}.pte")
        outputs = model(INPUTS.astype(np.float64))
        for found, wanted in zip(outputs, expected, strict=True):
            assert np.allclose(found, wanted.detach().numpy(), atol=1e-6)
        told = model.describe()
        assert re.match(share, told["operators"]["share"]), told["operators"]
        assert told["shapes"] == "static"
        assert told["casts"] == {"input_0": "float64 -> float32"}
    assert model.fingerprint() == load(programs / "portable.pte").fingerprint()
    assert model.artefact().size_bytes == (programs / "portable.pte").stat().st_size


def test_shapes(programs: Path, no_first_load: None) -> None:
    """A static program takes batches up to its own, and says so; an open one takes others up to its limit."""
    fixed = load(programs / "delegated.pte", pads=True)
    assert np.allclose(fixed(INPUTS[:1])[0], fixed(INPUTS)[0][:1], atol=1e-6)
    assert fixed.describe()["padding"]["note"] == "batches are padded to 2"
    with pytest.raises(ModelError, match=r"takes only batch 2: input_0 \(float32, 2x4\), found 4x4.*dynamic_shapes"):
        fixed(np.concatenate([INPUTS, INPUTS]))
    model = load(programs / "dynamic.pte")
    call = model.bind(INPUTS)
    first = call()[0]
    kept = first.copy()
    assert model(INPUTS[:1] + 3)[0].shape == (1, 3)
    assert np.array_equal(first, kept)
    assert model.describe()["shapes"] == "dynamic"
    with pytest.raises(ModelError, match="student raised RuntimeError on inputs of shape"):
        model(np.ones((17, 4), dtype=np.float32))


def test_a_truncated_program_is_refused(programs: Path, tmp_path: Path) -> None:
    """By the fresh process that loads it first, or by the runtime."""
    (tmp_path / "cut.pte").write_bytes((programs / "portable.pte").read_bytes()[:700])
    with pytest.raises(ModelError, match=r"cut.pte (cannot be loaded by ExecuTorch|ends the process)"):
        load(tmp_path / "cut.pte")


def test_another_device_is_refused(programs: Path, no_first_load: None) -> None:
    """ExecuTorch computes on the processor."""
    with pytest.raises(ModelError, match="on cpu only, not on cuda"):
        load(programs / "portable.pte", device="cuda")
