"""Adapter for files that OpenVINO executes: its IR, TensorFlow SavedModels, and .tflite files."""

from __future__ import annotations

import collections
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import openvino

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.saved import Loading

PRECISIONS = ("f32", "f16", "bf16")
"""What `model.xml?precision=...` may ask for."""
DEVICES = {"cpu": "CPU", "xpu": "GPU"}
"""OpenVINO's name of a device that `--modelbench-device` names."""
_TYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "u1": "uint1",
    **{f"i{bits}": f"int{bits}" for bits in (4, 8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (4, 8, 16, 32, 64)},
}  # fmt: skip
_WITH_WEIGHTS = {
    "Convolution", "Deconvolution", "FullyConnected", "MatMul", "LSTMCell", "LSTMSequence", "GRUCell", "GRUSequence",
    "RNNCell", "RNNSeq", "ScaledDotProductAttention",
}  # fmt: skip
_NOT_COMPUTING = {"Input", "Output", "Const", "Reorder", "Convert", "Reshape", "Transpose"}
_PADDING_BYTES = 64
"""By how much a file of weights may be longer than what the graph reads of it."""
_RAISED_BY = re.compile(r"(Exception from|Check '.*' failed at) .*")


_CORES: list[openvino.Core] = []
"""Those that compiled a model. They live as long as the process.

On processors with AMX a core that compiles puts a signal stack of its own in front of the one that it finds, and puts
that one back when it ends. Of two cores that end in the order in which they began, the second puts back the freed
stack of the first: the next signal that Python handles, Ctrl-C or the end of a child, ends the process with no
message.
"""


