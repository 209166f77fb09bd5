"""What is exported: a copy of a model in evaluation mode, an example of its inputs, and which sizes may vary."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, leaves, map_tree, pick, rows
from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import ModelError, NotApplicable

if TYPE_CHECKING:
    from pytest_modelbench.exports.options import ExportOptions, Target
    from pytest_modelbench.models.base import Model

LEAST_ROWS = 2
"""How many rows an example has at least: torch.export makes a constant of a size of one."""
HALF = frozenset({"fp16"})
"""Variants whose file computes in float16."""


@dataclass(frozen=True, kw_only=True)
class SizeRange:
    """The least and the greatest shape of one input."""

    least: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model with all that exporters need of it.

    Attributes:
        model: the adapter of the copy, which exporters may touch.
        module: the copy itself: a torch module, or a fitted estimator.
        example: a batch as the model takes it, of at least two rows unless the file may be fixed.
        args: the example as the module's positional arguments.
        kwargs: the example as the module's keyword arguments.
        dynamic: the dimensions that may vary, by the name or position of each input; empty for a fixed file.
        outputs: the names of the module's outputs if it returns a mapping; empty for arrays and tuples.
        nested: whether the module takes all inputs as one argument, as those of Keras do.
        ranges: the least and the greatest size of each dimension of each input, over the batch sizes that are asked
            for and all batches.
        opset: of ONNX; None for the exporter's own.
    """

    model: Model
    module: Any
    example: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    dynamic: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    nested: bool = False
    ranges: Mapping[str, SizeRange] = field(default_factory=dict)
    opset: int | None = None

    def shapes(self, of: Any) -> tuple[Any, ...] | dict[str, Any] | None:
        """Return `dynamic_shapes` as torch.export takes it.

        Args:
            of: called with the name of an input and a dimension; returns the value that marks a size as variable.
        """
        if not self.dynamic:
            return None
        named = {name: {at: of(name, at) for at in self.dynamic[name]} for name in self.dynamic}
        if self.nested:  # the module's signature is *args
            (value,) = self.args
            shapes = {name: named[name] for name in value} if isinstance(value, Mapping) else _like(value, named["0"])
            return ((shapes,),)
        if self.kwargs:
            return {name: _like(value, named[name]) for name, value in self.kwargs.items()}
        return tuple(_like(value, named[str(i)]) for i, value in enumerate(self.args))


def _like(value: Any, shape: Any) -> Any:
    return map_tree(lambda _: dict(shape), value)


@contextlib.contextmanager
def evaluating(source: Source) -> Iterator[None]:
    """Keep a torch module in evaluation mode; every submodule's own mode is restored after it."""
    if source.model.kind == "sklearn":
        yield
        return
    from pytest_modelbench.models.adapters.torch_module import evaluate

    training = [part for part in source.module.modules() if getattr(part, "training", False)]
    evaluate(source.module, training)
    try:
        yield
    finally:
        for part in training:
            part.training = True


def rows_of(batch: Any, count: int) -> Any:
    """Return a batch of some number of rows, from the first on; after the last one comes the first again."""
    return pick(batch, np.arange(count, dtype=np.intp) % rows(batch))


def by_input(batch: Any) -> dict[str, Any]:
    """Return the inputs of a batch by name, or by position where they have no names."""
    if isinstance(batch, Mapping):
        return {str(name): value for name, value in batch.items()}
    return {str(i): value for i, value in enumerate(batch if isinstance(batch, tuple) else (batch,))}


