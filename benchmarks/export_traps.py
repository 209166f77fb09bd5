"""Who notices that an exported file is not the model? Files with one known fault each, shown to four judges.

Every judge gets the same ONNX file and the same inputs:

- torch: `torch.onnx.export(verify=True)` itself if the export alone makes the fault; for files that are changed after
  the export its checker and comparison with its own thresholds;
- Polygraphy: `Comparator.compare_accuracy` with its default function, between the model's outputs and OnnxrtRunner's;
- numpy: `numpy.allclose` with its defaults on the outputs in their order;
- modelbench: the steps of the KPI `export`, of an exporter that writes this file.

"passes" is what the judge says of the file, so it is wrong in every row but those marked as right files. Sums of
8-bit products saturate on processors without VNNI only. On others the file of that row is right: see its reason.

Usage: python benchmarks/export_traps.py [--only WORD]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.comparator import Comparator, IterationResult, RunResults
from polygraphy.logger import G_LOGGER
from torch import nn
from torch.onnx._internal.exporter import _verification

from pytest_modelbench.exports import onnx_file
from pytest_modelbench.exports.blame import INTEGER_FLAGS, blame, processor_flags
from pytest_modelbench.exports.options import ExportOptions, Target
from pytest_modelbench.exports.parity import compare
from pytest_modelbench.exports.run import export_to
from pytest_modelbench.exports.steps import Exported
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

ROWS, WIDTH = 4, 8
TORCH_ABSOLUTE, TORCH_RELATIVE = 5e-3, 1e-1
"""From which differences on `verify=True` warns (torch/onnx/_internal/exporter/_core.py)."""
INT8_PARITY = 5e-2
Program = Any
Array = npt.NDArray[Any]


class Heads(nn.Module):
    """Two outputs of one shape, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.box = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return both."""
        return {"score": self.score(x), "box": self.box(x)}


class Sized(nn.Module):
    """Makes a constant of the batch size that it is exported with."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: torch.Tensor) -> Any:
        """Return logits."""
        return self.head(x).reshape(int(x.shape[0]), -1)


class Nothing(nn.Module):
    """Finds nothing: an output of no columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an array (n, 0)."""
        return x[:, WIDTH:] * 2


class Repeated(nn.Module):
    """The same score in three columns."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor) -> Any:
        """Return an array (n, 3)."""
        return self.head(x).expand(-1, 3) * 1.0


class Signs(nn.Module):
    """A matrix product whose weights are -1 and 1, and fill the range of int8."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(256, 64).sign())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product (n, 64)."""
        return x @ self.weight


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 4))


def untouched(_program: Program) -> None:
    """Leave the file as it was exported."""


def one_class_is_nan(program: Program) -> None:
    """Damage the bias of one class."""
    value = program.model.graph.initializers["2.bias"]
    bias = np.array(value.const_value.numpy())
    bias[1] = np.nan
    value.const_value = onnx_ir.tensor(bias, name=value.name)


def last_output_is_gone(program: Program) -> None:
    """Leave out the last output."""
    program.model.graph.outputs.pop()


def last_output_is_renamed(program: Program) -> None:
    """Give the last output another name."""
    program.model.graph.outputs[-1].name = "regions"


def one_column_only(program: Program) -> None:
    """Answer one column of the three, which broadcasting repeats."""
    graph = program.model.graph
    columns = onnx_ir.tensor(np.array([1], dtype=np.int64), name="one")
    graph.initializers["one"] = onnx_ir.Value(name="one", const_value=columns)
    node = onnx_ir.node("ReduceMean", [graph.outputs[0], graph.initializers["one"]])
    graph.append(node)
    column = node.outputs[0]
    column.name, column.dtype = "column", graph.outputs[0].dtype
    column.shape = onnx_ir.Shape([graph.outputs[0].shape[0], 1])
    graph.outputs[0] = column


def to_int8(program: Program) -> None:
    """Quantise by ONNX Runtime's own function, with signed weights over the whole range."""
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        program.save(plain)
        quantize_dynamic(plain, quantised, weight_type=QuantType.QInt8)
        program.model = onnx_ir.from_proto(onnx.load(str(quantised)))


@dataclass(frozen=True, kw_only=True)
class Trap:
    """A file with one fault.

    Attributes:
        name: what is wrong with it.
        build: returns the module.
        damage: changes the program after the export.
        arguments: more of torch.onnx.export's.
        shape: of a batch.
        parity: the greatest parity that passes.
    """

    name: str
    build: Callable[[], nn.Module] = classifier
    damage: Callable[[Program], None] = untouched
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (ROWS, WIDTH)
    parity: float = 1e-4

    @property
    def exported(self) -> dict[str, Any]:
        """The arguments of torch.onnx.export."""
        return {"dynamo": True, "dynamic_shapes": ({0: "batch"},), **self.arguments}


