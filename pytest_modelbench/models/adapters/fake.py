"""A model that is scripted: outputs, costs, clock. For tests of gates, without torch and without waiting."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.base import Artefact, Model, ParameterCount


class FakeClock:
    """A clock in nanoseconds that moves only by `advance`.

    >>> clock = FakeClock()
    >>> clock.advance(1500)
    >>> clock()
    1500
    """

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Return the time in nanoseconds."""
        return self.now_ns

    def advance(self, duration_ns: float) -> None:
        """Move the clock on."""
        self.now_ns += int(duration_ns)


class FakeModel(Model):
    """A model whose every property is given.

    Each call takes the next of `cost_ns` on `clock` and returns `outputs(inputs)`. Teacher and student must
    share one clock. `calls` counts all calls, copies included.

    Args:
        outputs: maps a batch to outputs; the batch itself by default.
        cost_ns: the cost of a call in nanoseconds: a number, a function of nothing, or values to cycle through.
        clock: the clock that the cost is charged to.
        parameters: number of parameters; None means that they cannot be counted.
        nonzero: number of those that are not zero; all by default.
        size_bytes: size on disk; None means that there is no artefact.
        name: `teacher`, or the student's label; the plugin sets it.
        copyable: whether `replicate()` gives copies.

    >>> model = FakeModel(outputs=lambda batch: [2 * x for x in batch], cost_ns=1000)
    >>> model([1, 2]), model.clock_ns(), model.calls
    ([2, 4], 1000, 1)
    """

    kind = "fake"

    def __init__(
        self,
        outputs: Callable[[Any], Any] = lambda inputs: inputs,
        *,
        cost_ns: float | Callable[[], float] | Iterable[float] = 1_000_000,
        clock: FakeClock | None = None,
        parameters: int | None = None,
        nonzero: int | None = None,
        size_bytes: int | None = None,
        name: str = "fake",
        copyable: bool = True,
    ) -> None:
        super().__init__(name)
        self.outputs = outputs
        self.clock = clock or FakeClock()
        self.clock_ns = self.clock
        self.parameters = parameters
        self.nonzero = parameters if nonzero is None else nonzero
        self.size_bytes = size_bytes
        self.copyable = copyable
        self._costs = _costs(cost_ns)
        self._calls = [0]

    @property
    def calls(self) -> int:
        """The number of calls so far."""
        return self._calls[0]

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return a call that moves the clock and answers by the script."""

        def call() -> Any:
            self._calls[0] += 1
            self.clock.advance(next(self._costs))
            return self.outputs(inputs)

        return call

    def replicate(self) -> Model | None:
        """Return the model itself: a script has no address."""
        return self if self.copyable else None

    def count_parameters(self) -> ParameterCount:
        """Return the scripted number of parameters."""
        if self.parameters is None or self.nonzero is None:
            raise NotApplicable(f"{self.name} is a fake without parameters")
        return ParameterCount(total=self.parameters, nonzero=self.nonzero, buffers=0)

    def artefact(self) -> Artefact:
        """Return the scripted size."""
        if self.size_bytes is None:
            raise NotApplicable(f"{self.name} is a fake without an artefact")
        return Artefact(size_bytes=self.size_bytes, method="scripted")


def _costs(cost_ns: float | Callable[[], float] | Iterable[float]) -> Iterator[float]:
    if callable(cost_ns):
        return iter(cost_ns, object())
    return itertools.cycle(cost_ns) if isinstance(cost_ns, Iterable) else itertools.repeat(cost_ns)
