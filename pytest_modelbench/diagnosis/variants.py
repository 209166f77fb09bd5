"""Make calls of variants of the student, and check that a variant computes the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, join, leaves
from pytest_modelbench.diagnosis.subject import Call, Subject

CHANGED = "the counterfactual changes the outputs"
UNCOPIED = "the student cannot be copied"


def call_of(subject: Subject, module: Any) -> Call:
    """Return the call of another module on the subject's batch, bound as the student's adapter binds it."""
    from pytest_modelbench.models.adapters.torch_module import TorchModel

    return TorchModel(module, "variant").bind(subject.inputs)


def copied(subject: Subject) -> Any:
    """Return a deep copy of the student's module, or None if it cannot be copied."""
    copy = getattr(subject.student, "copied_module", None)
    return None if copy is None else copy()


def in_mode(subject: Subject, function: Callable[[], Any]) -> Any:
    """Return what a function returns while the student is in evaluation and inference mode."""
    with subject.student.running():
        found = function()
    subject.beat()
    return found


def same_outputs(subject: Subject, variant: Call, tolerance: float = 1e-3) -> bool:
    """Return whether a variant's outputs are the student's.

    Args:
        subject: the student with its batch.
        variant: the other call.
        tolerance: the largest difference, as a fraction of the largest absolute output.
    """
    expected, found = (_numbers(in_mode(subject, call)) for call in (subject.call, variant))
    if [one.shape for one in expected] != [one.shape for one in found]:
        return False
    return all(_close(one, other, tolerance) for one, other in zip(expected, found, strict=True))


def _numbers(outputs: Any) -> list[np.ndarray[Any, Any]]:
    tree = tuple(outputs) if isinstance(outputs, list) else outputs
    return [as_array(leaf) for leaf in leaves(tree) if hasattr(leaf, "shape")]


def _close(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any], tolerance: float) -> bool:
    scale = float(np.nanmax(np.abs(expected), initial=0.0)) if expected.dtype.kind in "fiu" else 0.0
    return bool(np.allclose(found, expected, rtol=0.0, atol=tolerance * scale, equal_nan=True))


def repeated(inputs: Any, times: int) -> Any:
    """Return a batch of the same samples, several times over."""
    return join([inputs] * times)
