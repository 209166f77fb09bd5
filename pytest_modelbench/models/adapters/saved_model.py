"""Adapter for SavedModel folders of TensorFlow, which TensorFlow runs; OpenVINO does where it is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.backend_arrays import numbers
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.adapters.tensorflow_runtime import INSTALL, TensorFlowRuntime, imported
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.formats import OPENVINO
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.trial import try_first

RUNTIMES = ("tensorflow", "openvino")
"""What `folder?runtime=...` may ask for."""
USUAL = "serving_default"
"""The signature that is run unless another one is named, as TensorFlow Serving does."""
_SERVED = "serve"


class TensorFlowModel(RuntimeModel):
    """One signature of a SavedModel, run by TensorFlow.

    Args:
        path: of the folder.
        loading: its name, device, threads, and the signature if there are several.

    Raises:
        ModelError: TensorFlow cannot load it or does not find the device, or the signature is not there.
    """

    kind = "savedmodel"
    runtime = "TensorFlow"
    libraries = ("tensorflow",)

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        tensorflow = imported(self.name)
        self.tensors = TensorFlowRuntime(self.name, loading.device, self.threads)
        self.computes_here = self.tensors.on_cpu
        try:
            with self.tensors.scope():
                self._loaded = tensorflow.saved_model.load(str(path), tags=self._tags(path))
        except ModelError:
            raise
        except Exception as error:  # of its readers of protocol buffers, checkpoints and operators
            raise self.unreadable(error) from error
        self.signature, self.function = self._chosen(self._loaded.signatures)
        _, specs = self.function.structured_input_signature
        self._inputs = [_port(name, spec) for name, spec in specs.items()]

    def _tags(self, path: Path) -> list[str] | None:
        """Return the tags of the one graph to load; None where the folder has one graph only.

        Raises:
            ModelError: there are several graphs, and none is tagged for serving alone.
        """
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        content = SavedModel.FromString((path / "saved_model.pb").read_bytes())
        graphs = [sorted(graph.meta_info_def.tags) for graph in content.meta_graphs]
        if len(graphs) < 2:
            return None
        if [_SERVED] in graphs:
            return [_SERVED]
        tags = ", ".join("+".join(graph) for graph in graphs)
        raise ModelError(
            f"{self.name}: {path} holds graphs with the tags {tags}; expected one of the tag {_SERVED!r}"
        )

    def _chosen(self, signatures: Mapping[str, Any]) -> tuple[str, Any]:
        asked = dict(self.loading.options).get("signature")
        names = sorted(signatures)
        if asked is None:
            asked = USUAL if USUAL in signatures else names[0] if len(names) == 1 else None
        if asked is not None and asked in signatures:
            return asked, signatures[asked]
        what = f"{self.name}: {self.file} has " + (f"the signatures {', '.join(names)}" if names else "no signature")
        if not names:
            raise ModelError(
                f"{what}, so what it takes and returns is not known. Save it with one: model.export(...) of Keras, "
                f"or tf.saved_model.save(model, folder, signatures=function.get_concrete_function(...))"
            )
        wrong = "" if asked is None else f", and not {asked!r}"
        raise ModelError(f"{what}{wrong}. Write {self.file.name}?signature={names[0]}")

    def inputs(self) -> Sequence[Port]:
        """Return the inputs of the signature."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return a call of the signature on tensors; its outputs are arrays by name.

        Raises:
            ModelError: an input has another shape than the signature takes.
        """
        for port in self._inputs:
            self.check_shape(port, feeds[port.name].shape, "a batch dimension of None")
        tensors = {name: self.tensors.tensor(array) for name, array in feeds.items()}
        call = self.tensors.finishing(lambda: self.function(**tensors))
        return lambda: {name: output.numpy() for name, output in call().items()}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Calls in this context run on the model's device."""
        with self.tensors.scope():
            yield

    def files(self) -> list[Path]:
        """Return all files of the folder."""
        return sorted(path for path in self.file.rglob("*") if path.is_file())

    def count_parameters(self) -> ParameterCount:
        """Count the variables that the signature reads, and constants of its graph; statistics are among them."""
        arrays = [array for array in self._weights() if array.dtype.kind in "fiu"]
        weights = [array for array in arrays if array.dtype.kind == "f" or array.dtype.itemsize == 1]
        total = sum(array.size for array in weights)
        return ParameterCount(
            total=total,
            nonzero=sum(int(np.count_nonzero(array)) for array in weights),
            buffers=sum(array.size for array in arrays) - total,
            stored=True,
        )

    def _weights(self) -> list[npt.NDArray[Any]]:
        """Return variables, and constants of one dimension at least: a frozen graph has its weights there."""
        from tensorflow import make_ndarray

        graph = self.function.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        constants = [make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"]
        variables = [numbers(variable.numpy()) for variable in self.function.variables]
        return [*variables, *(numbers(array) for array in constants if array.ndim)]

    def describe(self) -> dict[str, Any]:
        """Return the signature, and device and threads of TensorFlow."""
        return {**super().describe(), "signature": self.signature, **self.tensors.describe()}


def load_saved_model(path: str, loading: Loading) -> Model:
    """Load a SavedModel into TensorFlow, or into OpenVINO if TensorFlow is not installed or OpenVINO is asked for.

    Raises:
        ModelError: the runtime is unknown or not installed, it refuses the folder or has no such signature.
    """
    options = dict(loading.options)
    asked = options.get("runtime", "openvino" if "precision" in options else None)
    if asked not in {None, *RUNTIMES}:
        raise ModelError(f"{loading.name}: runtime={asked} is unknown, expected {' or '.join(RUNTIMES)}")
    if "precision" in options and asked == "tensorflow":
        raise ModelError(
            f"{loading.name}: {path}: precision=... is an option of OpenVINO. Write runtime=openvino too"
        )
    there = {runtime: importlib.util.find_spec(runtime) is not None for runtime in RUNTIMES}
    chosen = asked or next((runtime for runtime in RUNTIMES if there[runtime]), None)
    if chosen is None or not there[chosen]:
        installs = {"tensorflow": f"pip install {INSTALL}", "openvino": f"pip install {OPENVINO}"}
        wanted = [chosen] if chosen else list(RUNTIMES)
        raise ModelError(
            f"{loading.name}: {path} is a SavedModel of TensorFlow, and {' and '.join(wanted)} "
            f"{'is' if chosen else 'are'} not installed. Install {'it' if chosen else 'one'}: "
            f"{', or '.join(installs[runtime] for runtime in wanted)}"
        )
    if chosen == "openvino":
        return _by_openvino(path, loading, options)
    return TensorFlowModel(Path(path), loading)


def _by_openvino(path: str, loading: Loading, options: Mapping[str, str]) -> Model:
    from pytest_modelbench.models.adapters.openvino import load_openvino

    if "signature" in options:
        raise ModelError(
            f"{loading.name}: {path}: OpenVINO runs the signature {USUAL} only. signature=... needs TensorFlow: pip "
            f"install {INSTALL}"
        )
    if not loading.alone:  # some damage makes OpenVINO's reader of such folders end the process
        try_first(f"{load_openvino.__module__}:load_openvino", Path(path), asdict(loading))
    return load_openvino(path, loading)


def _port(name: str, spec: Any) -> Port:
    dtype = spec.dtype.name
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return Port(name=name, dtype="" if dtype in {"string", "bfloat16"} else dtype, shape=shape)