class OpenVinoModel(RuntimeModel):
    """A file that OpenVINO compiled for one stream of requests.

    Floating-point operators compute in float32 unless the option `precision` asks for another type: some processors
    would compute in bfloat16 by default, and the student would be another model there.

    Args:
        path: of the file, or of the folder of a SavedModel.
        loading: its name, device, threads and precision.

    Raises:
        ModelError: the file cannot be loaded, or the device or the precision is unknown.
    """

    kind = "openvino"
    runtime = "OpenVINO"
    libraries = ("openvino",)

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        self.asked = dict(loading.options).get("precision", "f32")
        if self.asked not in PRECISIONS:
            raise ModelError(f"{self.name}: precision={self.asked} is unknown, expected {', '.join(PRECISIONS)}")
        self.device = self._device()
        graph = self._read()
        try:
            _CORES.append(openvino.Core())
            self.compiled_model = _CORES[-1].compile_model(graph, self.device, self._configuration())
        except RuntimeError as error:
            raise self.unreadable(error) from error
        self._inputs = [_port(port, f"input_{index}") for index, port in enumerate(self.compiled_model.inputs)]
        self.outputs = [_name(port, f"output_{index}") for index, port in enumerate(self.compiled_model.outputs)]
        self._of_thread = threading.local()  # a request runs one call at a time

    def _device(self) -> str:
        asked = self.loading.device or "cpu"
        device, available = DEVICES.get(asked.partition(":")[0], ""), openvino.Core().available_devices
        if device not in {name.partition(".")[0] for name in available}:
            raise ModelError(
                f"{self.name}: OpenVINO cannot run {self.file.name} on the device {asked}; it finds "
                f"{', '.join(available)}"
            )
        return device

    def _configuration(self) -> dict[str, Any]:
        threads = {"INFERENCE_NUM_THREADS": self.threads} if self.device == "CPU" else {}
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.asked,
            **threads,
        }

    def _read(self) -> openvino.Model:
        try:
            return openvino.Core().read_model(str(self.file))
        except RuntimeError as error:
            raise self.unreadable(error) from error

    def inputs(self) -> Sequence[Port]:
        """Return the inputs of the graph."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return a request on the feeds, which are not copied; its outputs are.

        Raises:
            ModelError: an input has another shape than the file takes.
        """
        for port in self._inputs:
            self.check_shape(port, feeds[port.name].shape, "dynamic_shapes={...}")
        arrays, names, own = list(feeds.values()), self.outputs, self._of_thread
        create = self.compiled_model.create_infer_request

        def call() -> Arrays:
            request = getattr(own, "request", None)
            if request is None:
                request = own.request = create()
            outputs = request.infer(arrays, share_inputs=True, share_outputs=False)
            return dict(zip(names, outputs.to_tuple(), strict=True))

        return call

    def files(self) -> list[Path]:
        """Return the file with its weights, or all files of a SavedModel."""
        if self.file.is_dir():
            return sorted(path for path in self.file.rglob("*") if path.is_file())
        weights = weights_of(self.file)
        return [self.file, weights] if self.file.suffix == ".xml" and weights.is_file() else [self.file]

    def count_parameters(self) -> ParameterCount:
        """Count the constants of the file as stored: a converter may have folded layers into others."""
        constants = _constants(self._read())
        floating = [constant for constant in constants if _is_weight(constant)]
        total = sum(_size(constant) for constant in floating)
        return ParameterCount(
            total=total,
            nonzero=sum(_nonzero(constant) for constant in floating),
            buffers=sum(map(_size, constants)) - total,
            stored=True,
        )

    def precision(self) -> dict[str, Any]:
        """Return the types in which operators with weights are computed, read from the compiled model.

        Returns:
            JSON types: `computes_in` counts operators by type, `stored_as` is the type of most weights by bytes,
            `hint` the type that the compiled model reports, and `note` says where they differ.
        """
        hint = _type_name(self.compiled_model.get_property("INFERENCE_PRECISION_HINT"))
        computed = self._computed_in(hint)
        held: collections.Counter[str] = collections.Counter()
        for constant in filter(_is_weight, _constants(self._read())):
            held[_type_of(constant)] += constant.get_byte_size()
        stored = held.most_common(1)[0][0] if held else ""
        notes = [_stored_note(stored, list(computed), self.file), _asked_note(_TYPES[self.asked], list(computed))]
        return {
            "computes_in": dict(computed),
            "stored_as": stored,
            "hint": hint,
            "note": "; ".join(filter(None, notes)),
        }

    def _computed_in(self, hint: str) -> collections.Counter[str]:
        """Count operators by the type they are computed in; the narrow type of weights alone is not that."""
        executed = self.compiled_model.get_runtime_model().get_ops()
        layers = [(_told(node, "layerType"), _told(node, "runtimePrecision")) for node in executed]
        computing = [precision for layer, precision in layers if layer in _WITH_WEIGHTS]
        computing = computing or [precision for layer, precision in layers if layer not in _NOT_COMPUTING]
        types = [_TYPES.get(precision, precision) for precision in computing]
        return collections.Counter(hint if kind in {"float16", "bfloat16"} else kind for kind in types)

    def unreadable(self, error: BaseException) -> ModelError:
        """Return the error for a file that OpenVINO refuses, without the places in its source code."""
        lines = [line.strip() for line in str(error).splitlines()]
        said = " ".join(line for line in lines if line and not _RAISED_BY.fullmatch(line))
        return ModelError(
            f"{self.name}: {self.file} cannot be loaded by {self.runtime}: {said[:400] or cause_of(error)}"
        )


def load_openvino(path: str, loading: Loading) -> Model:
    """Load an OpenVINO IR, a SavedModel folder or a .tflite file.

    Raises:
        ModelError: it is damaged, its file of weights is missing or another model's, or OpenVINO refuses it.
    """
    file = Path(path)
    if file.is_file() and file.suffix != ".tflite":
        _check_weights(file, loading.name)
    model = OpenVinoModel(file, loading)
    if file.is_file() and file.suffix == ".tflite":
        _refuse_quantised(model)
    return model


def weights_of(file: Path) -> Path:
    """Return where the weights of an IR are."""
    return file.with_suffix(".bin")


