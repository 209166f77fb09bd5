"""Whether a model's answers depend on what should not matter: a second run, the batch, its order, the number type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import (
    duplicate,
    leaves,
    map_tree,
    output_array,
    pick,
    rows,
    select_output,
    shapes,
    take,
)
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DoesNotFit, ModelError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.timing.watchdog import beat

Array = npt.NDArray[Any]
Answers = Callable[[Array], Array]
BATCH_SIZES = (1, 2, 7)
RELATIVE, ABSOLUTE, ROUNDINGS = 1e-4, 1e-6, 16
"""How far values may move that are no labels: what another order of additions does."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One other way to ask for the same answers.

    `changed` says for each sample whether its label (or, for values, the number itself beyond rounding) differs,
    `furthest` is the largest difference of any output value.
    """

    name: str
    changed: npt.NDArray[np.bool_]
    furthest: float


def changed_samples(model: Model, data: EvalData, outputs: Outputs) -> npt.NDArray[np.intp]:
    """Run a model a second time over all samples and return the positions of those whose output differs in any bit.

    Raises:
        ModelError: the model raised, or answered in another shape.
    """
    changed: list[npt.NDArray[np.intp]] = []
    start = 0
    with model.running():
        for batch in data.batches():  # refuses other inputs than those of the first pass
            again = _answer(model, batch.inputs, data)
            before = outputs.array[start : start + len(again)]
            if again.shape != before.shape:
                raise ModelError(f"{model.name} returned another shape the second time: {again.shape}")
            differs = _bits(again) != _bits(before)
            changed.append(start + np.flatnonzero(differs.reshape(len(again), -1).any(axis=1)))
            start += len(again)
    return np.concatenate(changed)


def _bits(array: Array) -> Array:
    """Return an array whose elements are equal where all bits are."""
    whole = np.ascontiguousarray(array)
    return whole.view(f"u{whole.dtype.itemsize}") if whole.dtype.kind in "fiu" else whole


def _answer(model: Model, inputs: Any, data: EvalData) -> Array:
    try:
        output = model.bind(duplicate(inputs))()
    except BaseException as error:
        raise model.failure(inputs, error) from error
    beat()
    try:
        return output_array(select_output(output, data.select, model.name)).copy()  # it may reuse its buffer
    except ModelError as error:
        raise ModelError(f"{model.name} returned {shapes(output)}: {error}") from error


def batch_variants(model: Model, data: EvalData, samples: int, seed: int, answers: Answers | None) -> list[Variant]:
    """Ask a model for the same samples one by one, in other batch sizes, and in another order.

    Args:
        model: asked for all samples in one batch first; that is what the others are compared with.
        data: whose first samples are used.
        samples: how many.
        seed: of the other order.
        answers: what outputs say, as labels; None where they are values.

    Raises:
        DoesNotFit: there is one sample only.
        ModelError: the model raised, also because it cannot take such a batch.
    """
    inputs = next(iter(data.batches(samples))).inputs
    count = rows(inputs)
    if count < 2:
        raise DoesNotFit(
            "one sample is in one batch however it is asked for. Bring more data, or state more samples="
        )
    with model.running():
        whole = _answer(model, inputs, data)
        variants = [
            _variant(f"batch size {size}", whole, _in_batches(model, inputs, data, size), answers)
            for size in BATCH_SIZES
            if size < count
        ]
        order = np.random.default_rng(seed).permutation(count)
        shuffled = _answer(model, pick(inputs, order), data)
        back = np.empty_like(shuffled)
        back[order] = shuffled
        return [*variants, _variant("another order", whole, back, answers)]


def _in_batches(model: Model, inputs: Any, data: EvalData, size: int) -> Array:
    parts = [_answer(model, take(inputs, start, start + size), data) for start in range(0, rows(inputs), size)]
    return np.concatenate(parts)


def _variant(name: str, whole: Array, other: Array, answers: Answers | None, relative: float = RELATIVE) -> Variant:
    if other.shape != whole.shape:
        raise ModelError(f"with {name} the outputs have shape {other.shape}, and {whole.shape} in one batch")
    if whole.dtype.kind not in "fiu":
        return Variant(name=name, changed=_any(whole != other), furthest=0.0)
    with np.errstate(invalid="ignore"):
        apart = np.abs(whole.astype(np.float64) - other.astype(np.float64))
    furthest = float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
    if answers is not None:
        lost = ~np.isfinite(other) & np.isfinite(whole)  # a NaN is not a label, at any position
        changed = _any(answers(whole) != answers(other)) | _any(lost)
    elif whole.dtype.kind in "iu":
        changed = _any(whole != other)
    else:
        scale = float(np.nanmax(np.abs(whole))) if np.isfinite(whole).any() else 0.0
        same = np.isclose(other, whole, rtol=relative, atol=max(ABSOLUTE, relative / 10) * scale, equal_nan=True)
        changed = _any(~same)
    return Variant(name=name, changed=changed, furthest=furthest)


def _any(differs: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(differs.reshape(len(differs), -1).any(axis=1))


def dtype_variants(model: Model, data: EvalData, samples: int, dtype: str, answers: Answers | None) -> list[Variant]:
    """Ask a copy of a torch module for the same samples in another number type.

    Raises:
        NotApplicable: it is not a torch module, or one that cannot be copied.
        ModelError: the model raised, also because an operator has no kernel for the type.
    """
    import torch

    from pytest_modelbench.models.adapters.torch_module import TorchModel
    from pytest_modelbench.probes.answers.layers import DTYPES, module_of

    module_of(model)
    copied = model.copied_module() if isinstance(model, TorchModel) else None
    if copied is None:
        raise NotApplicable(f"{model.name} cannot be copied")
    before = {id(tensor): tensor.dtype for tensor in (*copied.parameters(), *copied.buffers())}
    if not any(kind.is_floating_point for kind in before.values()):
        raise NotApplicable(f"{model.name} has no floating-point weights that could be in {dtype}")
    other = TorchModel(copied.to(DTYPES[dtype]), model.name)
    inputs = next(iter(data.batches(samples))).inputs
    with model.running():
        whole = _answer(model, inputs, data)
    with other.running():
        cast = map_tree(lambda leaf: _cast(leaf, DTYPES[dtype]), inputs)
        answered = _answer(other, cast, data).astype(whole.dtype)
    return [_variant(dtype, whole, answered, answers, relative=ROUNDINGS * float(torch.finfo(DTYPES[dtype]).eps))]


def _cast(leaf: Any, dtype: Any) -> Any:
    return leaf.to(dtype) if hasattr(leaf, "is_floating_point") and leaf.is_floating_point() else leaf


def memory_format_variants(model: Model, data: EvalData, samples: int, answers: Answers | None) -> list[Variant]:
    """Ask a copy of a torch module for the same images with their channels last in memory.

    Raises:
        NotApplicable: it is not a torch module that can be copied, or the inputs are not images.
        ModelError: the model raised.
    """
    import torch

    from pytest_modelbench.models.adapters.torch_module import TorchModel
    from pytest_modelbench.probes.answers.layers import module_of

    module_of(model)
    copied = model.copied_module() if isinstance(model, TorchModel) else None
    inputs = next(iter(data.batches(samples))).inputs
    if copied is None:
        raise NotApplicable(f"{model.name} cannot be copied")
    if not any(len(getattr(leaf, "shape", ())) == 4 for leaf in leaves(inputs)):
        raise NotApplicable("channels last is for images, inputs of four dimensions")
    other = TorchModel(copied.to(memory_format=torch.channels_last), model.name)  # type: ignore[call-overload] # in no stub

    def channels_last(leaf: Any) -> Any:
        if len(getattr(leaf, "shape", ())) != 4:
            return leaf
        return other.to_device(leaf).contiguous(memory_format=torch.channels_last)

    with model.running():
        whole = _answer(model, inputs, data)
    with other.running():
        return [_variant("channels last", whole, _answer(other, map_tree(channels_last, inputs), data), answers)]


def shape_mismatches(student: Model, data: EvalData, expected: tuple[int, ...] | None, samples: int) -> Iterator[str]:
    """Yield how a model's outputs do not fit batches of several sizes, or the teacher's outputs.

    Args:
        student: asked for batches of 1, 2, 7 and `samples` samples.
        data: whose first samples are used.
        expected: the shape of one sample's output of the teacher; None where there is no teacher.
        samples: of the largest batch.
    """
    inputs = next(iter(data.batches(samples))).inputs
    count = rows(inputs)
    with student.running():
        for size in sorted({size for size in (*BATCH_SIZES, count) if size <= count}):
            shape = _answer(student, take(inputs, 0, size), data).shape
            if not shape or shape[0] != size:
                yield f"a batch of {size} gives an output of shape {shape}"
            elif expected is not None and shape[1:] != expected:
                yield f"a batch of {size} gives {shape[1:]} for each sample, and the teacher {expected}"
