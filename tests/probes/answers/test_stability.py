"""What a model's answers depend on: another run, the batch, its order, the number type."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.errors import DataError, DoesNotFit, ModelError, NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.answers.stability import (
    batch_variants,
    changed_samples,
    dtype_variants,
    memory_format_variants,
    shape_mismatches,
)

RNG = np.random.default_rng(0)
DATA = EvalData(np.arange(40.0).reshape(-1, 1), batch_size=16)


def model(outputs: Callable[[Any], Any]) -> FakeModel:
    return FakeModel(lambda batch: outputs(np.asarray(batch)))


def largest(outputs: Any) -> Any:
    return outputs.argmax(axis=1)


def scores(batch: Any) -> Any:
    return np.concatenate([np.sin(batch), np.cos(batch)], axis=1)


def test_second_run_is_compared_bit_by_bit() -> None:
    """Also a last bit, and NaN is equal to itself."""
    calls: list[int] = []

    def drifting(batch: Any) -> Any:
        calls.append(1)
        found = scores(batch)
        found[0, 0] = np.nan
        if len(calls) > 4 and 20.0 in batch:  # the second pass, its second batch
            found[4, 1] = np.nextafter(found[4, 1], 2)
        return found

    fake = model(drifting)
    outputs = collect_outputs(fake, DATA)
    calls.clear()
    assert changed_samples(fake, DATA, outputs).tolist() == []
    calls += [1] * 4
    assert changed_samples(fake, DATA, outputs).tolist() == [20]


def test_other_inputs_are_not_blamed_on_the_model() -> None:
    """Noise in the data makes a second run an error of the data, not a model that is not deterministic."""

    class Noisy:
        def __iter__(self) -> Iterator[Any]:
            return iter([(np.arange(20.0)[:, None] + RNG.random((20, 1)),), (np.ones((20, 1)),)])

    fake, data = model(scores), EvalData(Noisy(), batch_size=20)
    outputs = collect_outputs(fake, data)
    with pytest.raises(DataError, match=r"batch 1 of the evaluation data \(samples 0 to 19\) holds other inputs"):
        changed_samples(fake, data, outputs)


def test_answers_that_do_not_depend_on_the_batch() -> None:
    """None change, in any variant."""
    found = batch_variants(model(scores), DATA, 32, 0, largest)
    assert [one.name for one in found] == ["batch size 1", "batch size 2", "batch size 7", "another order"]
    assert all(not one.changed.any() and one.furthest == 0 for one in found)


def test_scale_of_the_whole_batch_is_seen() -> None:
    """Activations quantised with the batch's own range, as dynamic int8 does it: single samples change."""

    def quantised(batch: Any) -> Any:
        found = scores(batch) * np.exp(batch / 10)
        step = np.abs(found).max() / 5
        return np.round(found / step) * step

    found = {one.name: one for one in batch_variants(model(quantised), DATA, 40, 0, largest)}
    assert found["batch size 1"].changed.sum() > 3
    assert found["batch size 1"].furthest > 0.05
    assert not found["another order"].changed.any()


def test_order_is_seen() -> None:
    """A model that mixes neighbours."""
    found = {
        one.name: one for one in batch_variants(model(lambda b: np.cumsum(scores(b), axis=0)), DATA, 40, 0, largest)
    }
    assert found["another order"].changed.any()


def test_values_may_differ_by_rounding() -> None:
    """Of a regression, only what is more than another order of additions."""

    def rounded(by: float) -> FakeModel:
        return model(lambda batch: batch[:, 0] + by * len(batch))

    assert not any(one.changed.any() for one in batch_variants(rounded(1e-7), DATA, 32, 0, None))
    assert batch_variants(rounded(1e-1), DATA, 32, 0, None)[0].changed.any()