def _check_weights(file: Path, name: str) -> None:
    """Compare how much the graph reads of the file of weights with its size.

    Raises:
        ModelError: the graph cannot be read, or there is no such file, or it is shorter or longer.
    """
    try:
        tree = ET.parse(file)  # noqa: S314 - expat limits how far entities expand
        parts = [element.attrib for element in tree.iter("data") if {"offset", "size"} <= element.attrib.keys()]
        needed = max((int(part["offset"]) + int(part["size"]) for part in parts), default=0)
    except (ET.ParseError, ValueError) as error:
        raise ModelError(f"{name}: {file} cannot be read as OpenVINO: {cause_of(error)}") from error
    weights = weights_of(file)
    if needed and not weights.is_file():
        raise ModelError(
            f"{name}: {file} keeps its weights in {weights.name}, and there is no such file beside it. Copy it there"
        )
    size = weights.stat().st_size if weights.is_file() else 0
    if not needed <= size < needed + _PADDING_BYTES:
        raise ModelError(
            f"{name}: {file} reads {needed} bytes of weights, and {weights.name} has {size}: it belongs to another "
            "model, or is damaged. Copy both files of one model"
        )


def _refuse_quantised(model: OpenVinoModel) -> None:
    """Refuse a .tflite file whose inputs or outputs are quantised: OpenVINO does not tell their scales.

    Raises:
        ModelError: one of them is an integer of 8 bits.
    """
    ports = [*model.inputs(), *(_port(port, "output") for port in model.compiled_model.outputs)]
    quantised = [str(port) for port in ports if port.dtype in {"int8", "uint8"}]
    if quantised:
        raise ModelError(
            f"{model.name}: {model.file} has quantised inputs or outputs ({', '.join(quantised)}), and OpenVINO does "
            "not report their scales. Install LiteRT: pip install 'pytest-modelbench[litert]'"
        )


def _name(port: Any, otherwise: str) -> str:
    return str(port.get_any_name()) if port.get_names() else otherwise


def _port(port: Any, otherwise: str) -> Port:
    rank = port.get_partial_shape()
    shape = None if rank.rank.is_dynamic else tuple(None if size.is_dynamic else size.get_length() for size in rank)
    kind = port.get_element_type()
    return Port(
        name=_name(port, otherwise),
        dtype=_type_name(kind) if _type_name(kind) in np.sctypeDict else "",
        shape=shape,
    )


def _constants(graph: openvino.Model) -> list[Any]:
    return [op for op in graph.get_ops() if op.get_type_name() == "Constant"]


def _type_of(constant: Any) -> str:
    return _type_name(constant.get_element_type())


def _type_name(kind: Any) -> str:
    """Return numpy's name of an element type."""
    name = str(kind.get_type_name())
    return _TYPES.get(name, name)


def _is_weight(constant: Any) -> bool:
    """Whether a constant is an array of a floating-point type, or of an integer type that only weights have.

    Numbers alone belong to operators: an exporter writes the factors of each product.
    """
    kind = constant.get_element_type()
    small = kind.bitwidth <= 8 and kind.get_type_name() != "boolean"
    return bool(kind.is_real() or small) and len(constant.get_output_shape(0)) > 0


def _size(constant: Any) -> int:
    return int(np.prod(constant.get_output_shape(0), dtype=np.int64))


def _nonzero(constant: Any) -> int:
    array = constant.data
    return int(np.count_nonzero(array)) if array.size == _size(constant) else _size(constant)


def _told(node: Any, key: str) -> str:
    info = node.get_rt_info()
    return str(info[key].astype(str)) if key in info else ""


def _stored_note(stored: str, computed: Sequence[str], file: Path) -> str:
    """Say where the weights of a file have fewer bits than what is computed in; "" where they do not."""
    if stored == "float16":
        remedy = (
            ". Write float32 by openvino.save_model(..., compress_to_fp16=False)" if file.suffix == ".xml" else ""
        )
        return f"weights stored as f16: the file rounds what was trained{remedy}"
    if stored in {"int4", "uint4", "int8", "uint8"} and not {"int8", "uint8"} & set(computed):
        return f"{stored} on disk, {' and '.join(sorted(computed))} in the processor"
    return ""


def _asked_note(asked: str, computed: Sequence[str]) -> str:
    """Say that the processor does not compute in the type that was asked for; "" where it does."""
    if asked == "float32" or asked in computed or "int8" in computed:
        return ""
    return f"asked for {asked}, computed in {' and '.join(sorted(computed))}"