def size_ranges(batches: Sequence[Any], batch_sizes: Sequence[int]) -> dict[str, SizeRange]:
    """Return the least and the greatest size of each dimension of each input; nested ones are their first leaf.

    Args:
        batches: of inputs.
        batch_sizes: that a file must take; the first dimension starts at 1.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for batch in batches:
        for name, value in by_input(batch).items():
            shapes.setdefault(name, []).append(tuple(np.shape(leaves(value)[0])))
    rows_asked = max(*batch_sizes, LEAST_ROWS)
    return {
        name: SizeRange(
            least=tuple(1 if at == 0 else min(sizes) for at, sizes in enumerate(zip(*of, strict=False))),
            most=tuple(
                max(*sizes, rows_asked) if at == 0 else max(sizes) for at, sizes in enumerate(zip(*of, strict=False))
            ),
        )
        for name, of in shapes.items()
    }


def varying(batches: Sequence[Any], options: ExportOptions) -> dict[str, tuple[int, ...]]:
    """Return the dimensions of each input that may vary: those stated, else the first and those that differ.

    Raises:
        ModelError: `dynamic=` names an input or a dimension that the data do not have.
    """
    inputs = [by_input(batch) for batch in batches]
    dimensions = {name: _varying_of([batch[name] for batch in inputs]) for name in inputs[0]}
    for name, stated in (options.dynamic or {}).items():
        names = ", ".join(map(repr, dimensions))
        if str(name) not in dimensions:
            raise ModelError(f"dynamic= names the input {name!r}, and the data have {names}")
        rank = np.ndim(as_array(leaves(inputs[0][str(name)])[0]))
        if not all(0 <= at < rank for at in stated):
            raise ModelError(f"dynamic= names dimensions {list(stated)} of the input {name!r}, which has {rank}")
        dimensions[str(name)] = tuple(sorted({*stated}))
    return dimensions


def _varying_of(values: Sequence[Any]) -> tuple[int, ...]:
    shapes = {tuple(np.shape(leaf)) for value in values for leaf in leaves(value)[:1]}
    rank = min(len(shape) for shape in shapes)
    return (0, *(at for at in range(1, rank) if len({shape[at] for shape in shapes}) > 1))


def source_of(model: Model, batches: Sequence[Any], target: Target, options: ExportOptions, answer: Any) -> Source:
    """Return what an exporter gets of a model.

    Args:
        model: a torch module or a fitted estimator in its adapter.
        batches: of inputs as the model takes them.
        target: what it is exported to.
        options: what is asked of the export.
        answer: what the model returned for the first batch.

    Raises:
        NotApplicable: it is neither, or it answers prompts.
        ModelError: `dynamic=` does not fit the data, or no copy can be made in float16.
    """
    if isinstance(batches[0], Prompts):
        raise NotApplicable(
            f"{model.name} answers prompts, and an exported file is one call of a module. Give data of token ids, or "
            "the exported file behind a function or a server"
        )
    least = 1 if target.variant == "fixed" else LEAST_ROWS
    example = rows_of(batches[0], max(least, rows(batches[0])))
    ranges = size_ranges(batches, options.batch_sizes)
    dynamic = {} if target.variant == "fixed" else varying(batches, options)
    if model.kind == "sklearn":
        return Source(
            model=model,
            module=getattr(model, "estimator", None),
            example=example,
            dynamic=dynamic,
            ranges=ranges,
            opset=options.opset,
        )
    copy = _copied(model, half=target.variant in HALF)
    prepared = map_tree(copy.to_device, example)
    nested = model.kind == "keras"  # a Keras model takes all inputs as one argument
    return Source(
        model=copy,
        module=copy.module,
        example=example,
        args=_positional(prepared, nested=nested),
        kwargs=prepared if isinstance(prepared, dict) and not nested else {},
        dynamic=dynamic,
        outputs=tuple(map(str, _present(answer))) if isinstance(answer, Mapping) else (),
        nested=nested,
        ranges=ranges,
        opset=options.opset,
    )


def _positional(prepared: Any, *, nested: bool) -> tuple[Any, ...]:
    if nested:
        return (prepared,)
    return () if isinstance(prepared, dict) else prepared if isinstance(prepared, tuple) else (prepared,)


def _present(answer: Mapping[Any, Any]) -> list[Any]:
    return [name for name, value in answer.items() if value is not None]


def _copied(model: Model, *, half: bool) -> Any:
    """Return a copy of a torch model, or the model itself if it cannot be copied."""
    try:
        from pytest_modelbench.models.adapters.torch_module import TorchModel
    except ImportError:
        raise _no_source(model) from None
    if not isinstance(model, TorchModel) or not hasattr(model.module, "named_modules"):
        raise _no_source(model)
    module = model.copied_module()
    if module is None and half:
        raise ModelError(f"{model.name} cannot be copied, so its float16 form cannot be made")
    module = model.module if module is None else module
    return TorchModel(module.half() if half else module, model.name)


def _no_source(model: Model) -> NotApplicable:
    return NotApplicable(
        f"{model.name} is a model of the kind {model.kind!r}, and only torch modules and scikit-learn estimators are "
        "exported. Give the module or estimator itself, or the exported file as a student of its own"
    )
