"""Adapter for ONNX files that ONNX Runtime executes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from pytest_modelbench.errors import ModelError, NotApplicable, cause_of, visible
from pytest_modelbench.models.adapters.onnx_precision import precision_of
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.saved import Loading

CPU = "CPUExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider"}
"""The execution provider of a device that `--modelbench-device` names."""
_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip

_PADDING_BYTES = 4096
"""By how much a file of weights may be longer than what the graph reads of it."""
_RAISED_BY = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])", re.DOTALL)
"""What ONNX Runtime writes before its reasons: its error's number, and a function of its source code."""


class OnnxModel(RuntimeModel):
    """An ONNX file in a session of ONNX Runtime.

    The session uses as many threads as the other models, and none of them spins after a call: a spinning thread would
    take processor time from the model that is timed next. The provider that was asked for is the one that runs.

    Args:
        path: of the file.
        loading: its name, device, threads and provider.
        entries: more configuration of the session by key.
        optimised: whether ONNX Runtime may rewrite the graph, as it does in production.

    Raises:
        ModelError: the file cannot be loaded, or the provider is not there.
    """

    kind = "onnx"
    runtime = "ONNX Runtime"
    libraries = ("onnxruntime",)

    def __init__(
        self, path: Path, loading: Loading, *, entries: Mapping[str, str] | None = None, optimised: bool = True
    ) -> None:
        super().__init__(path, loading)
        self.entries, self.optimised = dict(entries or {}), optimised
        self.provider = self._provider()
        self.session = self._session(self._options())
        running = self.session.get_providers()[0]
        if running != self.provider:
            raise ModelError(
                f"{self.name}: asked for {self.provider}, and ONNX Runtime runs {path.name} on {running}. Install a "
                "build of ONNX Runtime that has the provider, or leave the provider out"
            )
        self._inputs = [
            Port(name=port.name, dtype=_TYPES.get(_element(port.type), ""), shape=_sizes(port.shape))
            for port in self.session.get_inputs()
        ]
        self.outputs = [port.name for port in self.session.get_outputs()]

    def _provider(self) -> str:
        device = (self.loading.device or "cpu").partition(":")[0]
        wanted = dict(self.loading.options).get("provider") or PROVIDERS.get(device, "")
        available = onnxruntime.get_available_providers()
        if wanted not in available:
            asked = wanted or f"the device {self.loading.device}"
            raise ModelError(
                f"{self.name}: ONNX Runtime cannot run {self.file.name} on {asked}; this build has "
                f"{', '.join(available)}"
            )
        return wanted

    def _options(self) -> onnxruntime.SessionOptions:
        options = session_options(self.threads, self.provider)
        for key, value in self.entries.items():
            options.add_session_config_entry(key, value)
        if not self.optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return options

    def run_otherwise(self, entries: Mapping[str, str] | None = None, *, optimised: bool = True) -> OnnxModel:
        """Return the same file in a session of another configuration, to find out what a wrong output comes from."""
        return OnnxModel(self.file, self.loading, entries=entries, optimised=optimised)

    def replicate(self) -> Model:
        """Load the file into another session."""
        return self.run_otherwise(self.entries, optimised=self.optimised)

    def _session(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        try:
            return onnxruntime.InferenceSession(str(self.file), options, providers=[self.provider])
        except Exception as error:  # each of its error types derives from Exception directly
            raise self.unreadable(error) from error

    def inputs(self) -> Sequence[Port]:
        """Return the inputs of the graph."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return a run of the session on the feeds; its outputs are new arrays.

        Raises:
            ModelError: an input has another shape than the file takes.
        """
        for port in self._inputs:
            self.check_shape(port, feeds[port.name].shape, "dynamic_shapes={...}")
        run, names, arrays = self.session.run, self.outputs, dict(feeds)

        def call() -> Arrays:
            return {name: _array(value) for name, value in zip(names, run(None, arrays), strict=True)}

        return call

    def files(self) -> list[Path]:
        """Return the file and those that hold its weights."""
        folder = self.file.parent
        return [self.file, *(folder / name for name in external_files(self._graph_of()))]

    def count_parameters(self) -> ParameterCount:
        """Count the initialisers and constants of the file as stored: an exporter may have folded layers into others.

        Raises:
            NotApplicable: there is none, as in a file of trees, whose numbers are attributes of an operator.
        """
        tensors = onnx.external_data_helper._get_all_tensors(onnx.load(str(self.file)))  # noqa: SLF001 - as below
        weights = [onnx.numpy_helper.to_array(tensor, str(self.file.parent)) for tensor in tensors]
        floating = [array for array in weights if array.dtype.kind == "f" or array.dtype.itemsize == 1]
        if not floating:
            raise NotApplicable(f"{self.name}: {self.file.name} holds no weights as tensors")
        return ParameterCount(
            total=sum(array.size for array in floating),
            nonzero=sum(int(np.count_nonzero(array)) for array in floating),
            buffers=sum(array.size for array in weights) - sum(array.size for array in floating),
            stored=True,
        )

    def precision(self) -> dict[str, Any]:
        """Return in which number types the operators are computed; see `onnx_precision.precision_of`."""
        return precision_of(self.file, self._write_optimised)

    def _write_optimised(self, path: str) -> None:
        options = self._options()
        options.optimized_model_filepath = path
        self._session(options)

    def unreadable(self, error: BaseException) -> ModelError:
        """Return the error for a file that ONNX Runtime refuses, without the places in its source code."""
        said = _RAISED_BY.sub("", str(error).replace(f"Load model from {self.file} failed:", ""))
        return ModelError(
            f"{self.name}: {self.file} cannot be loaded by {self.runtime}: {visible(said.strip())[:400]}"
        )

    def describe(self) -> dict[str, Any]:
        """Return the provider, the opset and the exporter too."""
        model = self._graph_of()
        return {
            **super().describe(),
            "provider": self.provider,
            "opset": next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), None),
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
        }

    def _graph_of(self) -> onnx.ModelProto:
        return onnx.load(str(self.file), load_external_data=False)


