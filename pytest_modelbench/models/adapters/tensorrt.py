"""Adapter for engines that TensorRT 10 and later built: they run on the GPU they were built for."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorrt as trt
import torch

from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.saved import Loading

_PROFILE = 0
"""The optimisation profile that a new context starts with."""
_TYPES = {
    "FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16, "FP8": torch.float8_e4m3fn,
    "INT8": torch.int8, "UINT8": torch.uint8, "INT32": torch.int32, "INT64": torch.int64, "BOOL": torch.bool,
}  # fmt: skip
"""TensorRT's types that torch has."""
_NOT_IN_NUMPY = {torch.bfloat16, torch.float8_e4m3fn}
_COMPUTES_IN = (
    ("bfloat16", "bf16|bfloat16"), ("float8", "fp8|e4m3"), ("float4", "fp4|e2m1"), ("int8", "int8"),
    ("int4", "int4"), ("float16", "fp16|half"), ("float32", "fp32|float"),
)  # fmt: skip
"""The number types of layers, and the inspector's words for them."""
_MOVES_ONLY = {"Reformat", "NoOp", "Constant", "Shuffle"}
"""Types of layers that compute nothing."""
Shape = tuple[int, ...]


class Log(trt.ILogger):  # type: ignore[misc] # TensorRT is not typed
    """Keeps TensorRT's errors, which its functions do not raise."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, text: str) -> None:
        """Keep an error."""
        if severity in {trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR}:
            self.errors.append(text.strip())

    def told(self) -> str:
        """Return the first error since the last time, and forget all."""
        first = next(iter(self.errors), "TensorRT gave no reason")
        self.errors.clear()
        return first


class Gpu:
    """One GPU and a stream of this model's own, for TensorRT waits longer on the default one.

    Raises:
        RuntimeError: there is no such GPU.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.handle = int(self._stream.cuda_stream)

    def wait(self) -> None:
        """Wait until everything on the stream is done."""
        self._stream.synchronize()

    def wait_for_inputs(self) -> None:
        """Wait until everything on the GPU is done: inputs are copied on another stream."""
        torch.cuda.synchronize(self.device)


