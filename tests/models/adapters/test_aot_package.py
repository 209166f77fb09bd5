"""AOTInductor packages: one that is compiled here, and copies that say they were compiled elsewhere."""

from __future__ import annotations

import json
import platform
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading, SavedModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="compiles by g++"),
]
INPUTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


class Net(torch.nn.Module):
    """One layer with a named output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(x).relu()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for batches of up to 16 samples."""
    shapes: Any = ({0: torch.export.Dim("batch", max=16)},)
    program = torch.export.export(Net().eval(), (torch.ones(2, 4),), dynamic_shapes=shapes)
    path = str(tmp_path_factory.mktemp("package") / "net.pt2")
    return Path(torch._inductor.aoti_compile_and_package(program, package_path=path))


def changed(package: Path, path: Path, **metadata: str) -> Path:
    """Write a copy of a package that says something else about the machine that it was compiled for."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member.endswith("_metadata.json"):
                content = json.dumps({**json.loads(content), **metadata}).encode()
            new.writestr(member, content)
    return path


def test_answers_as_the_module(package: Path) -> None:
    """Positional and named inputs; the outputs keep their structure."""
    model = adapt(str(package), Loading(name="student", allow_pickle=True))
    assert model.kind == "aotinductor"
    expected = Net()(torch.from_numpy(INPUTS))["logits"]
    for inputs in (INPUTS, (INPUTS.astype(np.float64),), {"x": torch.from_numpy(INPUTS)}):
        assert torch.allclose(model(inputs)["logits"], expected, atol=1e-6)
    told = model.describe()
    assert told["casts"] == {"arrays": "float64 -> float32"}
    assert told["precision"]["isa"]
    assert model.artefact().size_bytes == package.stat().st_size
    again = model.replicate()
    assert again is not None
    assert again.fingerprint() == model.fingerprint()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares instruction sets of x86")
def test_newer_instructions_are_refused_before_loading(package: Path, tmp_path: Path) -> None:
    """They would end the process; both machines are named."""
    newer = changed(package, tmp_path / "newer.pt2", AOTI_CPU_ISA="AVX2 AVX1024")
    with pytest.raises(ModelError, match=r"compiled for AVX2 AVX1024, and this processor has .*first AVX1024"):
        adapt(str(newer), Loading(name="student", allow_pickle=True))
    older = changed(package, tmp_path / "older.pt2", AOTI_CPU_ISA="")
    assert adapt(str(older), Loading(name="student", allow_pickle=True))(INPUTS)
    foreign = changed(package, tmp_path / "foreign.pt2", AOTI_MACHINE="aarch64")
    with pytest.raises(ModelError, match="compiled for aarch64, and this machine is x86_64"):
        adapt(str(foreign), Loading(name="student", allow_pickle=True))
    with pytest.raises(ModelError, match="compiled for cpu, and you asked for cuda|device asked for is cuda"):
        adapt(str(package), Loading(name="student", device="cuda", allow_pickle=True))


def test_a_damaged_package_is_not_loaded(package: Path, tmp_path: Path) -> None:
    """Its machine code would run: the checksum is compared before."""
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.pt2").write_bytes(content)
    with pytest.raises(ModelError, match="is damaged: the checksum of its part"):
        adapt(str(tmp_path / "damaged.pt2"), Loading(name="student", allow_pickle=True))


def test_compiled_code_must_be_trusted(package: Path) -> None:
    """A package holds machine code, so it is refused like a pickle; the session trusts what it made itself."""
    with pytest.raises(ModelError, match="loading it executes code from the file.*torch.export archive"):
        adapt(str(package), Loading(name="student"))
    assert adapt(SavedModel(str(package), trusted=True), Loading(name="student")).kind == "aotinductor"
