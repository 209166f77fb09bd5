"""What a model computes with, whatever holds it: every form of one net counts, weighs and costs the same."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.flops import count_flops

WIDTH, HIDDEN, CLASSES = 128, 256, 10
WEIGHTS = WIDTH * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
BATCH = torch.linspace(-1, 1, 3 * WIDTH).reshape(3, WIDTH)
GLOBAL: dict[str, torch.Tensor] = {}


def plain() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    net[1].running_mean = torch.linspace(0, 1, HIDDEN)
    net[1].weight = nn.Parameter(torch.linspace(1, 2, HIDDEN))
    return net.eval()


TOTAL = WEIGHTS + 2 * HIDDEN


def tensors() -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in plain().state_dict().items()}


def run(x: torch.Tensor, w: Any) -> torch.Tensor:
    x = functional.linear(x, w["0.weight"], w["0.bias"])
    x = functional.batch_norm(x, w["1.running_mean"], w["1.running_var"], w["1.weight"], w["1.bias"])
    return x.relu() @ w["3.weight"].t() + w["3.bias"]


class Buffers(nn.Module):
    """All weights in buffers of one module."""

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in tensors().items():
            self.register_buffer(name.replace(".", "_") if "running" not in name else name[2:], tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = dict(self.named_buffers())
        return run(x, {name: held.get(name.replace(".", "_"), held.get(name[2:])) for name in tensors()})


class Unsaved(Buffers):
    """Buffers that no state_dict has."""

    def __init__(self) -> None:
        super().__init__()
        self._non_persistent_buffers_set.update(self._buffers)


class Attributes(nn.Module):
    """Weights in lists, dictionaries, arrays and objects."""

    def __init__(self) -> None:
        super().__init__()
        found = tensors()
        self.first = [found["0.weight"], {"bias": found["0.bias"]}]
        self.more = types.SimpleNamespace(last=found["3.weight"].numpy(), other=found)
        del found["0.weight"], found["0.bias"], found["3.weight"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: Any = self.first
        held = {"0.weight": first[0], "0.bias": first[1]["bias"], "3.weight": torch.from_numpy(self.more.last)}
        return run(x, {**self.more.other, **held})


class Called(nn.Module):
    """Calls what it was given."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def closure() -> nn.Module:
    held = tensors()
    return Called(lambda x: run(x, held))


def partial() -> nn.Module:
    return Called(functools.partial(run, w=tensors()))


def in_global() -> nn.Module:
    GLOBAL.update(tensors())
    return Called(lambda x: run(x, GLOBAL))


def unregistered() -> nn.Module:
    layers = [plain()]
    return Called(lambda x: layers[0](x))  # noqa: PLW0108 - a closure


class Functional(nn.Module):
    """A skeleton without data, and its weights apart, as torch.func documents it."""

    def __init__(self) -> None:
        super().__init__()
        self.skeleton = plain().to("meta")
        self.held = tensors()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(self.skeleton, self.held, (x,))
        return found


def exported() -> nn.Module:
    found: nn.Module = torch.export.export(
        Attributes2().eval(), (BATCH,), dynamic_shapes=({0: torch.export.Dim("n")},)
    ).module()
    return found


class Attributes2(nn.Module):
    """Plain tensors, that torch.export lifts as constants."""

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in tensors().items():
            setattr(self, f"t{name.replace('.', '_')}", tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return run(x, {name: getattr(self, f"t{name.replace('.', '_')}") for name in tensors()})


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.script(plain())  # type: ignore[no-untyped-call]
        return found


def frozen() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.freeze(scripted(), optimize_numerics=False)  # type: ignore[no-untyped-call, arg-type]
        return found


def traced() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.trace(closure(), BATCH)  # type: ignore[no-untyped-call]
        return found


FORMS = [
    *(plain, Buffers, Unsaved, Attributes, closure, partial, in_global, unregistered, Functional, exported),
    *(scripted, frozen, traced),
]


def model_of(module: nn.Module) -> Model:
    return adapt(module, Loading(name="student"))


def looked(module: nn.Module, batch: Any = BATCH) -> Model:
    model = model_of(module)
    if model.unsure():
        model.look(batch)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_net_counts_alike(form: Callable[[], nn.Module]) -> None:
    """Parameters, zeros, bytes, FLOPs and bytes in memory do not depend on what holds the weights."""
    model, reference = looked(form()), model_of(plain())
    assert torch.allclose(model(BATCH), reference(BATCH), atol=1e-5)
    count = model.count_parameters()
    assert (count.total, count.nonzero, count.unsure) == (TOTAL, reference.count_parameters().nonzero, 0)
    assert model.artefact().size_bytes == pytest.approx(reference.artefact().size_bytes, rel=0.1)
    assert count_flops(model, BATCH, 3).per_sample == count_flops(reference, BATCH, 3).per_sample
    if form is not in_global:  # a global is no model's own
        assert model.weight_bytes() == pytest.approx(reference.weight_bytes(), rel=0.02)
