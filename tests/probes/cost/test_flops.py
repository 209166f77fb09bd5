"""Operations counted by hand, operators that have no formula, and what a partial count may prove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from suites import Judge
from torch import nn

from pytest_modelbench import FakeModel, NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.cost.flops import FlopCount, count_flops


class Function(nn.Module):
    """A function as a module, with submodules."""

    def __init__(self, function: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.inner = nn.ModuleList(modules)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def count(module: nn.Module, inputs: Any, batch_size: int = 1) -> FlopCount:
    return count_flops(TorchModel(module, "student"), inputs, batch_size)


def attention(query: torch.Tensor) -> torch.Tensor:
    return nn.functional.scaled_dot_product_attention(query, query, query)


def packed(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    with pytest.warns():  # torch announces that this API will move
        found: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            nn.Sequential(module), {kind}, dtype=torch.qint8
        )
    return found


ENCODER = 2 * (4 * 5 * 16 * 16 + 2 * 5 * 5 * 16 + 2 * 5 * 16 * 32)  # four projections, two products, two layers


@pytest.mark.parametrize(
    ("build", "inputs", "by_hand"),
    [
        (lambda: nn.Linear(8, 4), torch.rand(3, 8), 3 * 2 * 8 * 4),
        (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), torch.rand(1, 4, 5, 5), 2 * 6 * 25 * 2 * 9),
        (lambda: nn.Conv2d(4, 6, 3, stride=2), torch.rand(1, 4, 9, 9), 2 * 6 * 16 * 4 * 9),
        (lambda: nn.ConvTranspose2d(4, 6, 3), torch.rand(1, 4, 5, 5), 2 * 4 * 25 * 6 * 9),
        (lambda: Function(attention), torch.rand(1, 4, 5, 8), 2 * 2 * 4 * 5 * 5 * 8),
        (
            lambda: nn.MultiheadAttention(16, 4, batch_first=True),
            (torch.rand(1, 5, 16),) * 3,
            ENCODER - 2 * 2 * 5 * 512,
        ),
        (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), torch.rand(1, 5, 16), ENCODER),
        (lambda: nn.LSTM(4, 6), torch.rand(5, 1, 4), 5 * 2 * (24 * 4 + 24 * 6)),
        (lambda: nn.LSTM(4, 6, 2, bidirectional=True), torch.rand(5, 1, 4), 5 * 2 * 2 * 24 * (4 + 6 + 12 + 6)),
        (lambda: nn.GRU(4, 6), torch.rand(5, 1, 4), 5 * 2 * (18 * 4 + 18 * 6)),
        (lambda: Function(lambda x: torch.ones(3, 8) @ x[0]), torch.rand(1, 8), 2 * 3 * 8),
        (lambda: Function(lambda x: torch.einsum("bij,bjk->bik", x, x)), torch.rand(1, 4, 4), 2 * 4 * 4 * 4),
        (lambda: nn.GRU(4, 6, batch_first=True), torch.rand(1, 5, 4), 5 * 2 * (18 * 4 + 18 * 6)),
        (lambda: packed(nn.Linear(8, 4), nn.Linear), torch.rand(3, 8), 3 * 2 * 8 * 4),
        (lambda: packed(nn.LSTM(4, 6, 2), nn.LSTM), torch.rand(5, 1, 4), 5 * 2 * 24 * (4 + 6 + 6 + 6)),
        (lambda: packed(nn.GRU(4, 6), nn.GRU), torch.rand(5, 1, 4), 5 * 2 * 18 * (4 + 6)),
        (
            lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Softmax(-1)),
            torch.rand(1, 4, 6, 6),
            0,
        ),
    ],
    ids=[
        *("linear", "grouped-conv", "strided-conv", "transposed-conv", "attention", "multi-head", "encoder", "lstm"),
        *("deep-lstm", "gru", "matrix-vector", "einsum", "gru-batch-first", "int8-linear", "int8-lstm", "int8-gru"),
        "nothing",
    ],
)
def test_counts_by_hand(build: Callable[[], nn.Module], inputs: Any, by_hand: int) -> None:
    """Exactly, with nothing left out."""
    found = count(build(), inputs)
    assert found.per_sample == by_hand
    assert not found.uncounted


def test_count_is_per_sample() -> None:
    """A batch of eight is an eighth of its operations."""
    assert count(nn.Linear(8, 4), torch.rand(8, 8), 8).per_sample == 2 * 8 * 4


@pytest.mark.parametrize(
    ("module", "inputs", "operator"),
    [
        (Function(torch.cdist), (torch.rand(2, 3), torch.rand(4, 3)), "aten._cdist_forward"),
        (Function(torch.fft.fft), torch.rand(2, 8), "aten._fft_r2c"),
        (nn.Bilinear(3, 4, 5), (torch.rand(2, 3), torch.rand(2, 4)), "aten._trilinear"),
    ],
    ids=["cdist", "fft", "bilinear"],
)
def test_operators_without_a_formula_are_listed(module: nn.Module, inputs: Any, operator: str) -> None:
    """With how often they ran."""
    assert count(module, inputs).uncounted == {operator: 1}


class InPlace(nn.Module):
    """Operators that work in place, and ones that torch gives no tag."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.glu(nn.functional.hardswish(x, inplace=True), dim=-1).transpose_(0, 1).unsqueeze_(0)
        x = nn.functional.prelu(x.cumsum_(0), torch.ones(1)).squeeze_(0)
        found: torch.Tensor = torch.unique(nn.functional.logsigmoid(x.scatter_(0, torch.zeros(1, 1).long(), 1.0)))
        return found


