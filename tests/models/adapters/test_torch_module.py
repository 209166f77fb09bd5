"""The torch adapter: modes, inputs, outputs, copies, fingerprints, counts, sizes."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading


class Probe(nn.Module):
    """Remembers the mode it was called in."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append((self.training, torch.is_inference_mode_enabled()))
        out: torch.Tensor = self.dropout(self.linear(x))
        return out


def test_evaluation_and_inference_mode_and_back() -> None:
    """Calls run in evaluation and inference mode; each submodule's own mode is restored."""
    module = Probe().train()
    module.linear.eval()
    model = TorchModel(module, "student")
    first, second = model(torch.ones(1, 3)), model(torch.ones(1, 3))
    assert module.seen == [(False, True), (False, True)]
    assert torch.equal(first, second)
    assert (module.training, module.linear.training, module.dropout.training) == (True, False, True)
    assert not torch.is_inference_mode_enabled()


def test_mode_is_restored_after_a_failure() -> None:
    """A model that raises is told by name and shape, and is left as it was."""
    module = Probe().train()
    with pytest.raises(ModelError, match=r"student raised RuntimeError on inputs of shape \(1, 5\)"):
        TorchModel(module, "student")(torch.ones(1, 5))
    assert module.training


@pytest.mark.parametrize(
    "inputs",
    [
        torch.ones(4, 3),
        np.ones((4, 3)),
        np.ones((4, 3), dtype=np.float32),
        (torch.ones(4, 3),),
        {"x": torch.ones(4, 3)},
        [[1.0, 1.0, 1.0]] * 4,
    ],
    ids=["tensor", "float64-array", "float32-array", "tuple", "mapping", "list"],
)
def test_inputs_of_every_kind(inputs: Any) -> None:
    """Arrays become tensors of the module's dtype, tuples positional and mappings keyword arguments."""
    assert TorchModel(Probe(), "student")(inputs).shape == (4, 2)


def test_device_that_is_not_there() -> None:
    """A device that cannot be used is a clear error."""
    with pytest.raises(ModelError, match="student cannot be moved to device 'cuda:99'"):
        TorchModel(Probe(), "student", device="cuda:99")


def test_device_moves_module_and_inputs() -> None:
    """The module is moved in place and inputs follow; `meta` stands in for an accelerator."""
    model = TorchModel(Probe(), "student", device="meta")
    assert model(torch.ones(4, 3)).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_calls_are_synchronised() -> None:
    """On a GPU a bound call returns after the device has finished."""
    model = TorchModel(nn.Linear(4096, 4096), "student", device="cuda")
    with model.running():
        model.bind(torch.ones(4096, 4096))()
        assert torch.cuda.current_stream().query()


