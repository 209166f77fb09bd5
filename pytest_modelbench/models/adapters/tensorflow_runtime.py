"""What TensorFlow computes with: its import, its devices and threads, its tensors from arrays, its gradients."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, output_array
from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.backend_arrays import processors

INSTALL = "'pytest-modelbench[tensorflow]'"
DEVICES = {"cpu": "CPU", "cuda": "GPU", "xpu": "XPU"}
"""TensorFlow's name of a device that `--modelbench-device` names."""
Array = npt.NDArray[Any]


def imported(name: str) -> Any:
    """Import TensorFlow without its notes on how it was built.

    Args:
        name: of the model, for messages.

    Raises:
        ModelError: it cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModelError(
            f"{name} needs TensorFlow, which cannot be imported ({cause_of(error)}). Install it: pip install "
            f"{INSTALL}"
        ) from error


class TensorFlowRuntime:
    """Runs functions of one model on TensorFlow's tensors.

    Args:
        name: of the model, for messages.
        device: as torch spells it; None for the one that TensorFlow chooses.
        threads: how many threads an operator may use, which counts only before TensorFlow has computed anything.
        there: where the model's weights are, as TensorFlow spells it; "" if it has none.

    Raises:
        ModelError: TensorFlow does not find the device, or the weights are on another one.
    """

    library = "tensorflow"
    way = "tf.function"

    def __init__(self, name: str, device: str | None, threads: int, there: str = "") -> None:
        self._tf = imported(name)
        self.asked = threads
        with contextlib.suppress(RuntimeError):  # it has started: `describe` says with how many
            self._tf.config.threading.set_intra_op_parallelism_threads(threads)
        wanted = self._wanted(name, device)
        held = there.rpartition("device:")[2]
        if wanted and held and wanted != held:
            raise ModelError(
                f"{name} cannot be moved to device {device!r}: TensorFlow made its weights on {held}. Build the "
                f"model within `with tf.device('/{wanted}'):`"
            )
        self.device = wanted or held or ("GPU:0" if self._tf.config.list_logical_devices("GPU") else "CPU:0")

    def _wanted(self, name: str, device: str | None) -> str:
        if device is None:
            return ""
        kind, _, number = device.partition(":")
        wanted = f"{DEVICES.get(kind, kind)}:{number or 0}"
        found = [one.name.rpartition("device:")[2] for one in self._tf.config.list_logical_devices()]
        if wanted not in found:
            raise ModelError(f"{name} cannot run on device {device!r}: TensorFlow finds {', '.join(found)}")
        return wanted

    @property
    def on_cpu(self) -> bool:
        """Whether the processors of this machine do all the work."""
        return self.device.startswith("CPU")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which tensors are made, and operators run, on the model's device."""
        scope: contextlib.AbstractContextManager[Any] = self._tf.device(f"/{self.device}")
        return scope

    def tensor(self, leaf: Any) -> Any:
        """Return an array as a tensor, which TensorFlow copies to memory of its own."""
        with self.scope():
            return self._tf.convert_to_tensor(as_array(leaf))

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function as a graph."""
        graph: Callable[..., Any] = self._tf.function(function, reduce_retracing=True)
        return graph

    def finishing(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return a call that returns after its device has finished; operators of a CPU are done when they return."""
        if self.on_cpu:
            return call

        def run() -> Any:
            outputs = call()
            self._tf.test.experimental.sync_devices()
            return outputs

        return run

    def gradient(
        self, call: Callable[[Any], Any], inputs: Any, weights: Callable[[Array], Array]
    ) -> npt.NDArray[np.float64] | None:
        """Return the gradient by the inputs of the sum of weights times outputs; None where none comes back."""
        tf = self._tf
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            output = call(inputs)
        by_output = tf.cast(tf.convert_to_tensor(weights(output_array(output))), output.dtype)
        gradient = tape.gradient(output, inputs, output_gradients=by_output)
        return None if gradient is None else np.asarray(gradient, dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        """Return device and threads, and a note where there are more or fewer threads than were asked for."""
        threads = int(self._tf.config.threading.get_intra_op_parallelism_threads()) or processors()
        told: dict[str, Any] = {"device": self.device, "threads": threads, "tensorflow": self._tf.__version__}
        if self.on_cpu and threads != self.asked:
            told["threads_note"] = (
                f"{self.asked} asked for, and TensorFlow had started with {threads}. Set TF_NUM_INTRAOP_THREADS="
                f"{self.asked} before it is imported"
            )
        return told
