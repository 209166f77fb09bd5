"""What a model computes with, whatever holds it: every form of one net counts, weighs and costs the same."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.cost.flops import count_flops

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
    found: torch.Tensor = x.relu() @ w["3.weight"].t() + w["3.bias"]
    return found


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
        found: nn.Module = torch.jit.script(plain())
        return found


def frozen() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.freeze(scripted(), optimize_numerics=False)
        return found


def traced() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.trace(closure(), BATCH)
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


def test_ordinary_nets_need_no_forward_pass() -> None:
    """Statistics, positions and masks are known for what they are; a look changes nothing."""

    class Positions(nn.Module):
        net: Any

        def __init__(self) -> None:
            super().__init__()
            self.net = plain()
            self.register_buffer("ids", torch.arange(512))
            self.register_buffer("causal", torch.ones(9, 9, dtype=torch.bool))
            self.register_buffer("frequencies", torch.rand(32), persistent=False)
            prune.l1_unstructured(self.net[0], "weight", amount=0.5)
            self.lstm = nn.LSTM(4, 4)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.net(x)
            return found

    model = model_of(Positions())
    assert not model.unsure()
    before = model.count_parameters()
    assert before.elsewhere == 0
    model.look(BATCH)
    assert model.count_parameters() == before


def test_buffers_that_only_add_or_mask_are_no_weights() -> None:
    """An encoding of positions is added, be it looked up or not, and a mask hides."""

    class Encoded(nn.Module):
        encoding: torch.Tensor
        table: torch.Tensor
        mask: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.net = plain()
            self.register_buffer("encoding", torch.rand(1, WIDTH))
            self.register_buffer("table", torch.rand(WIDTH, WIDTH), persistent=False)
            self.register_buffer("mask", (torch.rand(CLASSES, CLASSES) > 0.5).float())
            self.last = nn.Linear(CLASSES, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.linear(
                self.net(x + self.encoding + self.table[x.argmax(dim=1)]),
                self.last.weight * self.mask,
                self.last.bias,
            )

    model = model_of(Encoded())
    assert model.unsure()
    unknown = model.count_parameters()
    assert (unknown.total, unknown.unsure) == (TOTAL + 110, (WIDTH + 1) * WIDTH + 100)
    model.look(BATCH)
    count = model.count_parameters()
    assert (count.total, count.buffers) == (TOTAL + 110, (WIDTH + 1) * WIDTH + 100 + 2 * HIDDEN + 1)


def test_filters_that_the_code_makes_stay_apart() -> None:
    """A small buffer that is not saved is a constant, also where it is convolved; a saved one is a weight."""

    class Blurred(nn.Module):
        kernel: torch.Tensor

        def __init__(self, saved: bool) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.tensor([[[0.25, 0.5, 0.25]]]), persistent=saved)
            self.net = plain()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.net(functional.conv1d(x[:, None], self.kernel, padding=1)[:, 0])
            return found

    assert looked(Blurred(saved=False)).count_parameters().total == TOTAL
    assert looked(Blurred(saved=True)).count_parameters().total == TOTAL + 3


class FourBits(nn.Module):
    """Eight weights of four bits in each int32, unpacked in the forward pass, as GPTQ keeps them."""

    qweight: torch.Tensor
    qzeros: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor

    def __init__(self, told: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        if told:
            self.in_features, self.out_features = WIDTH, CLASSES
        self.register_buffer("qweight", torch.randint(-(2**31), 2**31 - 1, (WIDTH // 8, CLASSES), dtype=torch.int32))
        self.register_buffer("qzeros", torch.full((1, CLASSES), 8, dtype=torch.int32))
        self.register_buffer("scales", torch.rand(1, CLASSES))
        self.register_buffer("bias", torch.rand(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shifts = torch.arange(0, 32, 4, dtype=torch.int32)
        for _ in range(2):  # whoever unpacks at every use has no more weights for it
            whole = (self.qweight[:, None, :] >> shifts[None, :, None]) & 15
            weight = (whole.reshape(WIDTH, CLASSES) - self.qzeros) * self.scales
            found: torch.Tensor = x @ weight + self.bias
        return found


@pytest.mark.parametrize("told", [True, False])
def test_packed_buffers_count_as_the_weights_that_they_hold(told: bool) -> None:
    """A layer that says its width is known at once, any other after one look; scales and zero points are apart."""
    model = model_of(FourBits(told))
    assert model.unsure() is not told
    if not told:
        model.look(BATCH)
    count = model.count_parameters()
    assert (count.total, count.packed, count.elsewhere) == (WIDTH * CLASSES + CLASSES, WIDTH * CLASSES, CLASSES)


def test_a_kernel_that_unpacks_by_itself_is_counted_by_its_sizes() -> None:
    """An operator of somebody's own is given packed weights: as many as a product of these widths has."""

    @torch.library.custom_op("modelbench_test::packed_linear", mutates_args=())
    def packed_linear(x: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=1, keepdim=True).repeat(1, len(packed)) * packed.float().mean()

    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("packed", torch.ones(CLASSES, WIDTH // 8, dtype=torch.int32))

        def forward(self, x: torch.Tensor) -> Any:
            return packed_linear(x, self.packed)

    assert looked(Fused()).count_parameters().total == WIDTH * CLASSES


def test_adapters_over_frozen_weights_are_counted_once_each() -> None:
    """A low-rank update of a weight in a buffer: the base and both factors."""

    class Adapted(nn.Module):
        base: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("base", torch.rand(CLASSES, WIDTH))
            self.a, self.b = nn.Parameter(torch.rand(2, WIDTH)), nn.Parameter(torch.rand(CLASSES, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.linear(x, self.base + self.b @ self.a)

    assert looked(Adapted()).count_parameters().total == CLASSES * WIDTH + 2 * WIDTH + 2 * CLASSES


def test_weights_that_cannot_be_found_are_an_error() -> None:
    """A pass that multiplies with numbers it makes itself never counts as nothing."""

    class Made(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.ones(WIDTH, 2)

    with pytest.raises(
        MeasurementError, match="student multiplies matrices .1 products in one forward pass., and none"
    ):
        looked(Made()).count_parameters()


def test_a_module_without_weights_has_none() -> None:
    """Only a look can tell it from one that hides them."""
    model = model_of(nn.Softmax(dim=1))
    assert model.unsure()
    model.look(BATCH)
    assert (model.unsure(), model.count_parameters().total) == (False, 0)


def test_modules_without_values_are_refused() -> None:
    """Weights on the meta device and lazy ones cannot be counted or saved."""
    for module, words in ((nn.Linear(2, 2).to("meta"), "on the meta device"), (nn.LazyLinear(4), "lazy layers")):
        for ask in (model_of(module).count_parameters, model_of(module).artefact):
            with pytest.raises(MeasurementError, match=words):
                ask()


def test_a_model_that_raises_in_the_look_is_told() -> None:
    """The look is a call like any other."""

    class Broken(Buffers):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise SystemExit(0)

    with pytest.raises(ModelError, match="student raised SystemExit on inputs of shape"):
        looked(Broken())


def test_an_ensemble_under_vmap_counts_every_member() -> None:
    """Stacked weights of several nets, and one skeleton without data."""

    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            nets = [nn.Linear(WIDTH, 2) for _ in range(3)]
            self.held, _ = torch.func.stack_module_state(nets)
            self.held = {name: tensor.detach() for name, tensor in self.held.items()}
            self.skeleton = [nn.Linear(WIDTH, 2, device="meta")]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def one(held: Any) -> Any:
                return torch.func.functional_call(self.skeleton[0], held, (x,))

            found: torch.Tensor = torch.func.vmap(one)(self.held).mean(dim=0)
            return found

    assert looked(Ensemble()).count_parameters().total == 3 * (2 * WIDTH + 2)


def test_a_module_that_computes_elsewhere_cannot_be_counted() -> None:
    """A wrapper around numpy or another runtime has no parameters, and is not for nothing."""

    class Elsewhere(nn.Module):
        def __init__(self, first: nn.Module) -> None:
            super().__init__()
            self.first = first
            self.weight = np.ones((WIDTH, 2), dtype=np.float32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(self.first(x).numpy() @ self.weight)

    for first in (nn.Identity(), nn.Linear(WIDTH, WIDTH)):
        with pytest.raises(
            MeasurementError, match="student does not get its outputs from its inputs by operators of torch"
        ):
            looked(Elsewhere(first)).count_parameters()