def test_cuda_synchronisation_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound call of a CUDA model synchronises after the module; the border to CUDA is a fake here."""
    events: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(f"synchronize {device}"))

    class Logged(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            events.append("forward")
            return x

    model = TorchModel(Logged(), "student")
    model.device = torch.device("cuda:0")
    monkeypatch.setattr(model, "to_device", lambda leaf: leaf)
    model.bind(torch.ones(1))()
    assert events == ["forward", "synchronize cuda:0"]


def test_copy_is_elsewhere_and_equal() -> None:
    """A replica has weights at other addresses and the same content."""
    model = TorchModel(Probe(), "student")
    replica = model.replicate()
    assert isinstance(replica, TorchModel)
    assert isinstance(model.module, Probe)
    assert isinstance(replica.module, Probe)
    assert replica.module.linear.weight.data_ptr() != model.module.linear.weight.data_ptr()
    assert torch.equal(replica.module.linear.weight, model.module.linear.weight)


def test_module_that_refuses_to_be_copied() -> None:
    """No copy is no error: the comparison states a floor instead."""

    class Single(nn.Module):
        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            raise TypeError("one of a kind")

    assert TorchModel(Single(), "student").replicate() is None


def test_fingerprint_is_the_content() -> None:
    """Equal for a copy; different for other weights, another class, another attribute, another hook."""

    class Twice(nn.Linear):
        repeat = 1

    torch.manual_seed(0)
    module = Twice(3, 2)
    prints = {TorchModel(module, "a").fingerprint(), TorchModel(copy.deepcopy(module), "b").fingerprint()}
    assert len(prints) == 1
    changed = copy.deepcopy(module)
    changed.bias.data[0] += 1e-6
    prints.add(TorchModel(changed, "c").fingerprint())
    plain = nn.Linear(3, 2)
    plain.load_state_dict(module.state_dict())
    prints.add(TorchModel(plain, "d").fingerprint())
    attribute = copy.deepcopy(module)
    attribute.repeat = 2
    prints.add(TorchModel(attribute, "e").fingerprint())
    hooked = copy.deepcopy(module)
    hooked.register_forward_hook(lambda module, inputs, output: output * 2)
    prints.add(TorchModel(hooked, "f").fingerprint())
    assert len(prints) == 5


def test_shared_weights_count_once() -> None:
    """Tied embeddings are one set of parameters; buffers are apart."""
    tied = nn.Linear(8, 8, bias=False)
    module = nn.Sequential(tied, nn.BatchNorm1d(8), tied)
    count = TorchModel(module, "student").count_parameters()
    assert (count.total, count.buffers) == (64 + 16, 17)


def test_pruning_masks_count_as_zeros() -> None:
    """While a mask is attached the zeros are in the mask, not in the parameter."""
    module = nn.Linear(10, 10, bias=False)
    prune.l1_unstructured(module, "weight", amount=0.3)
    attached = TorchModel(module, "student").count_parameters()
    prune.remove(module, "weight")
    removed = TorchModel(module, "student").count_parameters()
    assert (attached.total, attached.nonzero) == (removed.total, removed.nonzero) == (100, 70)


def quantised() -> Any:
    with pytest.warns():  # torch announces that this API will move
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), {nn.Linear}, dtype=torch.qint8)


def test_zeros_of_whole_rows_are_told_apart() -> None:
    """Two of eight outputs and one of four inputs of a matrix: 2 * 4 + 8 - 2 zeros, none of them 2:4."""
    module = nn.Linear(4, 8, bias=False)
    with torch.no_grad():
        module.weight[2:4] = 0
        module.weight[:, 1] = 0
    count = TorchModel(module, "student").count_parameters()
    assert (count.total - count.nonzero, count.in_zero_rows, count.in_two_of_four) == (14, 14, 0)


def test_zero_kernels_are_rows() -> None:
    """An output channel of a convolution, and an input that no channel reads."""
    module = nn.Conv2d(3, 4, 3, bias=False)
    with torch.no_grad():
        module.weight[0] = 0
        module.weight[:, 2] = 0
    count = TorchModel(module, "student").count_parameters()
    assert count.in_zero_rows == count.total - count.nonzero == 27 + 36 - 9


@pytest.mark.parametrize(("pattern", "share"), [((0, 1, 0, 1), 1.0), ((0, 0, 0, 1), 1.0), ((0, 1, 1, 1), 0.0)])
def test_two_of_four(pattern: tuple[int, ...], share: float) -> None:
    """Every four neighbours must hold two zeros; the matrix beside it does not count."""
    pruned, dense = nn.Linear(8, 6, bias=False), nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        pruned.weight.copy_(torch.tensor(pattern).repeat(6, 2) * (pruned.weight.abs() + 1))
    count = TorchModel(nn.Sequential(pruned, dense), "student").count_parameters()
    assert count.in_two_of_four == share * 48


def torchao_model() -> nn.Module:
    quantization = pytest.importorskip("torchao.quantization", reason="needs torchao")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    quantization.quantize_(module, quantization.Int8WeightOnlyConfig())
    return module


@pytest.mark.filterwarnings("ignore")
def test_torchao_weights_are_counted_hashed_and_saved() -> None:
    """Packed by a tensor subclass: all parameters, a quarter of the bytes, equal hashes for equal models."""
    model, again = (TorchModel(torchao_model(), "student") for _ in range(2))
    assert model.count_parameters().total == 64 * 32 + 32 + 32 * 8 + 8
    assert model.fingerprint() == again.fingerprint()
    changed = torchao_model()
    with torch.no_grad():
        next(iter(changed.children())).bias[0] += 1  # type: ignore[operator, index]
    assert TorchModel(changed, "student").fingerprint() != model.fingerprint()
    artefact = model.artefact()
    assert artefact.size_bytes < 4 * 64 * 32
    assert "torch.save" in artefact.method
    copied = model.replicate()
    assert copied is not None
    assert copied.fingerprint() == model.fingerprint()


HASHED = """
import sys, enum, dataclasses
import torch
from torch import nn
from pytest_modelbench.models.adapters.torch_module import TorchModel

class Mode(enum.Enum):
    FAST = 1

@dataclasses.dataclass
class Config:
    width: int = 3

def activation(x):
    return x.relu() if str(x.dtype) in {"torch.float32", "torch.float16", "a", "b", "c"} else x

class Other(nn.Module):
    pass

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.config, self.mode, self.names = Config(), Mode.FAST, {"a", "b", "c", "d"}
        self.activation = activation
        self.scale = lambda x: SCALE * x
    def forward(self, x):
        return self.activation(self.linear(x))