def session_options(threads: int, provider: str = CPU) -> onnxruntime.SessionOptions:
    """Return the options that make sessions comparable with other models.

    Args:
        threads: how many threads one call uses.
        provider: the execution provider; operators of another one than the CPU's never fall back to the CPU.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def load_onnx(path: str, loading: Loading) -> Model:
    """Load an ONNX file.

    Raises:
        ModelError: it is damaged, lacks a file of weights, or ONNX Runtime refuses it.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises types of its own
        raise ModelError(
            f"{loading.name}: {path} cannot be read as ONNX: {cause_of(error)}. It is damaged or cut off, or another "
            "kind of file. Export or copy it once more"
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ModelError(f"{loading.name}: {path} is not an ONNX model: it has no operators and no outputs")
    missing = [name for name in external_files(model) if not (Path(path).parent / name).is_file()]
    if missing:
        raise ModelError(
            f"{loading.name}: {path} keeps its weights in {', '.join(missing)}, and there is no such file beside it. "
            "Copy it there, or export with external_data=False"
        )
    _check_external(model, Path(path), loading.name)
    return OnnxModel(Path(path), loading)


def external_files(model: onnx.ModelProto) -> list[str]:
    """Return the names of the files that hold weights of an ONNX model, relative to its folder, each once."""
    names: dict[str, None] = {}
    for tensor in onnx.external_data_helper._get_all_tensors(model):  # noqa: SLF001 - also those in attributes
        for entry in tensor.external_data:
            if entry.key == "location":
                names[entry.value] = None
    return list(names)


def _check_external(model: onnx.ModelProto, path: Path, name: str) -> None:
    """Compare how much a model reads of each file of weights with the file's size.

    A longer file passes if another ONNX file is in the folder: exporters share one file of weights among several.

    Raises:
        ModelError: a file is shorter, or longer than what is read of it.
    """
    ends: dict[str, int] = {}
    without_length = set()
    for tensor in onnx.external_data_helper._get_all_tensors(model):  # noqa: SLF001 - also those in attributes
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if "location" in entries:
            location, end = entries["location"], int(entries.get("offset", 0)) + int(entries.get("length", 0))
            ends[location] = max(end, ends.get(location, 0))
            if "length" not in entries:
                without_length.add(location)
    shares = len(list(path.parent.glob("*.onnx"))) > 1
    for location, end in ends.items():
        size = (path.parent / location).stat().st_size
        longer = size > end + _PADDING_BYTES and location not in without_length and not shares
        if size < end or longer:
            raise ModelError(
                f"{name}: {path} reads {end} bytes of weights, and {location} has {size}: it belongs to another "
                "model, or is damaged. Copy both files of one model"
            )


def _element(text: str) -> str:
    """Return the element's type of `tensor(float)`."""
    return text.partition("(")[2].rstrip(")")


def _sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in shape)


def _array(value: Any) -> Any:
    """Return an output as an array; scikit-learn's maps of probabilities become columns, sorted by label."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict):
        labels = sorted(value[0])
        return np.array([[row.get(label, math.nan) for label in labels] for row in value])
    return np.asarray(value)
