"""The operators that one call of a torch module dispatches, and what they cost apart from their arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_modelbench.diagnosis.subject import Call, Subject

Step = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A function with its positional and keyword arguments."""
_QUANTISING = ("quantize_", "dequantize", "choose_qparams")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator of a call.

    Attributes:
        function: the overload, which can be called again.
        args: positional arguments.
        kwargs: keyword arguments.
        moved_bytes: bytes of its inputs and outputs; 0 for a view.
        largest_bytes: of its largest input or output.
    """

    function: Any
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    moved_bytes: int
    largest_bytes: int

    @property
    def name(self) -> str:
        """Its name without namespace and overload, such as `addmm`."""
        return str(self.function.name()).partition("::")[2].partition(".")[0]

    @property
    def quantises(self) -> bool:
        """Whether it turns floats into integers or back."""
        return self.name.startswith(_QUANTISING)

    @property
    def inputs(self) -> list[torch.Tensor]:
        """The tensors that it reads."""
        return list(_tensors((self.args, self.kwargs)))


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        out = func(*args, **named)
        sizes = [t.numel() * t.element_size() for t in _tensors((args, named, out))]
        self.operators.append(
            Operator(
                function=func,
                args=args,
                kwargs=named,
                moved_bytes=0 if func.is_view else sum(sizes),
                largest_bytes=max(sizes, default=0),
            )
        )
        return out


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for branch in tree:
            yield from _tensors(branch)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))


def trace(subject: Subject, call: Call | None = None) -> list[Operator]:
    """Return the operators of one call of the student, or of another call, in their order."""
    with inference(subject), _Trace() as traced:
        (call or subject.call)()
    subject.beat()
    operators: list[Operator] = traced.operators
    return operators


@contextlib.contextmanager
def inference(subject: Subject) -> Iterator[None]:
    """Evaluation mode without gradients in which a dispatch mode sees every operator."""
    with subject.student.running(), torch.inference_mode(mode=False), torch.no_grad():
        yield


def in_turn(steps: Sequence[Step]) -> Call:
    """Return a call that runs functions one after the other, and waits for the GPU if their tensors are on one."""
    on_gpu = any(tensor.is_cuda for _, args, kwargs in steps for tensor in _tensors((args, kwargs)))

    def run() -> None:
        for function, args, kwargs in steps:
            function(*args, **kwargs)
        if on_gpu:
            torch.cuda.synchronize()

    return run


def replay(operators: Sequence[Operator]) -> Call:
    """Return a call that runs operators again on the tensors that they had."""
    return in_turn([(operator.function, operator.args, operator.kwargs) for operator in operators])


def at_few_elements(operators: Sequence[Operator]) -> tuple[Call, int]:
    """Return a call that runs the same operators on tensors of at most `FEW` elements a side, and how many it runs.

    What it takes is the cost of calling operators. One that refuses such tensors gets some of one element, and is
    left out if it refuses these as well.
    """
    small = [shrunk for operator in operators if (shrunk := _shrunk(operator)) is not None]
    return in_turn(small), len(small)


def _shrunk(operator: Operator) -> Step | None:
    for tries in _TRIES:
        args, kwargs = (_tiny(tree, tries) for tree in (operator.args, operator.kwargs))
        try:
            operator.function(*args, **kwargs)
        except Exception:  # noqa: BLE001, S112 - operators refuse shapes with any exception; the next try is another
            continue
        return operator.function, args, kwargs
    return None


def _tiny(tree: Any, most: _Most) -> Any:
    """Return arguments with tensors and whole numbers no larger than asked for."""
    if isinstance(tree, torch.Tensor):
        make = torch.ones if tree.is_floating_point() else torch.zeros
        return make([min(size, most.side) for size in tree.shape], dtype=tree.dtype, device=tree.device)
    if isinstance(tree, dict):
        return {key: _tiny(value, most) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_tiny(value, most) for value in tree)
    if isinstance(tree, list):
        if most.listed is not None and all(isinstance(value, int) for value in tree):
            return [min(value, most.listed) for value in tree]
        return [_tiny(value, most) for value in tree]
    if most.number is not None and isinstance(tree, int) and not isinstance(tree, bool):
        return min(tree, most.number)
    return tree


class _Most(NamedTuple):
    """The largest side of a tensor, whole number in a list (a shape), and whole number; None leaves them."""

    side: int
    listed: int | None
    number: int | None


FEW = 4
_TRIES = (
    _Most(FEW, None, None),
    _Most(FEW, FEW, None),
    _Most(FEW, FEW, FEW),
    _Most(1, None, None),
    _Most(1, 1, None),
    _Most(1, 1, 1),
    _Most(1, 1, 0),
)