NAMES = {"output_names": ["score", "box"]}
AUTO = {"dynamic_shapes": ({0: torch.export.Dim.AUTO},)}
SATURATION = "int8 weights of -1 and 1, `quantize_dynamic(QInt8)`"
TRAPS = (
    Trap(name="none: a right file", build=Heads, arguments=NAMES),
    Trap(name="NaN for one class", damage=one_class_is_nan),
    Trap(name="two outputs swapped by `output_names`", build=Heads, arguments={"output_names": ["box", "score"]}),
    Trap(name="an output is missing", build=Heads, damage=last_output_is_gone, arguments=NAMES),
    Trap(name="an output is renamed", build=Heads, damage=last_output_is_renamed, arguments=NAMES),
    Trap(name="batch size lost: `int(x.shape[0])`, `Dim.AUTO`", build=Sized, arguments=AUTO),
    Trap(name="an output without elements", build=Nothing),
    Trap(name="one column where the model has three", build=Repeated, damage=one_column_only),
    Trap(name=SATURATION, build=Signs, damage=to_int8, shape=(64, 256), parity=INT8_PARITY),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trap set up: the model, what it answers, and the program with its file."""

    trap: Trap
    module: nn.Module
    batch: torch.Tensor
    reference: Mapping[str, Array]
    program: Program
    path: Path

    @contextlib.contextmanager
    def exporter(self) -> Iterator[None]:
        """Let the exporter of ONNX files write this file."""

        def write(_source: Any, folder: Path) -> Path:
            path = folder / "model.onnx"
            self.program.save(path)
            return path

        with mock.patch.object(onnx_file, "export", write):
            yield


def set_up(trap: Trap, folder: Path) -> Case:
    """Export a trap's module and damage the program."""
    torch.manual_seed(0)
    module, batch = trap.build().eval(), torch.randn(*trap.shape)
    program: Program = torch.onnx.export(module, (batch,), verbose=False, **trap.exported)
    trap.damage(program)
    path = folder / "trap.onnx"
    program.save(path)
    with torch.inference_mode():
        found = module(batch)
    named = found if isinstance(found, dict) else {program.exported_program.graph_signature.user_outputs[0]: found}
    reference = {name: value.numpy() for name, value in named.items()}
    return Case(trap=trap, module=module, batch=batch, reference=reference, program=program, path=path)


def by_torch(case: Case) -> str:
    """Judge by `verify=True`, or as it does: the checker, then the largest differences of each pair of outputs."""
    if case.trap.damage is untouched:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            torch.onnx.export(case.module, (case.batch,), verify=True, verbose=True, **case.trap.exported)
        return "passes" if "Verify output accuracy... ✅" in printed.getvalue() else "fails"
    try:
        onnx.checker.check_model(onnx.load(str(case.path)))
    except onnx.checker.ValidationError as error:
        return f"fails: {str(error).splitlines()[0]}"
    found = _verification.verify_onnx_program(case.program)
    large = [
        one for one in found if one.max_abs_diff >= TORCH_ABSOLUTE or one.max_rel_diff >= TORCH_RELATIVE
    ]  # NaN is neither
    return f"fails: differs by {large[0].max_abs_diff:.2g}" if large else "passes"


def by_polygraphy(case: Case) -> str:
    """Judge by Polygraphy's default comparison, with the model's outputs first."""
    feed = {onnx.load(str(case.path)).graph.input[0].name: case.batch.numpy()}
    results = RunResults()
    results.append(("model", [IterationResult(outputs=dict(case.reference), runner_name="model")]))
    with OnnxrtRunner(SessionFromOnnx(str(case.path))) as runner:
        outputs = {name: np.array(value) for name, value in runner.infer(feed).items()}
    results.append(("file", [IterationResult(outputs=outputs, runner_name="file")]))
    return "passes" if bool(Comparator.compare_accuracy(results)) else "fails"


def by_numpy(case: Case) -> str:
    """Judge by numpy.allclose on the outputs in their order."""
    outputs = OnnxModel(case.path, Loading(name="file"))(case.batch).values()
    try:
        close = all(np.allclose(r, g) for r, g in zip(case.reference.values(), outputs, strict=False))
    except ValueError as error:
        return f"cannot compare: {error}"
    return "passes" if close else "fails"


def by_modelbench(case: Case, folder: Path) -> Exported:
    """Take the steps of the KPI `export`."""
    model = adapt(case.module, Loading(name="model"))
    with case.exporter():
        return export_to(model, [case.batch], Target(format="onnx"), folder, ExportOptions(parity=case.trap.parity))


def blamed(case: Case) -> tuple[str, str]:
    """Return what makes a quantised file wrong, and what to do, where its runtime does; "" and "" if it does not."""

    def parity(model: Model) -> float:
        answered = tuple(model(case.batch).values())
        return compare(tuple(case.reference.values()), answered, rows=len(case.batch)).value

    found = blame(OnnxModel(case.path, Loading(name="file")), parity, case.trap.parity)
    return (found.evidence, found.remedy) if found else ("", "")


def row(case: Case, folder: Path) -> str:
    """Return what every judge says of a trap, as a row of the table."""
    ours = by_modelbench(case, folder)
    cells = [case.trap.name, by_torch(case), by_polygraphy(case), by_numpy(case)]
    stopped = ours.stopped_at
    if stopped is None:
        parity = next(step.numbers["value"] for step in ours.steps if step.name == "parity")
        integers = ", ".join(sorted(processor_flags() & set(INTEGER_FLAGS)))
        right = f"parity {parity:.2g}"
        if case.trap.damage is to_int8 and integers:
            right = f"a right file here: this processor has {integers}; {right} of at most {case.trap.parity:g}"
        return _joined([*cells, "passes", right, ""])
    evidence, remedy = blamed(case) if case.trap.damage is to_int8 else ("", "")
    return _joined([*cells, f"fails: {stopped.name}", evidence or stopped.evidence, remedy or stopped.remedy])


def _joined(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="only traps with this word in their name")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    print(
        "| fault | torch | Polygraphy | numpy | modelbench | its reason | its remedy |\n|---|---|---|---|---|---|---|"
    )
    for trap in (one for one in TRAPS if only in one.name):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            case = set_up(trap, Path(folder))
            told = row(case, Path(folder, "export"))
        print(told, flush=True)


if __name__ == "__main__":
    main()
