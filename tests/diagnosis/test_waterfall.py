"""The waterfall: each layer's change in time by its path, what runs between layers, and models left as they were."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diagnosed import one_thread, perceptron
from torch import nn

from pytest_modelbench.diagnosis.waterfall import BETWEEN, CALL, LayerChange, Waterfall, layers_of, measure_waterfall
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.fake import FakeModel
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.reports.waterfall import waterfall_line, waterfall_table


class Working(nn.Module):
    """A layer that takes some processor time."""

    def __init__(self, ms: float) -> None:
        super().__init__()
        self.ms = ms

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ends = time.thread_time_ns() + self.ms * 1e6
        while time.thread_time_ns() < ends:
            pass
        return x


class Net(nn.Module):
    """Layers by name, and some work outside of them."""

    def __init__(self, between_ms: float = 0.0, **ms: float) -> None:
        super().__init__()
        self.between = Working(between_ms).forward
        for name, each in ms.items():
            self.add_module(name, Working(each))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return self.between(x)


def steps(teacher: nn.Module, student: nn.Module, inputs: Any = None) -> Waterfall:
    """Measure a waterfall within half a second."""
    batch = torch.zeros(1, 1) if inputs is None else inputs
    with one_thread():
        return measure_waterfall(TorchModel(teacher, "teacher"), TorchModel(student, "student"), batch, budget_s=0.5)


def by_path(waterfall: Waterfall) -> dict[str, LayerChange]:
    """Return the steps by path."""
    return {change.path: change for change in waterfall.changes}


def test_steps_by_path() -> None:
    """A faster layer, a slower one, one removed, one added, and more between layers; they add up."""
    waterfall = steps(Net(stem=4.0, block=1.0, old=2.0), Net(between_ms=1.5, stem=1.0, block=2.0, new=0.5))
    found = by_path(waterfall)
    assert {path: round(change.change_ms.value * 2) / 2 for path, change in found.items()} == {
        "stem": -3.0, "block": 1.0, "old": -2.0, "new": 0.5, BETWEEN: 1.5
    }  # fmt: skip
    assert found["old"].student_ms is None
    assert found["new"].teacher_ms is None
    assert [change.path for change in waterfall.changes[:2]] == ["stem", "old"]
    total = sum(change.change_ms.value for change in waterfall.changes)
    assert total == pytest.approx(waterfall.student_ms - waterfall.teacher_ms, abs=0.3)


def test_intervals_hold_the_change() -> None:
    """The interval is around the value and excludes 0 for a clear change."""
    change = by_path(steps(Net(stem=3.0), Net(stem=1.0)))["stem"].change_ms
    assert change.low is not None
    assert change.high is not None
    assert change.low <= change.value <= change.high < 0


def test_models_are_left_as_they_were() -> None:
    """No hook, no wrapped call, the modes as before; an instance's own call comes back."""
    teacher, student = perceptron(8, 8, 4), perceptron(8, 4)
    own = student[0].__dict__[CALL] = student[0]._call_impl
    before = [dict(part.__dict__) for part in (*teacher.modules(), *student.modules())]
    student.train()
    steps(teacher, student, torch.zeros(2, 8))
    student_was_training = student.training
    student.train(True)
    teacher.train(True)
    after = [dict(part.__dict__) for part in (*teacher.modules(), *student.modules())]
    assert student_was_training
    assert [set(attributes) for attributes in after] == [set(attributes) for attributes in before]
    assert student[0].__dict__[CALL] is own


def test_attention_keeps_its_fast_path() -> None:
    """Encoder layers are timed whole: what is inside of them does not run by itself."""
    layer = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
    module = nn.Sequential(layer, nn.Linear(16, 2))
    assert sorted(layers_of(module)) == ["0", "1"]
    found = by_path(steps(copy.deepcopy(module), module, torch.zeros(2, 4, 16)))
    assert set(found) == {"0", "1", BETWEEN}


def test_hooks_and_masks_are_part_of_their_layer() -> None:
    """What a hook costs is told where it hangs, not as work between layers."""
    teacher, student = Net(stem=0.5), Net(stem=0.5)
    student.get_submodule("stem").register_forward_pre_hook(
        lambda _module, _args: Working(2.0).forward(torch.zeros(1))
    )
    found = by_path(steps(teacher, student))
    assert found["stem"].change_ms.value == pytest.approx(2.0, abs=0.5)
    assert found[BETWEEN].change_ms.value == pytest.approx(0.0, abs=0.3)


def test_parametrised_layers_are_whole() -> None:
    """What computes a weight is part of its layer."""
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU())
    assert sorted(layers_of(module)) == ["0", "1"]


@pytest.mark.filterwarnings("ignore")  # torch has deprecated its quantised tensors
def test_quantised_layers_are_whole() -> None:
    """What packs the weights of a quantised layer is not called: the layer is timed."""
    student = torch.ao.quantization.quantize_dynamic(perceptron(8, 8, 4), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    assert sorted(layers_of(student)) == ["0", "1", "2"]
    changes = by_path(steps(perceptron(8, 8, 4), student, torch.zeros(2, 8)))
    assert changes["0"].layer == "Linear to DynamicQuantizedLinear"
    assert changes["0"].student_ms is not None


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("student", "reason"),
    [
        (lambda: torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), "TorchScript"),  # type: ignore[no-untyped-call]
        (lambda: torch.compile(nn.Linear(2, 2)), "compiled"),
        (lambda: nn.Linear(2, 2), "calls no layer by itself"),
    ],
)
def test_models_without_layers_of_their_own(student: Callable[[], nn.Module], reason: str) -> None:
    """Kernels that span layers have no steps, and neither has a single layer."""
    with pytest.raises(NotApplicable, match=reason):
        steps(perceptron(2, 2, 2), student(), torch.zeros(1, 2))


def test_models_of_another_kind() -> None:
    """Layers are those of torch."""
    teacher = TorchModel(perceptron(2, 2), "teacher")
    with pytest.raises(NotApplicable, match="small is not a torch module"):
        measure_waterfall(teacher, FakeModel(cost_ns=1e6, name="small"), torch.zeros(1, 2))


def written(path: str, change: float, **times: float | None) -> dict[str, Any]:
    """Return a step as in the report."""
    known = {"teacher_ms": 1.0, "student_ms": 1.0, **times}
    return {
        "path": path,
        "layer": "Linear",
        "change_ms": change,
        "change_ms_low": change - 0.1,
        "change_ms_high": change + 0.1,
    } | known


def test_the_table_names_the_largest_steps() -> None:
    """Ten rows, the others as one, and the whole call at the end."""
    changes = [written(f"layers.{n}", -1.0 + n / 20, teacher_ms=None) for n in range(13)]
    report = {"clock": "a clock", "teacher_ms": 20.0, "student_ms": 11.0, "changes": changes}
    table = waterfall_table(report)
    assert len(table) == 13
    assert table[1].split() == ["layers.0", "(Linear)", "-", "1.00", "-1.00", "(-1.10", "to", "-0.90)"]
    assert table[-2].split() == ["3", "other", "steps", "-1.35"]
    assert table[-1].split() == ["a", "call", "20.00", "11.00", "-9.00"]
    assert waterfall_line(report) == (
        "layer by layer, from the teacher's 20.00 ms to its 11.00 ms: layers.0 -1.00, layers.1 -0.95, layers.2 -0.90, "
        "layers.3 -0.85, 9 other steps -5.40"
    )
