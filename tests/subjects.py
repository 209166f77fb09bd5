"""Subjects of a diagnosis made of two torch modules, with a small stopwatch by processor time."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.results import Estimate


class QuickStopwatch:
    """Ratios of paired ABBA blocks, with an interval of 2.5 standard errors."""

    def __init__(self, call: Call, pairs: int = 12, block_ns: int = 3_000_000) -> None:
        self.call, self.pairs, self.block_ns = call, pairs, block_ns

    def gives_back(self, variant: Call, *, process_time: bool = False) -> Estimate:
        return self.ratio(variant, self.call, process_time=process_time).map(lambda ratio: 1 - ratio)

    def ratio(self, numerator: Call, denominator: Call, *, process_time: bool = False) -> Estimate:
        clock = time.process_time_ns if process_time else time.thread_time_ns
        calls = [self._calls(call, clock) for call in (numerator, denominator)]

        def block(which: int) -> float:
            call, start = (numerator, denominator)[which], clock()
            for _ in range(calls[which]):
                call()
            return max(clock() - start, 1) / calls[which]

        logs = []
        for pair in range(self.pairs):
            first = pair % 2
            a, b, c, d = (block(which) for which in (first, 1 - first, 1 - first, first))
            logs.append(float(np.log((a + d) / (b + c))) * (-1 if first else 1))
        middle, error = float(np.median(logs)), 2.5 * float(np.std(logs)) / len(logs) ** 0.5
        return Estimate(value=middle, low=middle - error, high=middle + error).map(lambda log: float(np.exp(log)))

    def _calls(self, call: Call, clock: Callable[[], int]) -> int:
        call()
        start = clock()
        call()
        return max(1, min(2000, self.block_ns // max(clock() - start, 1)))


@contextlib.contextmanager
def subject_of(student: nn.Module, teacher: nn.Module | None, inputs: Any) -> Iterator[Subject]:
    """Return a subject; the student is in evaluation and inference mode until the block ends."""
    adapter = TorchModel(student, "student")
    with adapter.running():
        call = adapter.bind(inputs)
        yield Subject(
            student=adapter,
            teacher=None if teacher is None else TorchModel(teacher.eval(), "teacher"),
            inputs=inputs,
            call=call,
            watch=QuickStopwatch(call),
        )


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers with ReLU between them, the same for the same widths."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
