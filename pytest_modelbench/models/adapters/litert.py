"""Adapter for .tflite files that LiteRT executes; TensorFlow or OpenVINO do where LiteRT is not installed."""

from __future__ import annotations

import collections
import importlib.util
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.trial import try_first

RUNTIMES = {"litert": "ai_edge_litert", "tensorflow": "tensorflow", "openvino": "openvino"}
"""What `model.tflite?runtime=...` may ask for, the preferred first, with the package of each."""
_WITH_WEIGHTS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV", "CONV_3D"}


@dataclass(frozen=True)
class Quantised:
    """How real numbers are stored as integers: `real = (stored - zero_point) * scale`."""

    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def store(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return real numbers as integers, rounded and limited to the range of the type."""
        info = np.iinfo(self.dtype)
        stored = np.rint(array.astype(np.float64) / self.scale) + self.zero_point
        limited: npt.NDArray[Any] = np.clip(stored, info.min, info.max).astype(self.dtype)
        return limited

    def real(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return integers as real numbers."""
        return ((array.astype(np.float32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)

    def __str__(self) -> str:
        return f"{self.dtype} (scale {self.scale:.6g}, zero point {self.zero_point})"


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name in the signature, its index in the interpreter, and what it holds."""

    name: str
    index: int
    dtype: Any
    shape: tuple[int | None, ...]
    quantised: Quantised | None

    def real(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what it holds as real numbers where it is quantised."""
        return self.quantised.real(array) if self.quantised else array


class LiteRtModel(RuntimeModel):
    """A .tflite file in an interpreter of LiteRT.

    Quantised inputs and outputs are converted from and to real numbers by the scales of the file; integers of the
    file's own type are taken as they are. One interpreter runs one call at a time.

    Args:
        path: of the file.
        loading: its name and threads; the only device is the CPU.

    Raises:
        ModelError: the file cannot be loaded, or another device is asked for.
    """

    kind = "litert"
    runtime = "LiteRT"
    libraries = ("ai_edge_litert.interpreter",)

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        if (loading.device or "cpu") != "cpu":
            raise ModelError(f"{self.name}: LiteRT runs {path.name} on cpu only, not on {loading.device}")
        try:
            self.interpreter = self._interpreter(path)
            named = self._signature()
            self.tensors = [_tensor(details, named) for details in self.interpreter.get_input_details()]
            self.outputs = [_tensor(details, named) for details in self.interpreter.get_output_details()]
        except (RuntimeError, ValueError) as error:
            raise self.unreadable(error) from error
        self._running = threading.Lock()
        self._allocated: tuple[tuple[int, ...], ...] = ()

    def _interpreter(self, path: Path) -> Any:
        """Return an interpreter with memory for the shapes of the file."""
        from ai_edge_litert.interpreter import Interpreter

        return _allocated(Interpreter, path, self.threads)

    def _schema(self) -> Any:
        """Return the reader of the file's content."""
        from ai_edge_litert import schema_py_generated

        return schema_py_generated

    def _signature(self) -> dict[int, str]:
        """Return the names of inputs and outputs in the file's signature by their index."""
        own = {
            details["index"]
            for details in (*self.interpreter.get_input_details(), *self.interpreter.get_output_details())
        }
        for key in self.interpreter.get_signature_list():
            runner = self.interpreter.get_signature_runner(key)
            signature = {**runner.get_input_details(), **runner.get_output_details()}
            if own == {details["index"] for details in signature.values()}:
                return {details["index"]: name for name, details in signature.items()}
        return {}

    def inputs(self) -> Sequence[Port]:
        """Return the inputs; those that are quantised take any type of number."""
        return [
            Port(name=tensor.name, dtype="" if tensor.quantised else np.dtype(tensor.dtype).name, shape=tensor.shape)
            for tensor in self.tensors
        ]

    def prepared(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return a call that copies the feeds into the interpreter and runs it; its outputs are copies.

        Raises:
            ModelError: an input has another shape than the file takes.
        """
        arrays = [self._stored(tensor, feeds[tensor.name]) for tensor in self.tensors]
        for port, array in zip(self.inputs(), arrays, strict=True):
            self.check_shape(port, array.shape, "a batch of any size")
        shapes = tuple(array.shape for array in arrays)
        interpreter, running = self.interpreter, self._running
        indices, outputs = [tensor.index for tensor in self.tensors], self.outputs

        def call() -> Arrays:
            with running:
                if self._allocated != shapes:
                    self._allocate(shapes)
                for index, array in zip(indices, arrays, strict=True):
                    interpreter.set_tensor(index, array)
                interpreter.invoke()
                raw = {tensor.name: interpreter.get_tensor(tensor.index) for tensor in outputs}
            return {tensor.name: tensor.real(raw[tensor.name]) for tensor in outputs}

        return call

    def _allocate(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        self._allocated = ()  # a failure leaves nothing allocated
        for tensor, shape in zip(self.tensors, shapes, strict=True):
            self.interpreter.resize_tensor_input(tensor.index, shape)
        self.interpreter.allocate_tensors()
        self._allocated = shapes

    def _stored(self, tensor: Tensor, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if tensor.quantised is None or array.dtype == tensor.dtype:
            return array
        self.casts[tensor.name] = f"{array.dtype} -> {tensor.quantised}"
        return tensor.quantised.store(array)

    def _weights(self) -> list[npt.NDArray[Any]]:
        try:
            return _constants(_content(self.file, self._schema()), self._schema())
        except Exception as error:  # what its reader meets in a damaged file
            raise self.unreadable(error) from error

    def count_parameters(self) -> ParameterCount:
        """Count the constants of the file as stored: the converter may have folded layers into others."""
        arrays = self._weights()
        floating = [array for array in arrays if _is_weight(array)]
        total = sum(array.size for array in floating)
        return ParameterCount(
            total=total,
            nonzero=sum(int(np.count_nonzero(array)) for array in floating),
            buffers=sum(array.size for array in arrays) - total,
            stored=True,
        )

    def precision(self) -> dict[str, Any]:
        """Return the types of the inputs of operators with weights, and the type that most weights are stored in.

        Returns:
            JSON types: `computes_in` counts operators by type, `stored_as` is the type of most weights by bytes,
            and `note` says where the two differ.
        """
        try:
            computed = collections.Counter(_computed_in(_content(self.file, self._schema()), self._schema()))
            arrays = self._weights()
        except Exception as error:  # noqa: BLE001 - the reader raises whatever it meets in a file that LiteRT takes
            return {"unknown": f"the content of the file cannot be read: {cause_of(error)}"}
        held: collections.Counter[str] = collections.Counter()
        for array in arrays:
            if _is_weight(array):
                held[array.dtype.name] += array.nbytes
        stored = held.most_common(1)[0][0] if held else ""
        differs = bool(computed) and bool(stored) and stored not in computed
        return {
            "computes_in": dict(computed),
            "stored_as": stored,
            "note": f"{stored} on disk, the inputs of its operators are {' and '.join(sorted(computed))}"
            if differs
            else "",
        }

    def describe(self) -> dict[str, Any]:
        """Return which inputs and outputs are quantised too."""
        quantised = {
            tensor.name: str(tensor.quantised) for tensor in (*self.tensors, *self.outputs) if tensor.quantised
        }
        return {**super().describe(), **({"quantised": quantised} if quantised else {})}


class TensorFlowLiteModel(LiteRtModel):
    """A .tflite file in the interpreter that TensorFlow brings, which is LiteRT under its former name."""

    runtime = "LiteRT in TensorFlow"
    libraries = ("tensorflow",)

    def _interpreter(self, path: Path) -> Any:
        from pytest_modelbench.models.adapters.tensorflow_runtime import imported

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it advises to install LiteRT
            return _allocated(imported(self.name).lite.Interpreter, path, self.threads)

    def _schema(self) -> Any:
        from tensorflow.lite.python import schema_py_generated

        return schema_py_generated


def load_litert(path: str, loading: Loading) -> Model:
    """Load a .tflite file into LiteRT, or into the runtime that is installed or asked for.

    Raises:
        ImportError: none of them is installed, or not the one that is asked for.
        ModelError: the runtime is unknown, or refuses the file.
    """
    asked = dict(loading.options).get("runtime")
    if asked not in {None, *RUNTIMES}:
        *most, last = RUNTIMES
        raise ModelError(f"{loading.name}: runtime={asked} is unknown, expected {', '.join(most)} or {last}")
    chosen = asked or next(iter(available()), "litert")
    if chosen == "openvino":
        from pytest_modelbench.models.adapters.openvino import OpenVinoModel, load_openvino

        if not loading.alone:  # some damage makes OpenVINO's reader of such files loop for ever
            try_first(f"{OpenVinoModel.__module__}:load_openvino", Path(path), asdict(loading))
        return load_openvino(path, loading)
    return (LiteRtModel if chosen == "litert" else TensorFlowLiteModel)(Path(path), loading)


def available() -> list[str]:
    """Return the runtimes that are installed, the preferred one first."""
    return [runtime for runtime, package in RUNTIMES.items() if importlib.util.find_spec(package) is not None]


def _allocated(kind: Any, path: Path, threads: int) -> Any:
    interpreter = kind(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _tensor(details: dict[str, Any], named: dict[int, str]) -> Tensor:
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"])
    quantised = scale and dtype.kind in "iu"
    return Tensor(
        name=named.get(details["index"], details["name"]),
        index=details["index"],
        dtype=dtype,
        shape=tuple(None if size < 0 else int(size) for size in details["shape_signature"]),
        quantised=Quantised(dtype, float(scale), int(zero_point)) if quantised else None,
    )


def _content(file: Path, schema: Any) -> Any:
    return schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)


def _constants(content: Any, schema: Any) -> list[npt.NDArray[Any]]:
    """Return the tensors that the file holds; packed integers of 4 bits as their bytes."""
    constants = []
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            data = content.buffers[tensor.buffer].data
            if data is not None and len(data):
                name, kind = _type_name(tensor.type, schema), np.asarray(data, dtype=np.uint8)
                constants.append(kind.view(name) if name in np.sctypeDict else kind)
    return constants


def _type_name(kind: int, schema: Any) -> str:
    return str(next(name for name, value in vars(schema.TensorType).items() if value == kind)).lower()


def _is_weight(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind == "f" or array.dtype.itemsize == 1


def _computed_in(content: Any, schema: Any) -> list[str]:
    """Return the type of the first input of each operator with weights."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "") for code in content.operatorCodes]
    return [
        _type_name(graph.tensors[operator.inputs[0]].type, schema)
        for graph in content.subgraphs
        for operator in graph.operators
        if codes[operator.opcodeIndex] in _WITH_WEIGHTS
    ]
