"""TVM libraries: real ones, compiled here from modules that torch exports."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

pytest.importorskip("tvm", reason="needs apache-tvm")
LEFT = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
RIGHT = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
COMPILE = """
import sys
import torch, tvm
from torch import nn
from tvm.relax.frontend.torch import from_exported_program

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(8, 3), nn.Linear(4, 3)
    def forward(self, left, right):
        hidden = self.left(left)
        return hidden + self.right(right), hidden

class Last(nn.Module):
    def forward(self, inputs):
        return 2 * inputs

def compiled(module, inputs, path, tuples):
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module.eval(), inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    relax = from_exported_program(program, unwrap_unit_return_tuple=not tuples)
    tvm.compile(relax, target="llvm").export_library(path)

torch.manual_seed(0)
compiled(Net(), (torch.randn(4, 8), torch.randn(4, 4)), sys.argv[1] + "/two.so", True)
compiled(Last(), (torch.randn(4, 8),), sys.argv[1] + "/one.so", False)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile in another process, as users do: two.so (two inputs, two outputs) and one.so."""
    path = tmp_path_factory.mktemp("tvm")
    subprocess.run([sys.executable, "-c", COMPILE, str(path)], check=True, capture_output=True)
    return path


def load(path: Path, **loading: Any) -> Any:
    return adapt(path, Loading(name="student", allow_pickle=True, **loading))


def expected() -> tuple[Any, Any]:
    torch.manual_seed(0)
    left, right = nn.Linear(8, 3), nn.Linear(4, 3)
    with torch.no_grad():
        hidden = left(torch.from_numpy(LEFT))
        return (hidden + right(torch.from_numpy(RIGHT))).numpy(), hidden.numpy()


def test_inputs_have_names_and_outputs_an_order(folder: Path) -> None:
    """TVM checks inputs against annotations, from which names, types and shapes are read."""
    model = load(folder / "two.so")
    assert [str(port) for port in model.inputs()] == ["left (float32, ?x8)", "right (float32, ?x4)"]
    by_name = model({"right": RIGHT, "left": LEFT})
    assert isinstance(by_name, tuple)
    for found, wanted, in_order in zip(by_name, expected(), model((LEFT, RIGHT)), strict=True):
        assert np.allclose(found, wanted, atol=1e-6)
        assert np.array_equal(found, in_order)
    assert model({"left": LEFT[:1], "right": RIGHT[:1]})[0].shape == (1, 3)


def test_one_output_is_an_array_of_its_own(folder: Path) -> None:
    """A later call does not change what an earlier one returned."""
    call = load(folder / "one.so").bind(LEFT)
    first = call()
    first[:] = 0
    assert np.array_equal(call(), 2 * LEFT)


def test_casts_are_stated(folder: Path) -> None:
    """Data in float64 goes to a library of float32 (TVM itself refuses it)."""
    model = load(folder / "one.so")
    assert model(LEFT.astype(np.float64)).dtype == np.float32
    assert list(model.describe()["casts"].values()) == ["float64 -> float32"]


def test_wrong_inputs_are_refused(folder: Path) -> None:
    """By name and number before the call, by shape in TVM's words."""
    model = load(folder / "two.so")
    with pytest.raises(ModelError, match=r"found 1 input\(s\), .* takes 2: left \(float32, \?x8\), right"):
        model(LEFT)
    with pytest.raises(ModelError, match="the inputs lack 'right'"):
        model({"left": LEFT})
    with pytest.raises(ModelError, match="student raised .*param=left.*shape.1. mismatch"):
        model({"left": RIGHT, "right": RIGHT})


def test_identity_and_size_are_those_of_the_file(folder: Path) -> None:
    """And weights are not counted, for TVM does not tell them from other constants."""
    model = load(folder / "two.so")
    copied = model.replicate()
    assert copied.fingerprint() == model.fingerprint() != load(folder / "one.so").fingerprint()
    assert np.array_equal(copied((LEFT, RIGHT))[0], model((LEFT, RIGHT))[0])
    assert model.artefact().size_bytes == (folder / "two.so").stat().st_size
    with pytest.raises(NotApplicable, match="does not tell which of its constants are weights"):
        model.count_parameters()


