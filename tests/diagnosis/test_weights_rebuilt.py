"""Weights that are computed from others in every call are found by what the operators depend on."""

from __future__ import annotations

from typing import Any

import torch
from diagnosed import Written, diagnosed, linears, perceptron
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from pytest_modelbench.diagnosis.folded import folded
from pytest_modelbench.diagnosis.hypotheses.weights_rebuilt import dequantise_every_call, weights_rebuilt

BATCH = torch.ones(2, 512)


class Dequantised(nn.Module):
    """A linear layer whose weight is kept in 8 bits and turned into floats at each call."""

    scale: torch.Tensor
    whole: torch.Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scale = layer.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("whole", (layer.weight.detach() / scale).round().to(torch.int8))

    def forward(self, x: torch.Tensor) -> Any:
        return x @ (self.whole.float() * self.scale).t()


class Adapter(nn.Module):
    """A low-rank adapter that was never merged."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Parameter(torch.full((16, layer.in_features), 0.01))
        self.up = nn.Parameter(torch.full((layer.out_features, 16), 0.01))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.layer.weight + self.up @ self.down, self.layer.bias)


def normalised() -> nn.Sequential:
    student = perceptron(512, 512, 512, 64)
    for layer in linears(student):
        weight_norm(layer, "weight")
    return student


def dequantised() -> nn.Sequential:
    return nn.Sequential(*[Dequantised(layer) for layer in linears(perceptron(512, 512, 512, 64))])


def test_weights_computed_once_give_time_back() -> None:
    """Normalising a weight costs about as much as a product with two rows."""
    with diagnosed(normalised(), BATCH) as subject:
        finding = weights_rebuilt(subject)
    assert finding is not None
    assert finding.holds
    assert finding.counterfactual == "the parametrisations removed"


def test_student_keeps_its_parametrisations() -> None:
    """A deep copy shares its class with the original, from which torch would delete the property `weight`."""
    student, watch = normalised(), Written([0.4])
    with diagnosed(student, BATCH, watch) as subject:
        expected = subject.call()
        finding = weights_rebuilt(subject)
        assert finding is not None
        assert not finding.skipped
        assert torch.allclose(watch.variants[0](), expected, atol=1e-5)
        assert torch.equal(subject.call(), expected)
    assert all(is_parametrized(layer) for layer in linears(student))
    assert {type(layer) for layer in watch.variants[0].func} == {nn.Linear, nn.ReLU}  # type: ignore[attr-defined]


def test_adapter_that_is_not_merged_is_found() -> None:
    """The product of its factors depends on no input."""
    with diagnosed(nn.Sequential(Adapter(nn.Linear(512, 512))), BATCH) as subject:
        finding = weights_rebuilt(subject)
    assert finding is not None
    assert finding.holds
    assert finding.evidence["sources"] == ["0.down", "0.layer.weight", "0.up"]


def test_dequantising_in_every_call_gives_time_back() -> None:
    """The floats are kept in a trace of the call."""
    with diagnosed(dequantised(), BATCH) as subject:
        finding = dequantise_every_call(subject)
        assert weights_rebuilt(subject) is None
    assert finding is not None
    assert finding.holds
    assert finding.gives_back is not None
    assert 0.15 < finding.gives_back.value < 1.0
    assert "not_traced" not in finding.evidence
    assert finding.evidence["integer_weights"] == 3


class Transposed(nn.Linear):
    """A layer that multiplies with a view of its weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.t()


def test_plain_layers_rebuild_nothing() -> None:
    """A transposed weight is a view, and a mask is another cause."""
    student = perceptron(512, 512, 64).append(Transposed(64, 64))
    with diagnosed(student, BATCH, Written([])) as subject:
        assert weights_rebuilt(subject) is None
        assert dequantise_every_call(subject) is None
    for layer in linears(student):
        prune.l1_unstructured(layer, "weight", 0.6)  # type: ignore[no-untyped-call]
    with diagnosed(student, BATCH, Written([])) as subject:
        assert weights_rebuilt(subject) is None


class Stateful(nn.Module):
    """Writes its input into a buffer and computes with it, and draws random numbers."""

    kept: torch.Tensor
    steps: torch.Tensor
    chance: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(2, 2048))
        self.register_buffer("steps", torch.zeros(2048))
        self.register_buffer("chance", torch.full((2048,), 0.5))

    def forward(self, x: torch.Tensor) -> Any:
        self.kept.copy_(x)
        self.steps += 1.0
        size = int(x.sum().item())
        state = self.kept * 2.0 + self.steps * 2.0
        return state + torch.bernoulli(self.chance) + torch.full((2048,), float(size))


def test_what_depends_on_inputs_state_or_chance_is_not_constant() -> None:
    """None of it could be computed once."""
    with diagnosed(Stateful(), torch.ones(2, 2048), Written([])) as subject:
        assert weights_rebuilt(subject) is None


class Untraceable(Dequantised):
    """Leaves torch for numpy between two layers."""

    def forward(self, x: torch.Tensor) -> Any:
        return torch.from_numpy(super().forward(x).numpy() + 1.0)


def test_call_that_cannot_be_traced_is_timed_against_its_operators_alone() -> None:
    """The evidence says why."""
    with diagnosed(Untraceable(nn.Linear(512, 512)), BATCH, Written([0.6])) as subject:
        finding = dequantise_every_call(subject)
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.gives_back.value == 0.6
    assert finding.counterfactual == "these operators alone"
    assert finding.evidence["not_traced"]


def test_trace_without_dequantising_has_the_same_outputs() -> None:
    """Two operators for each layer are gone, and none but these."""
    student = dequantised()
    with diagnosed(student, BATCH, Written([])) as subject:
        whole, less = folded(subject, student, lambda sources: any(name.endswith("whole") for name in sources))
        assert torch.allclose(whole(), subject.call(), atol=1e-5)
        assert torch.allclose(less(), subject.call(), atol=1e-5)
    assert kinds(whole).count("_to_copy") == 3
    assert set(kinds(less)) <= {"mm", "relu"}


def kinds(call: Any) -> list[str]:
    """Return the names of the operators of a traced call."""
    nodes = call.func.graph.nodes
    return [str(node.target).split(".")[1] for node in nodes if node.op == "call_function"]


class Overwriting(nn.Module):
    """Writes its input into what it makes of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2048))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.weight * 2.0
        made[:1].add_(x[:1])
        return made + self.weight.sqrt()


def test_what_a_call_writes_into_is_computed_in_every_call() -> None:
    """A kept result would grow from call to call."""
    student, batch = Overwriting(), torch.ones(2, 2048)
    with diagnosed(student, batch, Written([])) as subject:
        _, less = folded(subject, student, lambda _: True)
        assert torch.equal(less(), subject.call())
        assert torch.equal(less(), subject.call())
    assert "mul" in kinds(less)
    assert "sqrt" not in kinds(less)