class EngineModel(RuntimeModel):
    """A TensorRT engine with an execution context; its inputs and outputs are tensors on the GPU.

    Args:
        path: of the engine.
        loading: how it is loaded; the device is `cuda` by default.
        engine: that was read from the path already; a second context of it shares its weights.

    Raises:
        ModelError: there is no GPU, TensorRT refuses the file, or an input or output is none of torch's tensors.
    """

    kind = "tensorrt"
    runtime = "TensorRT"
    libraries = ("torch", "tensorrt")
    computes_here = False

    def __init__(self, path: Path, loading: Loading, engine: Any = None) -> None:
        super().__init__(path, loading)
        self.log = Log()
        self.gpu = self._gpu(loading.device or "cuda")
        self.engine = engine or self._engine()
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise ModelError(f"{self.name}: {path} gives no execution context: {self.log.told()}")
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        self._types = {name: self._type(name) for name in names}
        is_input = {name: self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self._inputs = [self._port(name) for name in names if is_input[name]]
        self.outputs = [name for name in names if not is_input[name]]

    def _gpu(self, device: str) -> Gpu:
        if device.partition(":")[0] != "cuda":
            raise ModelError(
                f"{self.name}: {self.file} is a TensorRT engine, which runs on NVIDIA GPUs only; found the device "
                f"{device!r}. Write --modelbench-device cuda"
            )
        try:
            return Gpu(device)
        except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
            raise ModelError(
                f"{self.name}: {self.file} is a TensorRT engine, and torch finds no GPU {device!r} to run it on"
            ) from error

    def _engine(self) -> Any:
        trt.init_libnvinfer_plugins(self.log, "")
        engine = trt.Runtime(self.log).deserialize_cuda_engine(self.file.read_bytes())
        if engine is None:
            raise ModelError(
                f"{self.name}: {self.file} cannot be loaded by TensorRT {trt.__version__}: {self.log.told()}. An "
                "engine runs on the GPU and with the version of TensorRT that it was built for. Rebuild it here: "
                f"trtexec --onnx=MODEL.onnx --saveEngine={self.file}"
            )
        return engine

    def _type(self, name: str) -> torch.dtype:
        kind = self.engine.get_tensor_dtype(name).name
        if kind not in _TYPES:
            raise ModelError(f"{self.name}: {self.file} has the type {kind} for {name!r}, which torch does not have")
        if self.engine.is_shape_inference_io(name):
            raise ModelError(
                f"{self.name}: {self.file} has the shape tensor {name!r}, whose values are sizes. Build the engine "
                "from a model whose sizes come from the shapes of its inputs"
            )
        return _TYPES[kind]

    def _port(self, name: str) -> Port:
        kind = torch.float32 if self._types[name] in _NOT_IN_NUMPY else self._types[name]
        shape = tuple(None if size < 0 else size for size in self.engine.get_tensor_shape(name))
        return Port(name=name, dtype=str(kind).removeprefix("torch."), shape=shape)

    def inputs(self) -> Sequence[Port]:
        """Return the inputs of the engine."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Any]:
        """Copy the inputs to the GPU, and return a run that waits for new tensors by the outputs' names.

        Raises:
            ModelError: a shape is not one that the engine was built for.
        """
        tensors = {name: self._on_gpu(name, array) for name, array in feeds.items()}
        for name, tensor in tensors.items():
            self._fits(name, tuple(tensor.shape))
        self.gpu.wait_for_inputs()

        def call() -> dict[str, torch.Tensor]:
            outputs = self._addressed(tensors)
            if not self.context.execute_async_v3(self.gpu.handle):
                raise ModelError(f"TensorRT could not run {self.file.name}: {self.log.told()}")
            self.gpu.wait()
            return outputs

        return call

    def _on_gpu(self, name: str, array: Any) -> torch.Tensor:
        wanted = self._types[name]
        if wanted in _NOT_IN_NUMPY:
            self.casts[name] = f"{array.dtype} -> {str(wanted).removeprefix('torch.')}"
        return torch.from_numpy(array).to(self.gpu.device, wanted)

    def _addressed(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Give the context the inputs and new outputs: other bound batches use the same context."""
        for name, tensor in tensors.items():
            if not self.context.set_input_shape(name, tuple(tensor.shape)):
                raise ModelError(f"TensorRT refuses the shape of the input {name!r}: {self.log.told()}")
            self.context.set_tensor_address(name, tensor.data_ptr())
        outputs = {}
        for name in self.outputs:
            shape = tuple(self.context.get_tensor_shape(name))
            if any(size < 0 for size in shape):
                raise ModelError(
                    f"the size of the output {name!r} depends on the values of the inputs, {shape}, and is not known "
                    "before the call. Build the engine with outputs of known sizes, such as a fixed number of boxes"
                )
            outputs[name] = torch.empty(shape, dtype=self._types[name], device=self.gpu.device)
            self.context.set_tensor_address(name, outputs[name].data_ptr())
        return outputs

    def _fits(self, name: str, shape: Shape) -> None:
        """Check a shape against those that the engine was built for.

        Raises:
            ModelError: it is none of them; the message has the options that rebuild the engine for it.
        """
        least, most = self._sizes(name)
        if len(shape) != len(least):
            raise ModelError(
                f"{self.name}: the input {name!r} has the shape {_times(shape)}, and the engine {self.file.name} "
                f"takes {len(least)} dimensions, {_times(least)} to {_times(most)}"
            )
        if all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True)):
            return
        wider = {"min": map(min, least, shape), "opt": shape, "max": map(max, most, shape)}
        options = " ".join(f"--{end}Shapes={name}:{_times(tuple(sizes))}" for end, sizes in wider.items())
        raise ModelError(
            f"{self.name}: the input {name!r} has the shape {_times(shape)}, and the engine {self.file.name} was "
            f"built for {_times(least)} to {_times(most)}. Rebuild it: trtexec --onnx=MODEL.onnx {options} "
            f"--saveEngine={self.file}"
        )

    def _sizes(self, name: str) -> tuple[Shape, Shape]:
        """Return the least and the largest shape of an input."""
        shape = tuple(self.engine.get_tensor_shape(name))
        if min(shape, default=0) >= 0:
            return shape, shape
        least, _, most = self.engine.get_tensor_profile_shape(name, _PROFILE)
        return tuple(least), tuple(most)

    def replicate(self) -> Model | None:
        """Return a second context of the same engine: it has buffers of its own and shares the weights."""
        return EngineModel(self.file, self.loading, self.engine)

    def precision(self) -> dict[str, Any]:
        """Return how many layers compute in which number type, as the engine's inspector tells."""
        inspector = self.engine.create_engine_inspector()
        inspector.execution_context = self.context  # else layers of dynamic shapes have no type
        layers = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON)).get("Layers", [])
        counts = Counter(kind for layer in layers if isinstance(layer, dict) for kind in _kinds(layer))
        if layers and not counts:
            return {"layers": "not in the engine: build it with trtexec --profilingVerbosity=detailed"}
        return {"layers": dict(counts.most_common())}

    def count_parameters(self) -> ParameterCount:
        """Refuse: an engine does not list its weights.

        Raises:
            NotApplicable: always.
        """
        raise NotApplicable(f"{self.name} is a TensorRT engine, which does not list its weights")

    def describe(self) -> dict[str, Any]:
        """Return the version of TensorRT and the device too."""
        return {**super().describe(), "tensorrt": trt.__version__, "device": str(self.gpu.device)}


def load_engine(path: str, loading: Loading) -> Model:
    """Load a TensorRT engine.

    Raises:
        ModelError: see `EngineModel`.
    """
    return EngineModel(Path(path), loading)


def _kinds(layer: dict[str, Any]) -> Iterator[str]:
    """Yield the number type in which a layer computes: that of its inputs, of which the narrowest one counts."""
    ports = [port for port in layer.get("Inputs", []) if isinstance(port, dict)]
    text = " ".join(str(port.get("Format/Datatype", "")) for port in ports).lower()
    if layer.get("LayerType") not in _MOVES_ONLY:
        yield from [kind for kind, words in _COMPUTES_IN if re.search(rf"\b({words})\b", text)][:1]


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