def test_loading_a_library_needs_trust(folder: Path) -> None:
    """It executes code, as unpickling does."""
    with pytest.raises(ModelError, match=r"two.so is a shared library, .* executes code .*--modelbench-allow-pickle"):
        adapt(folder / "two.so", Loading(name="student"))


def test_a_library_of_another_maker_is_not_loaded(tmp_path: Path) -> None:
    """Its constructors would run: this one writes a file."""
    source, path, witness = tmp_path / "bad.c", tmp_path / "bad.so", tmp_path / "ran"
    source.write_text(
        textwrap.dedent(
            f"""
            #include <stdio.h>
            __attribute__((constructor)) void run(void) {{ fclose(fopen("{witness}", "w")); }}
            """
        )
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    with pytest.raises(ModelError, match="bad.so is a program or shared library that TVM's export_library did not"):
        load(path)
    assert not witness.exists()
    with pytest.raises(ModelError, match="Wrap it in a function"):
        load(Path(sys.executable).resolve())


@pytest.mark.parametrize("left", [8, 63, 64, 500, 0.3, 0.9, -1])
def test_a_library_that_was_cut_off_is_not_loaded(folder: Path, tmp_path: Path, left: float) -> None:
    """The system's loader would end the process."""
    whole = (folder / "two.so").read_bytes()
    end = int(left * len(whole)) if 0 < left < 1 else int(left)
    path = tmp_path / "cut.so"
    path.write_bytes(whole[:end])
    with pytest.raises(ModelError, match="cut.so is damaged: parts that its ELF header names lie outside of it"):
        load(path)


def test_a_library_without_a_program_is_refused(tmp_path: Path) -> None:
    """One of single operators has the mark of export_library, and nothing that could be the model."""
    code = textwrap.dedent(
        f"""
        import tvm
        from tvm import te
        a = te.placeholder((4,), name="a")
        function = te.create_prim_func([a, te.compute((4,), lambda i: a[i] + 1.0, name="b")])
        tvm.compile(function, target="llvm").export_library({str(tmp_path / "operator.so")!r})
        """
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    with pytest.raises(ModelError, match="operator.so"):
        load(tmp_path / "operator.so")


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    """TVM's own words are those of its internals."""
    with pytest.raises(ModelError, match="student: TVM finds no device 'cuda:7' here"):
        load(folder / "one.so", device="cuda:7")
    with pytest.raises(ModelError, match="student: TVM has no device 'abacus'"):
        load(folder / "one.so", device="abacus")


THREADS = """
import os, sys, time
before = os.sched_getaffinity(0)
from pathlib import Path
from pytest_modelbench.models.adapters.tvm import TvmModel, tvm
from tvm import te
a = te.placeholder((1024, 1024), name="a")
schedule = tvm.s_tir.Schedule(te.create_prim_func([a, te.compute((1024, 1024), lambda i, j: te.exp(a[i, j]), name="b")]))
schedule.parallel(schedule.get_loops(schedule.get_sblock("b"))[0])
function = tvm.compile(schedule.mod, target="llvm")["main"]
from pytest_modelbench.models.saved import Loading
import numpy as np
from pytest_modelbench.models.registry import adapt
model = adapt(Path(sys.argv[1]), Loading(name="student", allow_pickle=True, threads=2))
model.bind(np.ones((4, 8), np.float32))()
tensors = [tvm.runtime.tensor(np.zeros((1024, 1024), np.float32)) for _ in range(2)]
spun = 0.0
for _ in range(20):
    function(*tensors)
    start = time.process_time()
    time.sleep(0.01)
    spun += time.process_time() - start
print(tvm.runtime.num_threads(), os.sched_getaffinity(0) == before, spun < 0.02)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_threads_neither_spin_nor_are_pinned(folder: Path) -> None:
    """With TVM's defaults they spin for more than 10 ms after a call, on the time of the other model."""
    told = subprocess.run(
        [sys.executable, "-c", THREADS, str(folder / "one.so")], check=True, capture_output=True, text=True
    ).stdout
    assert told.split() == ["2", "True", "True"]
