"""Students of torch for tests of hypotheses, and a small stopwatch by processor time."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.results import Estimate


@dataclass
class Blocks:
    """Ratios of paired ABBA blocks, with an interval of three standard errors."""

    call: Call
    rounds: int = 12

    def gives_back(self, variant: Call, *, process_time: bool = False) -> Estimate:
        return self.ratio(variant, self.call, process_time=process_time).map(lambda ratio: 1 - ratio)

    def ratio(self, numerator: Call, denominator: Call, *, process_time: bool = False) -> Estimate:
        clock = time.process_time_ns if process_time else time.thread_time_ns
        calls = [max(1, min(500, 2_000_000 // self._block(one, 3, clock))) for one in (numerator, denominator)]
        logs = []
        for _ in range(self.rounds):
            a, b, c, d = (
                self._block((numerator, denominator)[which], calls[which], clock) / calls[which]
                for which in (0, 1, 1, 0)
            )
            logs.append(float(np.log((a + d) / (b + c))))
        middle, error = float(np.mean(logs)), 3 * float(np.std(logs)) / len(logs) ** 0.5
        return Estimate(value=middle, low=middle - error, high=middle + error).map(lambda log: float(np.exp(log)))

    def _block(self, call: Call, calls: int, clock: Callable[[], int]) -> int:
        start = clock()
        for _ in range(calls):
            call()
        return max(clock() - start, 1)


@dataclass
class Written:
    """A stopwatch whose readings are written down: each call of `gives_back` or `ratio` takes the next one."""

    readings: list[float]
    variants: list[Call] = field(default_factory=list)

    def gives_back(self, variant: Call, *, process_time: bool = False) -> Estimate:
        self.variants.append(variant)
        return Estimate.exact(self.readings[len(self.variants) - 1])

    def ratio(self, numerator: Call, denominator: Call, *, process_time: bool = False) -> Estimate:
        return self.gives_back(numerator)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def diagnosed(student: nn.Module, inputs: Any, watch: Any = None) -> Iterator[Subject]:
    """Yield a student to be diagnosed, in evaluation and inference mode until the block ends."""
    model = TorchModel(student, "student")
    with one_thread(), model.running():
        call = model.bind(inputs)
        yield Subject(student=model, teacher=None, inputs=inputs, call=call, watch=watch or Blocks(call))


def perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers with ReLU between them, the same for the same widths."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def linears(module: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a module."""
    return [one for one in module.modules() if isinstance(one, nn.Linear)]
