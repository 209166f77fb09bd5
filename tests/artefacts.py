"""Saved models of all formats that can be written here, damaged copies of them, and the process that loads those.

`python tests/artefacts.py` loads and runs every model whose path it reads from its input, and answers each by a
line: "ModelError", "outputs", or what else was raised. The process that started it sees where it dies.
"""

from __future__ import annotations

import dataclasses
import os
import random
import selectors
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

FILES = Path(__file__).parent / "models" / "adapters" / "files"
INPUTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
READY = "ready"


def layer() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()


def write_script(folder: Path) -> Path:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script: Any = torch.jit.trace(layer(), torch.ones(2, 4))  # type: ignore[no-untyped-call]
        script.save(folder / "model.pt")
    return folder / "model.pt"


def exported() -> Any:
    import torch

    return torch.export.export(layer(), (torch.ones(2, 4),))


def write_exported(folder: Path) -> Path:
    import torch

    torch.export.save(exported(), folder / "model.pt2")
    return folder / "model.pt2"


def write_module(folder: Path) -> Path:
    import torch

    torch.save(layer(), folder / "model.pth")
    return folder / "model.pth"


def write_package(folder: Path) -> Path:
    import torch

    torch._inductor.aoti_compile_and_package(exported(), package_path=str(folder / "model.pt2"))
    return folder / "model.pt2"


def write_onnx(folder: Path) -> Path:
    import torch

    torch.onnx.export(layer(), (torch.ones(2, 4),), str(folder / "model.onnx"), verbose=False, external_data=False)
    return folder / "model.onnx"


def write_openvino(folder: Path) -> Path:
    import openvino

    openvino.save_model(openvino.Core().read_model(str(write_onnx(folder))), folder / "model.xml")
    (folder / "model.onnx").unlink()
    return folder / "model.xml"


def write_saved_model(folder: Path) -> Path:
    return Path(shutil.copytree(FILES / "dense_savedmodel", folder / "model"))


def write_lite(folder: Path) -> Path:
    return Path(shutil.copy(FILES / "dense.tflite", folder))


def write_lite_int8(folder: Path) -> Path:
    return Path(shutil.copy(FILES / "dense_int8.tflite", folder))


def write_program(folder: Path) -> Path:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(exported(), partitioner=[XnnpackPartitioner()]).to_executorch()
    (folder / "model.pte").write_bytes(lowered.buffer)
    return folder / "model.pte"


def write_skops(folder: Path) -> Path:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    skops.io.dump(LogisticRegression().fit(np.eye(4), [0, 1, 2, 0]), folder / "model.skops")
    return folder / "model.skops"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "TorchScript": write_script,
    "torch.export": write_exported,
    "torch.save": write_module,
    "AOTInductor": write_package,
    "ONNX": write_onnx,
    "OpenVINO": write_openvino,
    "SavedModel": write_saved_model,
    "LiteRT": write_lite,
    "LiteRT int8": write_lite_int8,
    "LiteRT in OpenVINO": write_lite,
    "ExecuTorch": write_program,
    "skops": write_skops,
}
OPTIONS = {"LiteRT in OpenVINO": "?runtime=openvino"}


@dataclasses.dataclass(frozen=True)
class Damage:
    """What is done to one file of a model: a byte is changed, or the file is cut."""

    file: str
    place: int
    flip: int  # 0 cuts the file at the place

    def apply(self, folder: Path) -> None:
        path = folder / self.file
        content = bytearray(path.read_bytes())
        if self.flip:
            content[self.place] ^= self.flip
        else:
            del content[self.place :]
        path.write_bytes(content)


def damages(folder: Path, flips: int, cuts: int, seed: int) -> Iterator[Damage]:
    """Draw damages of the files in a folder."""
    draw = random.Random(seed)  # noqa: S311 - to be repeatable
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for number in range(flips + cuts):
        file = draw.choice(files)
        size = (folder / file).stat().st_size
        yield Damage(file, draw.randrange(size), 0 if number >= flips else draw.randrange(1, 256))


class Runner:
    """A process that loads and runs models, started again whenever it dies or hangs."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.process: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
            )
        return self.process

    def outcome(self, path: str) -> str:
        """Return what loading and running a model gave: also "died (signal)" and "hung"."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(self.limit_s):
                self.close()
                return "hung"
        line = process.stdout.readline().strip()
        return line or f"died ({process.wait()})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def main() -> None:
    """Answer each path of the input by a line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # runtimes print
    from pytest_modelbench.errors import ModelError
    from pytest_modelbench.models.registry import adapt
    from pytest_modelbench.models.saved import Loading

    for line in sys.stdin:
        try:
            compiled = "AOTInductor" in line  # machine code, which must be trusted
            model = adapt(line.strip(), Loading(name="student", threads=1, allow_pickle=compiled))
            model(INPUTS)
            model.describe()
            outcome = "outputs"
        except ModelError as error:
            outcome = f"ModelError: {' '.join(str(error).split())}"
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            outcome = f"{type(error).__name__}: {' '.join(str(error).split())}"
        answers.write(f"{outcome}\n")


if __name__ == "__main__":
    main()
