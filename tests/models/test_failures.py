"""Whatever a model raises is its failure; only an interrupt from outside is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.adapters.fake import FakeModel
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.layers import run_layers
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.answers.stability import batch_variants
from pytest_modelbench.probes.cost.flops import count_flops

INPUTS = np.zeros((4, 2), dtype=np.float32)
DATA = EvalData(INPUTS, np.zeros(4))
RAISED: list[Callable[[], BaseException]] = [
    GeneratorExit,
    asyncio.CancelledError,
    SystemExit,
    lambda: pytest.skip.Exception("not today"),
    lambda: pytest.exit.Exception("enough"),
    lambda: pytest.fail.Exception("no"),
    lambda: NotApplicable("nothing to see"),
    lambda: BaseException("anything"),
]


class Raising(nn.Module):
    """Raises what it is told to."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self.make = make
        self.linear = nn.Linear(2, 2)

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        raise self.make()


ASKED: dict[str, Callable[[Model], Any]] = {
    "call": lambda model: model(INPUTS),
    "outputs": lambda model: collect_outputs(model, DATA),
    "variants": lambda model: batch_variants(model, DATA, 4, 0, None),
    "layers": lambda model: run_layers(model, INPUTS, lambda *_: None),
    "flops": lambda model: count_flops(model, INPUTS, 4),
    "look": lambda model: model.look(INPUTS),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=[*ASKED])
@pytest.mark.parametrize("make", RAISED, ids=[type(make()).__name__ for make in RAISED])
def test_everything_that_a_model_raises_is_its_error(make: Callable[[], BaseException], ask: Any) -> None:
    """It neither skips the test, nor ends the session, nor passes as not applicable."""
    with pytest.raises(
        ModelError, match=rf"student raised {type(make()).__name__} on inputs of shape \(4, 2\)"
    ) as told:
        ask(TorchModel(Raising(make), "student"))
    assert told.value.blames == "student"


@pytest.mark.parametrize("ask", ASKED.values(), ids=[*ASKED])
def test_an_interrupt_passes_through(ask: Any) -> None:
    """Ctrl-C ends the session as ever."""
    with pytest.raises(KeyboardInterrupt):
        ask(TorchModel(Raising(KeyboardInterrupt), "student"))


def test_an_alarm_of_pytest_timeout_passes_through() -> None:
    """It is raised inside of the call that it ends, and is not the model's."""
    alarm: dict[str, Any] = {"__name__": "pytest_timeout", "fail": pytest.fail}
    exec("def timed_out(batch):\n    fail('Timeout >1.0s')", alarm)  # noqa: S102
    with pytest.raises(pytest.fail.Exception, match="Timeout >1.0s"):
        FakeModel(outputs=alarm["timed_out"], name="student")(INPUTS)
