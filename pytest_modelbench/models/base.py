"""What a probe needs to know about a model."""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pytest_modelbench.data.arrays import shapes
from pytest_modelbench.errors import ModelError, NotApplicable, message_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pytest_modelbench.data.edge_cases import EdgeCase

_serial = itertools.count(1)
_known: dict[int, tuple[weakref.ref[Any], int]] = {}


def identity(thing: Any) -> str:
    """Return a text for an object that no other object ever gets, also after it is gone (an `id` is used again)."""
    held = _known.get(id(thing))
    if held is not None and held[0]() is thing:
        return f"object-{held[1]}"
    number = next(_serial)
    try:
        _known[id(thing)] = (weakref.ref(thing), number)
    except TypeError:
        return f"object-{number}"  # cannot be recognised again, so it is never called equal to anything
    return f"object-{number}"


def keep_interrupt(error: BaseException) -> None:
    """Raise an error again that came from outside of the call: Ctrl-C, or the alarm of pytest-timeout."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "pytest_timeout":
            raise error
        trace = trace.tb_next


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """How many parameters a model has.

    `total` counts shared weights once and packed quantised weights in full; `nonzero` applies pruning masks
    that are still attached; `buffers` are apart. `in_zero_rows` are zeros of output channels or inputs that are zero
    as a whole (structured sparsity), `in_two_of_four` the parameters of matrices in which every four neighbours of a
    row hold two zeros (2:4 sparsity, which some GPUs have kernels for). `elsewhere` are weights outside of parameters
    (buffers, attributes, constants), `packed` those that fewer numbers hold, both part of `total`. `unsure` is how
    many more there may be, which only a forward pass could tell (`Model.look`). `stored` says that the numbers of a
    file are counted, whose exporter may have folded layers into others.
    """

    total: int
    nonzero: int
    buffers: int
    in_zero_rows: int = 0
    in_two_of_four: int = 0
    elsewhere: int = 0
    packed: int = 0
    unsure: int = 0
    stored: bool = False


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """The size of what is deployed, in bytes, and how it was obtained."""

    size_bytes: int
    method: str


class Model(ABC):
    """Something that maps a batch of inputs to outputs.

    `model(inputs)` runs one batch and returns what the model returns. Probes use the rest: `running()` puts the
    model into evaluation mode and back, `bind()` prepares a batch outside of the timed path.

    Attributes:
        name: `teacher`, or the student's label.
        kind: the adapter's name in the registry.
        clock_ns: the clock that times this model; a fake brings its own.
        serial: a number of this adapter's own.
        classes: labels of the output columns where the model knows them.
        file: the file or folder it came from, if any.
        computes_here: whether all of a call's work is done by processors of this machine, so that a call that waits
            for one does nothing meanwhile; False where that is not known.
        runs_at: where it runs, if not on this machine, whose memory, energy and starts are then not the model's.
        libraries: modules that it runs on, whose import and first steps are not the model's.
        guard: makes the context that ends a check's call which never returns.
    """

    kind: ClassVar[str] = "model"
    clock_ns: Callable[[], int] = staticmethod(time.perf_counter_ns)
    classes: Sequence[Any] | None = None
    file: Path | None = None
    computes_here: bool = False
    runs_at: str = ""
    libraries: ClassVar[tuple[str, ...]] = ()
    guard: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    def __init__(self, name: str) -> None:
        self.name = name
        self.serial = next(_serial)

    def named(self, name: str) -> Self:
        """Return this model under another name; what it runs and its serial are shared."""
        if name == self.name:
            return self
        other = copy.copy(self)
        other.name = name
        return other

    @abstractmethod
    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Prepare a batch and return a call without arguments that runs it to the end.

        Everything that is not the model's service (moving inputs to a device, casting) happens here; the call
        returns after asynchronous devices have finished.
        """

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which calls are for inference only; the model's own mode comes back after it."""
        return contextlib.nullcontext()

    def __call__(self, inputs: Any) -> Any:
        """Run one batch and return the model's own outputs.

        Raises:
            ModelError: the model raised; the message has its name, the shape of the inputs and its error.
        """
        __tracebackhide__ = True
        with self.running():
            try:
                return self.bind(inputs)()
            except BaseException as error:
                raise self.failure(inputs, error) from error

    def check_finite(self, case: EdgeCase, *, tolerance: float = 1e-3) -> None:
        """Check that the model answers an edge case: see `models.checks.check_finite`."""
        __tracebackhide__ = True
        from pytest_modelbench.models.checks import check_finite

        with self.guard():
            check_finite(self, case, tolerance)

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """Return the error for a call that raised any exception.

        A model is foreign code: `SystemExit`, `pytest.skip.Exception`, `asyncio.CancelledError` and our own
        `NotApplicable` are its failures, and must not end or skip anything else.

        Raises:
            KeyboardInterrupt: the call was interrupted from outside, which is not a failure of the model.
        """
        keep_interrupt(error)
        first_line = message_of(error)
        return self._blamed(
            f"{self.name} raised {type(error).__name__} on inputs of shape {shapes(inputs)}: {first_line}"
        )

    def wrote_into(self, inputs: Any) -> ModelError:
        """Return the error that tells of a model that changed the batch it was given."""
        return self._blamed(
            f"{self.name} changed its inputs of shape {shapes(inputs)} in place: the next reader of the data sees "
            "other samples. Work on a copy (an in-place operation such as relu_ on the input is the usual cause)"
        )

    def _blamed(self, text: str) -> ModelError:
        error = ModelError(text)
        error.blames = self.name
        return error

    def classes_of(self, select: str | int | None) -> Sequence[Any] | None:  # noqa: ARG002 - for models of several heads
        """Return the labels of the columns of the head that is judged, where the model knows them."""
        return self.classes

    def pull_back(
        self,
        inputs: Any,  # noqa: ARG002 - for models that have a gradient
        select: str | int | None,  # noqa: ARG002
        weights: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],  # noqa: ARG002
    ) -> npt.NDArray[np.float64] | None:
        """Return the gradient by the inputs of the sum of weights times outputs; None where none comes back.

        Args:
            inputs: one array of floating-point numbers, (n, ...).
            select: the head whose outputs are meant.
            weights: returns the weights for outputs, in their shape.

        Raises:
            NotApplicable: this kind of model has no gradient.
            Exception: what the model raised.
        """
        raise NotApplicable(f"{self.name} is a {self.kind}: gradients are defined for torch modules")

    def replicate(self) -> Model | None:
        """Return a copy of the model at other addresses, or None where it cannot be copied."""
        return None

    def close(self) -> None:  # noqa: B027 - most models hold nothing open
        """Let go of what a copy holds open, such as a connection; the next call opens it again."""

    def compiled(self) -> Model:
        """Return what torch.compile makes of the model; it compiles at its first calls.

        Raises:
            NotApplicable: this kind of model has nothing that it could compile.
        """
        raise NotApplicable(f"{self.name} is a {self.kind}: torch.compile is for torch modules")

    def with_sparse_kernels(self) -> Model:
        """Return the model with its 2:4 sparse matrices multiplied by the GPU's kernels for them.

        Raises:
            NotApplicable: it has no such matrix, or the kernels take none.
        """
        raise NotApplicable(f"{self.name} is a {self.kind}: 2:4 sparse kernels are for torch modules")

    def weight_bytes(self, device: str = "cpu") -> int:  # noqa: ARG002 - for those who know
        """Return how much of a kind of device's memory its weights take at least; 0 where that is not known."""
        return 0

    def fingerprint(self) -> str:
        """Return a text that is equal for models that compute the same thing; by identity where unknown."""
        return f"{self.kind}:object-{self.serial}"

    def lasting_hash(self) -> str | None:
        """Return a hash of the content that holds in other sessions, too; None where the content is unknown."""
        known = self.fingerprint()
        return None if "object-" in known else known

    def structure(self) -> str:
        """Return a text of the model's parts without their weights, the same in every process; "" if unknown."""
        return ""

    def weights_hash(self) -> str | None:
        """Return a hash of what training or compressing changes, or None where that cannot be read."""
        return None

    def count_parameters(self) -> ParameterCount:
        """Count the parameters.

        Raises:
            NotApplicable: this kind of model has none that could be counted.
        """
        raise NotApplicable(f"{self.name} is a {self.kind}: parameters are defined for torch modules")

    def unsure(self) -> bool:
        """Whether only a forward pass can tell which tensors are weights."""
        return False

    def look(self, inputs: Any) -> None:  # noqa: B027 - most models have nothing to look at
        """Run a batch to learn which tensors are weights, for `count_parameters` and `artefact`."""

    def artefact(self) -> Artefact:
        """Return the size of the model as deployed.

        Raises:
            NotApplicable: there is nothing that would be saved.
        """
        raise NotApplicable(f"{self.name} is a {self.kind}: it has no artefact that could be saved")

    def describe(self) -> dict[str, Any]:
        """Return what the report says of the model beside its hash, as JSON types."""
        return {"kind": self.kind}