if sys.argv[1] == "late":
    TorchModel(Other(), "teacher").fingerprint()
torch.manual_seed(0)
net = Net()
net.register_forward_hook(lambda module, inputs, output: output * 2)
print(TorchModel(net, "student").fingerprint())
"""


@pytest.mark.slow
def test_hash_is_the_same_in_every_process() -> None:
    """Whatever was hashed before, and however Python orders its sets there."""
    prints = {
        subprocess.run(
            [sys.executable, "-c", HASHED, order],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for order, seed in (("early", "1"), ("late", "2"))
    }
    assert len(prints) == 1
    assert "object-" not in next(iter(prints))


class Quantiser:
    """Rounds to some bits, as a hook."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def hook(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return (output * self.bits).round() / self.bits


@dataclasses.dataclass(slots=True)
class Slotted:
    """A configuration."""

    width: int


SCALE = 2


def test_hash_sees_what_code_works_with() -> None:
    """Defaults of functions, the owners of bound methods, attributes of classes, globals: all but equal models differ."""

    def with_hook(hook: Callable[..., Any]) -> nn.Module:
        torch.manual_seed(0)
        module = nn.Linear(2, 2)
        module.register_forward_hook(hook)
        return module

    def of_class(scales: tuple[int, ...]) -> nn.Module:
        class Net(nn.Module):
            factors = scales

        return Net()

    modules = [
        with_hook(lambda module, inputs, output, bits=8: output * bits),
        with_hook(lambda module, inputs, output, bits=4: output * bits),
        with_hook(Quantiser(8).hook),
        with_hook(Quantiser(4).hook),
        of_class((1, 2)),
        of_class((1, 3)),
    ]
    prints = [TorchModel(module, "a").fingerprint() for module in modules]
    assert len(set(prints)) == len(prints)


