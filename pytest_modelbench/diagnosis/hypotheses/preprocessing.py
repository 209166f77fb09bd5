"""Preprocessing inside of `forward`: work on the inputs that comes before the first layer with weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.layers import students_calls, teachers_calls, teachers_module
from pytest_modelbench.diagnosis.operators import trace
from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.diagnosis.waterfall import CALL, put_back

if TYPE_CHECKING:
    from torch import nn

AS_MUCH = 2.0
"""The student's preprocessing is its own if it takes surely more than so many times the teacher's."""


class _ReachedError(BaseException):
    """Ends a call at its first layer; no model catches it by mistake."""


def preprocessing_in_forward(subject: Subject) -> Finding | None:
    """Time what the student does before its first layer; None if that is nothing, or the teacher does it too."""
    calls = students_calls(subject)
    if not calls:
        return None
    before = _until(calls[0].layer, subject.call)
    operators = [operator.name for operator in trace(subject, before) if operator.moved_bytes]
    if not operators or _teacher_does_it(subject, before):
        return None
    share = subject.watch.ratio(before, subject.call).map(lambda ratio: min(ratio, 1.0))
    return Finding(
        cause="preprocessing_in_forward",
        text=f"{len(operators)} operators prepare the inputs before the first layer ({calls[0].path}), in every call",
        evidence={"operators": len(operators), "names": list(dict.fromkeys(operators))[:10], "layer": calls[0].path},
        counterfactual="the call ended at its first layer; the rest is what prepared inputs would take",
        gives_back=share,
        remedy="Prepare the inputs where the data are loaded, once for each sample, and give the model what its "
        "first layer takes",
        explains=("dispatch_bound", "memory_bound"),
    )


def _teacher_does_it(subject: Subject, before: Call) -> bool:
    """Whether the teacher takes about as long before its first layer; a teacher without layers cannot tell."""
    if subject.teacher is None or teachers_module(subject) is None:
        return False
    calls = teachers_calls(subject)
    if not calls:
        return True
    teachers = _until(calls[0].layer, subject.teacher.bind(subject.inputs))
    with subject.teacher.running():
        return (subject.watch.ratio(before, teachers).low or 0.0) <= AS_MUCH


def _until(layer: nn.Module, call: Call) -> Call:
    """Return a call that ends where a layer begins."""

    def run() -> None:
        with _ending_at(layer), contextlib.suppress(_ReachedError):
            call()

    return run


@contextlib.contextmanager
def _ending_at(layer: nn.Module) -> Iterator[None]:
    own = vars(layer).get(CALL)
    setattr(layer, CALL, _reached)
    try:
        yield
    finally:
        put_back(layer, own)


def _reached(*_: Any, **__: Any) -> NoReturn:
    raise _ReachedError
