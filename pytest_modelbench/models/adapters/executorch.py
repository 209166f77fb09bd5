"""Adapter for ExecuTorch programs (.pte)."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ExecuTorch's own, which a suite may have turned into errors
    from executorch.runtime import Runtime, Verification

METHOD = "forward"
_TYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
}  # fmt: skip
_STATIC = 0
"""What a program says of a tensor whose shape cannot change."""


class ExecuTorchModel(RuntimeModel):
    """The method `forward` of an ExecuTorch program.

    Inputs and outputs of a program have an order and no names: inputs that the data name are matched by their order,
    and several outputs are a tuple. The
    runtime has one pool of threads for the whole process, whose size is that of its own default.

    Args:
        path: of the file.
        loading: its name; the only device is the CPU.

    Raises:
        ModelError: the file cannot be loaded, lacks `forward`, or another device is asked for.
    """

    kind = "executorch"
    runtime = "ExecuTorch"
    names_inputs = False
    libraries = ("torch", "executorch.runtime")

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        if (loading.device or "cpu") != "cpu":
            raise ModelError(f"{self.name}: ExecuTorch runs {path.name} on cpu only, not on {loading.device}")
        self.threads = pool_size()
        try:
            self.program = Runtime.get().load_program(path, verification=Verification.InternalConsistency)
            method = self.program.load_method(METHOD) if METHOD in self.program.method_names else None
        except (RuntimeError, ValueError) as error:
            raise self.unreadable(error) from error
        if method is None:
            methods = ", ".join(sorted(self.program.method_names)) or "none"
            raise ModelError(f"{self.name}: {path} has no method {METHOD!r}, found: {methods}")
        self.method = method
        self.plan = self._plan()
        self._inputs = self._ports()

    def _plan(self) -> Any:
        """Return what the program executes, as the classes that ExecuTorch writes it from."""
        from executorch.exir._serialize._program import deserialize_pte_binary

        try:
            read = deserialize_pte_binary(self.file.read_bytes())
            plans = read.program.execution_plan
            return next(plan for plan in plans if plan.name == METHOD)
        except Exception as error:  # its reader raises whatever it meets
            raise self.unreadable(error) from error

    def _ports(self) -> list[Port]:
        metadata, ports = self.method.metadata, []
        for index in range(metadata.num_inputs()):
            value = self.plan.values[self.plan.inputs[index]].val
            if not hasattr(value, "shape_dynamism"):
                raise ModelError(
                    f"{self.name}: the input {index} of {self.file} is not a tensor, expected tensors only"
                )
            tensor = metadata.input_tensor_meta(index)
            dynamic = int(value.shape_dynamism) != _STATIC
            ports.append(
                Port(
                    name=f"input_{index}",
                    dtype=_TYPES.get(int(tensor.dtype()), ""),
                    shape=tuple(None if dynamic else int(size) for size in tensor.sizes()),
                )
            )
        return ports

    def inputs(self) -> Sequence[Port]:
        """Return the inputs; the dimensions of those that are not static are open up to the exported limits."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Any]:
        """Return an execution on the feeds; its outputs are copies.

        Raises:
            ModelError: an input has another shape than the file takes.
        """
        for port, array in zip(self._inputs, feeds.values(), strict=True):
            self.check_shape(port, array.shape, "dynamic_shapes={...}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors, execute = [torch.from_numpy(array) for array in feeds.values()], self.method.execute

        def call() -> Any:
            outputs = tuple(map(_array, execute(tensors)))
            return outputs[0] if len(outputs) == 1 else outputs

        return call

    def describe(self) -> dict[str, Any]:
        """Return how much of the program runs in a delegate, and whether its shapes are static too."""
        static = all(None not in (port.shape or ()) for port in self._inputs)
        return {**super().describe(), "operators": self.operators(), "shapes": "static" if static else "dynamic"}

    def operators(self) -> dict[str, Any]:
        """Return which parts of the program run in delegates, and which in portable kernels.

        Returns:
            JSON types: `delegated` counts the parts that each delegate runs, `portable` the calls of each other
            operator, and `share` says both in words.
        """
        steps = [instruction.instr_args for chain in self.plan.chains for instruction in chain.instructions]
        delegated = collections.Counter(
            self.plan.delegates[step.delegate_index].id for step in steps if hasattr(step, "delegate_index")
        )
        portable = collections.Counter(
            self.plan.operators[step.op_index].name for step in steps if hasattr(step, "op_index")
        )
        calls = delegated.total() + portable.total()
        note = "" if delegated else ": portable kernels are slow. Lower it with XnnpackPartitioner"
        return {
            "delegated": dict(delegated),
            "portable": dict(portable),
            "share": f"{delegated.total()} of {calls} calls run in a delegate{note}",
        }


def load_program(path: str, loading: Loading) -> Model:
    """Load an ExecuTorch program.

    Raises:
        ModelError: it is damaged, or ExecuTorch refuses it.
    """
    return ExecuTorchModel(Path(path), loading)


def pool_size() -> int:
    """Return how many threads the runtime's pool has."""
    from executorch.extension.pybindings import portable_lib

    return int(portable_lib._threadpool_get_thread_count())  # noqa: SLF001 - there is no other way to learn it


def _array(value: Any) -> Any:
    return value.detach().numpy().copy() if isinstance(value, torch.Tensor) else value
