"""Which tasks fit a model's outputs and the targets: the only one is taken, several are asked for by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError
from pytest_modelbench.probes.answers.columns import in_chunks

Array = npt.NDArray[Any]
_SPELLED = {
    "multiclass": "EvalData(..., task='multiclass', outputs='labels')",
    "binary": "EvalData(..., task='binary', outputs='logits') (or 'probabilities')",
    "multilabel": "EvalData(..., task='multilabel')",
    "regression": "EvalData(..., task='regression')",
}


def infer_task(model: str, array: Array, targets: Array | None) -> str:
    """Return the only task that fits.

    Raises:
        DataError: several fit, or none does; the message says what to write, or what is missing.
    """
    fitting = fitting_tasks(array, targets)
    if len(fitting) == 1:
        return fitting[0]
    described = "no targets" if targets is None else f"targets of shape {targets.shape} and type {targets.dtype}"
    seen = f"{model} gives outputs of shape {array.shape} and type {array.dtype} for {described}"
    if not fitting:
        raise DataError(f"{seen}: no task fits. {_missing(array, targets)}")
    if targets is not None and targets.ndim == 2 and (advice := _of_one_label(targets)):
        raise DataError(f"{seen}, {advice}")
    raise DataError(f"{seen}: {' or '.join(fitting)}? Write {', or '.join(_SPELLED[task] for task in fitting)}")


def fitting_tasks(array: Array, targets: Array | None) -> list[str]:
    """Return the tasks that fit outputs (a single column is one-dimensional here) and targets."""
    if array.ndim == 1:
        return _of_one_output(array, targets)
    if array.ndim == 2 and (targets is None or targets.ndim == 1):
        scores = targets is None or targets.dtype.kind != "f" or _are_whole(targets)
        return ["multiclass"] if scores else []
    if targets is None or array.shape != targets.shape or targets.dtype.kind not in "biuf":
        return []
    flags = _are_flags(targets)
    if array.ndim > 2:
        return ["regression"] if targets.dtype.kind == "f" else []
    if not flags:
        return ["multiclass", "regression"] if _of_one_label(targets) else ["regression"]
    if _of_one_label(targets):
        return ["multiclass", "multilabel"]
    return ["multilabel", "regression"] if targets.dtype.kind == "f" else ["multilabel"]


def _of_one_output(array: Array, targets: Array | None) -> list[str]:
    """Return the tasks that fit one output for each sample: a score, a value or a label."""
    if targets is not None and targets.ndim != 1:
        return []
    labels, texts = array.dtype.kind != "f", targets is not None and targets.dtype.kind in "USO"
    if targets is None:
        return ["multiclass"] if labels else ["binary", "regression"]
    if labels and targets.dtype.kind != "f":
        return ["multiclass"]
    if labels:
        return ["multiclass", "regression"] if array.dtype.kind in "iu" and _are_whole(targets) else ["regression"]
    two = len(np.unique(targets[:1000])) <= 2 and len(np.unique(targets)) <= 2
    if texts:
        return ["binary"] if two else []
    if targets.dtype.kind == "b":
        return ["binary"]
    if two and (targets.dtype.kind in "iu" or _are_flags(targets)):
        return ["binary", "regression"]
    whole = targets.dtype.kind in "iu" and all(_are_whole(chunk) for chunk in in_chunks(array))
    return ["multiclass", "regression"] if whole else ["regression"]


def _are_whole(values: Array) -> bool:
    return bool(np.all(values == np.floor(values)))


def _are_flags(values: Array) -> bool:
    return values.dtype.kind == "b" or bool(np.all((values == 0) | (values == 1)))


def _of_one_label(targets: Array) -> str:
    """Return advice for rows of targets that may represent one label each; empty if they do not."""
    if targets.dtype.kind not in "iuf" or not np.all(np.abs(targets.sum(axis=1, dtype=np.float64) - 1) < 1e-3):
        return ""
    if _are_flags(targets):
        return (
            "and every row of the targets has a single 1: one label per sample, or several? Write "
            "targets.argmax(axis=1), or EvalData(..., task='multilabel')"
        )
    if np.all((targets >= 0) & (targets <= 1)):
        return (
            "and every row of the targets adds up to 1: one label per sample, or numbers? Write "
            "targets.argmax(axis=1), or EvalData(..., task='regression')"
        )
    return ""


def _missing(array: Array, targets: Array | None) -> str:
    """Return what is missing where no task fits."""
    if array.ndim > 2:
        return (
            "A label for each pixel or token has no KPI in the catalogue yet: compute a custom metric in a test's "
            "body and judge it by kpi.record(student=..., teacher=...), or return one row of scores for each sample"
        )
    if targets is not None and targets.ndim == 1 and array.ndim == 2:
        return (
            f"{array.shape[1]} outputs for each sample need labels (integers or strings); one number for each "
            "sample needs one output, which select= picks from several heads"
        )
    return (
        "Expected one row of scores and one label per sample (multiclass), one output per sample (binary, "
        "regression), or targets of the outputs' shape (multilabel, regression)"
    )