def test_hash_sees_a_global(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forward pass reads from its module."""

    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * SCALE

    before = TorchModel(Net(), "a").fingerprint()
    assert TorchModel(Net(), "a").fingerprint() == before
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3)
    assert TorchModel(Net(), "a").fingerprint() != before


def test_attributes_that_are_hard_to_read() -> None:
    """Slots, arrays of texts, views, a list that holds itself: a hash, never an error."""
    net = nn.Linear(2, 2)
    net.config, net.labels, net.mirrored = Slotted(3), np.array(["cat", "dog"]), np.arange(4)[::-1]  # type: ignore[assignment]
    assert "object-" not in TorchModel(net, "a").fingerprint()
    endless: list[Any] = []
    endless.append(endless)
    net.endless = endless  # type: ignore[assignment]
    assert TorchModel(net, "a").fingerprint()


def test_hash_sees_another_method() -> None:
    """Two classes of one name are one only if their code is."""

    def net(scale: int, *, other: bool = False) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()

            def forward(self, x: Any) -> Any:
                return scale * x

        class Twice(Net):
            def forward(self, x: Any) -> Any:
                return scale * x + 0

        Twice.__qualname__ = Net.__qualname__
        return Twice() if other else Net()

    prints = [TorchModel(module, "a").fingerprint() for module in (net(1), net(1), net(2), net(1, other=True))]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_packed_weights_are_counted() -> None:
    """Dynamic int8 keeps its weights outside of parameters(); they count all the same."""
    count = TorchModel(quantised(), "student").count_parameters()
    assert count.total == 8 * 4 + 4


def test_packed_weights_are_in_the_artefact() -> None:
    """A state_dict that holds packed weights is saved by torch.save, and said so."""
    artefact = TorchModel(quantised(), "student").artefact()
    assert artefact.size_bytes > 36
    assert "torch.save" in artefact.method


def test_packed_lstm_is_counted() -> None:
    """A quantised LSTM has as many parameters as the one it was made from."""
    lstm = nn.LSTM(4, 6)
    with pytest.warns():
        packed = torch.ao.quantization.quantize_dynamic(nn.Sequential(lstm), {nn.LSTM}, dtype=torch.qint8)
    assert TorchModel(packed, "student").count_parameters().total == sum(p.numel() for p in lstm.parameters())


def test_packed_weights_that_cannot_be_opened_are_no_zero() -> None:
    """Weights behind an opaque object are an error, never a count of none."""
    module = quantised()
    sealed = nn.Module()
    sealed.weights = module[0]._packed_params._packed_params
    with pytest.raises(MeasurementError, match="cannot be counted"):
        TorchModel(sealed, "student").count_parameters()


def test_size_is_that_of_the_weights_as_safetensors() -> None:
    """4 bytes a float32 parameter and a header of less than a kilobyte, shared weights once."""
    tied = nn.Linear(100, 100, bias=False)
    artefact = TorchModel(nn.Sequential(tied, tied), "student").artefact()
    assert 40_000 < artefact.size_bytes < 41_000
    assert "safetensors" in artefact.method


class Output(NamedTuple):
    """Named heads, as Hugging Face models return them."""

    logits: torch.Tensor
    hidden: torch.Tensor


def test_hugging_face_style_outputs_pass_through() -> None:
    """Output objects reach the caller as the model made them."""

    class Head(nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            return Output(input_ids.float(), input_ids)

    assert adapt(Head(), Loading(name="student"))(
        {"input_ids": torch.ones(2, 3, dtype=torch.int64)}
    ).logits.shape == (2, 3)


def test_hash_sees_how_a_module_is_put_together() -> None:
    """A layer used twice, a buffer that is not saved, the part whose method is bound."""
    torch.manual_seed(0)
    linear, act = nn.Linear(2, 2), nn.ReLU()

    def with_mask(value: float) -> nn.Module:
        module = nn.Module()
        module.register_buffer("mask", torch.full((2,), value), persistent=False)
        return module

    def bound(part: str) -> nn.Module:
        module = nn.Module()
        module.a, module.b = nn.ReLU(), nn.ReLU()
        module.chosen = getattr(module, part).forward
        return module

    modules = [
        nn.Sequential(linear, act, linear, act),
        nn.Sequential(linear, act, linear),
        with_mask(0.0),
        with_mask(1.0),
        bound("a"),
        bound("b"),
    ]
    prints = [TorchModel(module, "a").fingerprint() for module in modules]
    assert len(set(prints)) == len(prints)
    assert TorchModel(bound("a"), "a").fingerprint() == prints[4]


COUNTED = 0


def test_hash_leaves_out_what_running_changes() -> None:
    """A counter of a class or of a module is not what a model computes; a global table may be, so nothing is equal."""

    class Net(nn.Module):
        built = 0

        def __init__(self) -> None:
            super().__init__()
            Net.built += 1

        def forward(self, x: Any) -> Any:
            global COUNTED  # noqa: PLW0603 - as users do
            COUNTED += 1
            return x

    first = TorchModel(Net(), "a")
    before = first.fingerprint()
    first.module(1)
    assert TorchModel(Net(), "a").fingerprint() == before
    assert "object-" not in before

    class Cached(nn.Module):
        def forward(self, x: Any) -> Any:
            return TABLE.setdefault(x, x)

    assert "object-" in TorchModel(Cached(), "a").fingerprint()


TABLE: dict[Any, Any] = {}


def test_hash_of_functions_that_name_each_other_is_quick() -> None:
    """Each is looked at once, however many paths lead to it."""
    names = [f"f{i}" for i in range(14)]
    body = "".join(f"def {name}(x):\n    return ({', '.join(names)})\n" for name in names)
    scope: dict[str, Any] = {"__name__": "a_module_of_the_users"}
    exec(body, scope)  # noqa: S102
    module = nn.Module()
    module.function = scope["f0"]
    assert TorchModel(module, "a").fingerprint()


def test_artefact_of_views_is_what_they_show() -> None:
    """Pruned structures and split projections are views of larger tensors; a tied weight counts once."""
    whole = nn.Linear(64, 100, bias=False)
    module = nn.Module()
    module.pruned = nn.Parameter(whole.weight[:10])
    module.turned = nn.Parameter(whole.weight[10:20].T)
    module.tied = module.pruned
    artefact = TorchModel(module, "student").artefact()
    assert 2 * 4 * 64 * 10 < artefact.size_bytes < 2 * 4 * 64 * 10 + 400
    with pytest.warns():  # torch announces that this API will move
        packed = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(8, 4)), {nn.Linear}, dtype=torch.qint8
        )
    packed.view = nn.Parameter(nn.Linear(1000, 100).weight[:1])
    assert TorchModel(packed, "student").artefact().size_bytes < 4 * 1000 + 8000


def test_weights_that_became_buffers_are_counted() -> None:
    """As torchao leaves them in a graph that it has quantised."""
    root = nn.Module()
    root.register_buffer("_frozen_param0", torch.ones(4, 8, dtype=torch.int8))
    root.bias = nn.Parameter(torch.zeros(4))
    graph = torch.fx.Graph()
    weight = graph.call_method("float", (graph.get_attr("_frozen_param0"),))
    graph.output(graph.call_function(nn.functional.linear, (graph.placeholder("x"), weight, graph.get_attr("bias"))))
    count = TorchModel(torch.fx.GraphModule(root, graph), "student").count_parameters()
    assert (count.total, count.nonzero, count.buffers) == (36, 32, 0)