def test_in_place_operators_are_as_free_as_others() -> None:
    """What an operator costs does not depend on where it writes; a matrix product in place has no formula."""
    assert not count(InPlace(), torch.rand(4, 6)).uncounted
    assert count(Function(lambda x: x.clone().addmm_(x, x)), torch.rand(3, 3)).uncounted == {"aten.addmm_": 1}


def test_custom_operators_are_listed() -> None:
    """A kernel of somebody's own may multiply whatever it likes."""

    @torch.library.custom_op("modelbench_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    assert count(Function(twice), torch.rand(2)).uncounted == {"modelbench_tests.twice": 1}


def test_fast_path_is_off_only_while_counting() -> None:
    """The fused encoder layer is back after it."""
    before = torch.backends.mha.get_fastpath_enabled()
    count(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), torch.rand(1, 5, 16))
    assert torch.backends.mha.get_fastpath_enabled() is before is True


def test_only_torch_modules_are_counted() -> None:
    """Anything else is not applicable."""
    with pytest.raises(NotApplicable, match="student is a fake: FLOPs are counted for torch modules"):
        count_flops(FakeModel(name="student"), [1], 1)


SUITE = """
import pytest

@pytest.mark.kpi("flops", {limits})
def test_flops(): ...
"""
MODELS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, hidden, fft=False):
        super().__init__()
        self.first, self.second, self.fft = nn.Linear(1, hidden), nn.Linear(hidden, 10), fft
    def forward(self, x):
        x = self.first(x.float())
        return self.second(torch.fft.fft(x).real if self.fft else x)

@pytest.fixture(scope="session")
def teacher_model():
    return Net(100, fft={teacher_fft})

@pytest.fixture(scope="session")
def student_model():
    return Net(10, fft={student_fft})
"""


@pytest.mark.parametrize(
    ("limits", "student_fft", "teacher_fft", "verdict"),
    [
        ('"<= 220", "reduction >= 90%"', False, False, "pass"),
        ('"<= 219"', False, False, "fail"),
        ('"<= 1k"', True, False, "inconclusive"),
        ('"<= 219"', True, False, "fail"),
        ('"reduction >= 80%"', False, True, "pass"),
        ('"reduction >= 80%"', True, False, "inconclusive"),
        ('"ratio >= 0.05", allow_reversed=True', True, False, "pass"),
    ],
)
def test_incomplete_count_passes_nothing_from_above(
    judge: Judge, limits: str, student_fft: bool, teacher_fft: bool, verdict: str
) -> None:
    """It is a lower bound: it can prove that there are too many, never that there are few enough."""
    models = MODELS.format(student_fft=student_fft, teacher_fft=teacher_fft)
    gate = judge(SUITE.format(limits=limits), more=models).gate("flops")
    assert gate["verdict"] == verdict
    assert ("aten._fft_r2c (1x)" in gate["readings"]["student"]["method"]) is student_fft
    if verdict == "inconclusive":
        assert "incomplete: no formula for aten._fft_r2c (1x) of the student" in gate["reason"]


def test_pruned_count_is_called_dense(judge: Judge) -> None:
    """Zeros are counted like other parameters, and the reading says so."""
    pruned = """
@pytest.fixture(scope="session")
def student_model():
    net = Net(10)
    with torch.no_grad():
        net.second.weight[:5] = 0
    return net
"""
    models = MODELS.format(student_fft=False, teacher_fft=False) + pruned
    finished = judge(SUITE.format(limits='"<= 1k"').replace("flops", "macs"), more=models)
    reading = finished.gate("macs")["readings"]["student"]
    assert reading["value"] == 110
    assert "dense-equivalent: 38.5% of the parameters are zero" in reading["method"]
