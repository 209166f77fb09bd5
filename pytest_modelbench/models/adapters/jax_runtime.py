"""What JAX computes with: its import, its devices and threads, its arrays, its gradients."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, output_array
from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.backend_arrays import processors

INSTALL = "'pytest-modelbench[jax]'"
THREADS = "NPROC"
"""The variable from which XLA reads how many threads it gets, when it starts."""
_DEVICES = {"cpu": "cpu", "cuda": "gpu"}
Array = npt.NDArray[Any]


def imported(name: str, threads: int) -> Any:
    """Import JAX; if nothing imported it before, its operators get `threads` threads.

    Raises:
        ModelError: it cannot be imported.
    """
    if "jax" not in sys.modules:
        os.environ.setdefault(THREADS, str(threads))
    try:
        return importlib.import_module("jax")
    except ImportError as error:
        raise ModelError(
            f"{name} needs JAX, which cannot be imported ({cause_of(error)}). Install it: pip install {INSTALL}"
        ) from error


class JaxRuntime:
    """Runs functions of one model on JAX's arrays.

    Args:
        name: of the model, for messages.
        device: as torch spells it; None for where the weights are, or JAX's default.
        threads: how many threads an operator should use.
        there: where the model's weights are; None if that is not known.

    Raises:
        ModelError: JAX does not find the device, or the weights are on another one.
    """

    library = "jax"
    way = "jax.jit"

    def __init__(self, name: str, device: str | None, threads: int, there: Any = None) -> None:
        self._jax = imported(name, threads)
        self.asked = threads
        wanted = self._wanted(name, device)
        if wanted is not None and there is not None and wanted != there:
            raise ModelError(
                f"{name} cannot be moved to device {device!r}: its weights are on {there}. Build the model within "
                f"`with jax.default_device(jax.devices({wanted.platform!r})[0]):`"
            )
        self.device = wanted or there or self._jax.devices()[0]

    def _wanted(self, name: str, device: str | None) -> Any:
        if device is None:
            return None
        kind, _, number = device.partition(":")
        try:
            return self._jax.devices(_DEVICES.get(kind, kind))[int(number or 0)]
        except (RuntimeError, IndexError) as error:
            found = ", ".join(map(str, self._jax.devices()))
            raise ModelError(f"{name} cannot run on device {device!r}: JAX finds {found}") from error

    @property
    def on_cpu(self) -> bool:
        """Whether the processors of this machine do all the work."""
        return bool(self.device.platform == "cpu")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which arrays are made on the model's device."""
        scope: contextlib.AbstractContextManager[Any] = self._jax.default_device(self.device)
        return scope

    def tensor(self, leaf: Any) -> Any:
        """Return an array on the model's device; where that is the CPU, JAX may read the array's own memory."""
        return self._jax.device_put(as_array(leaf), self.device)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function as XLA compiles it, for each shape of its arguments."""
        compiled: Callable[..., Any] = self._jax.jit(function)
        return compiled

    def finishing(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return a call that returns when its outputs are computed: JAX gives them before that."""
        wait = self._jax.block_until_ready
        return lambda: wait(call())

    def gradient(
        self, call: Callable[[Any], Any], inputs: Any, weights: Callable[[Array], Array]
    ) -> npt.NDArray[np.float64]:
        """Return the gradient by the inputs of the sum of weights times outputs."""
        output, pull_back = self._jax.vjp(call, inputs)
        (gradient,) = pull_back(self._jax.numpy.asarray(weights(output_array(output)), dtype=output.dtype))
        return np.asarray(gradient, dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        """Return device and threads, and a note where there are more or fewer threads than were asked for."""
        told: dict[str, Any] = {"device": str(self.device), "jax": self._jax.__version__}
        if not self.on_cpu:
            return told
        threads = int(os.environ.get(THREADS) or processors())
        if threads != self.asked:
            told["threads_note"] = (
                f"{self.asked} asked for, and JAX starts with {threads}. Set {THREADS}={self.asked} in the "
                "environment"
            )
        return {**told, "threads": threads}