def test_dynamic_int8_depends_on_its_batch() -> None:
    """The trap of real models: 64 samples one by one against one batch; float32 does not."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            module, {nn.Linear}, dtype=torch.qint8
        )
    inputs = torch.randn(64, 16) * torch.logspace(-1, 1, 64)[:, None]
    data = EvalData(inputs)
    whole = batch_variants(TorchModel(quantised, "student"), data, 64, 0, largest)[0]
    assert whole.changed.sum() >= 1
    assert whole.furthest > 1e-3
    plain = batch_variants(TorchModel(module, "teacher"), data, 64, 0, largest)[0]
    assert not plain.changed.any()


def test_other_number_type() -> None:
    """Differences of a class that bfloat16 does not hold; the module stays as it is."""
    module = nn.Linear(1, 2, bias=True)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0], [1.001]]))
        module.bias.zero_()
    student = TorchModel(module, "student")
    data = EvalData(torch.linspace(1, 2, 32)[:, None])
    (found,) = dtype_variants(student, data, 32, "bfloat16", largest)
    assert found.changed.any()
    assert module.weight.dtype == torch.float32
    (found,) = dtype_variants(student, data, 32, "float64", largest)
    assert not found.changed.any()
    with pytest.raises(NotApplicable, match="layers are those of a torch module"):
        dtype_variants(model(scores), DATA, 8, "bfloat16", largest)


class ReadsMemory(nn.Module):
    """Reads its images as they lie in memory, whatever their strides say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the first numbers of each image."""
        flat = torch.as_strided(x, (x.shape[0], x[0].numel()), (x[0].numel(), 1))
        return flat[:, :2].clone()


def test_channels_last() -> None:
    """A convolution answers the same; one that reads memory does not; what is no image is not asked."""
    images = EvalData(torch.randn(12, 3, 5, 5))
    convolution = TorchModel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 5)), "student")
    (found,) = memory_format_variants(convolution, images, 12, largest)
    assert not found.changed.any()
    (found,) = memory_format_variants(TorchModel(ReadsMemory(), "student"), images, 12, None)
    assert found.changed.any()
    with pytest.raises(NotApplicable, match="inputs of four dimensions"):
        memory_format_variants(TorchModel(nn.Linear(1, 2), "student"), DATA, 8, largest)


def test_shapes_that_do_not_fit() -> None:
    """One row for each sample, in the teacher's shape."""
    assert list(shape_mismatches(model(scores), DATA, (2,), 32)) == []
    assert list(shape_mismatches(model(scores), DATA, (3,), 2)) == [
        "a batch of 1 gives (2,) for each sample, and the teacher (3,)",
        "a batch of 2 gives (2,) for each sample, and the teacher (3,)",
    ]
    squeezed = model(lambda batch: scores(batch).squeeze())
    assert next(iter(shape_mismatches(squeezed, DATA, (2,), 7))) == "a batch of 1 gives an output of shape (2,)"


def test_batch_that_a_model_cannot_take() -> None:
    """Told as the model's failure."""

    def only_eight(batch: Any) -> Any:
        if len(batch) != 8:
            raise ValueError("compiled for 8")
        return scores(batch)

    with pytest.raises(ModelError, match=r"raised ValueError on inputs of shape \(1, 1\): compiled for 8"):
        batch_variants(model(only_eight), DATA, 8, 0, largest)


def test_one_sample_is_in_one_batch() -> None:
    """Compared with itself it would always pass."""
    with pytest.raises(DoesNotFit, match="state more samples="):
        batch_variants(model(scores), DATA, 1, 0, largest)


def test_channels_last_of_images_beside_texts() -> None:
    """Images come in numbers of another type than the module's; texts are left as they are."""

    class Captioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 4, 3)

        def forward(self, image: torch.Tensor, text: list[str]) -> torch.Tensor:
            assert all(isinstance(one, str) for one in text)
            return torch.flatten(self.features(image), 1)

    images = np.random.default_rng(0).random((6, 3, 8, 8))
    data = EvalData({"image": images, "text": ["a"] * 6}, np.zeros(6, dtype=int))
    (found,) = memory_format_variants(TorchModel(Captioned(), "student"), data, 6, largest)
    assert not found.changed.any()
