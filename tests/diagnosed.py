"""Students of torch for tests of hypotheses, and a stopwatch with written readings."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.stopwatch import BlockStopwatch
from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.results import Estimate


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
        yield Subject(
            student=model,
            teacher=None,
            inputs=inputs,
            call=call,
            watch=watch or BlockStopwatch(student=call, budget_s=60.0),
        )


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
