"""Whether a model copes with an edge case; its teacher says what may be expected of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import CheckFailure, ModelError, NotApplicable
from pytest_modelbench.models.outputs import as_array, leaves, rows, select_output, shapes

if TYPE_CHECKING:
    from pytest_modelbench.data.edge_cases import EdgeCase
    from pytest_modelbench.models.base import Model

TOLERANCE = 1e-3
_SHOWN_ROWS = 3
_SHOWN_VALUES = 6
Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def check_finite(model: Model, case: EdgeCase) -> None:
    """Check that a model answers an edge case with finite numbers, one row for each sample.

    A row must be finite where its input is finite and the teacher's answer is finite. A row that holds a real
    sample must be answered as in the batch of real samples, whatever stands in the other rows, if the teacher
    answers so: within `TOLERANCE` of the largest answer.

    Raises:
        CheckFailure: the model raises where the teacher answers, gives another number of rows, or a row breaks the
            rules above.
        NotApplicable: the teacher cannot answer the case either, so nothing is expected of the student.
    """
    __tracebackhide__ = True
    reference = _Answers(case.teacher(), case) if model.name != "teacher" else None
    answers = _Answers(model, case)
    if answers.raised is not None:
        if reference is not None and reference.raised is not None:
            raise NotApplicable(f"{case}: the teacher does not answer it either: {reference.raised}")
        told = ", and its teacher answers" if reference is not None and reference.known else ""
        raise CheckFailure(f"{case}: {answers.raised}{told}")
    count = rows(case.inputs)
    if answers.array.ndim == 0 or len(answers.array) != count:
        raise CheckFailure(f"{case}: {model.name} gives outputs {answers.shape} for {count} rows")
    _check_rows(_finite(answers.array) | ~_finite_inputs(case), "not finite", answers, reference)
    if (case.origin >= 0).any():
        _check_rows(_kept(answers, case), "not what they are beside other rows", answers, reference)


def _check_rows(good: Mask, fault: str, answers: _Answers, reference: _Answers | None) -> None:
    """Fail for rows that are not good, unless the teacher's are not good either."""
    __tracebackhide__ = True
    if good.all():
        return
    case = answers.case
    if reference is not None and reference.known and reference.raised is None and len(reference.array) == len(good):
        theirs = _finite(reference.array) if fault == "not finite" else _kept(reference, case)
        good = good | ~theirs
        if good.all():
            return
    bad = np.flatnonzero(~good)
    shown = bad[:_SHOWN_ROWS]
    lines = [f"{case}: {len(bad)} of {len(good)} rows of {answers.name} are {fault}: {_listed(bad)}"]
    for who in (answers, reference):
        if who is not None and who.known and who.raised is None:
            lines += [f"  {who.name} row {row}: {_values(who.array[row])}" for row in shown]
        elif who is not None and who.raised is not None:
            lines.append(f"  {who.raised}")
    raise CheckFailure("\n".join(lines))


def _listed(index: npt.NDArray[np.intp]) -> str:
    more = ", ..." if len(index) > 10 else ""
    return ", ".join(map(str, index[:10].tolist())) + more


def _values(row: Array) -> str:
    flat = np.asarray(row).reshape(-1)
    shown = ", ".join(f"{value:.4g}" if flat.dtype.kind == "f" else str(value) for value in flat[:_SHOWN_VALUES])
    return f"[{shown}{', ...' if len(flat) > _SHOWN_VALUES else ''}]"


def _finite(array: Array) -> Mask:
    if array.dtype.kind not in "fc":
        return np.ones(len(array), dtype=bool)
    return _all_of_row(np.isfinite(array))


def _all_of_row(good: Array) -> Mask:
    return np.asarray(good.all(axis=tuple(range(1, good.ndim))))


def _finite_inputs(case: EdgeCase) -> Mask:
    finite = np.ones(rows(case.inputs), dtype=bool)
    for leaf in leaves(case.inputs):
        array = leaf.select_dtypes("number").to_numpy() if hasattr(leaf, "select_dtypes") else leaf
        if hasattr(array, "dtype") and len(array) == len(finite):
            finite &= _finite(as_array(array))
    return finite


def _kept(answers: _Answers, case: EdgeCase) -> Mask:
    """Whether rows that hold real samples are answered as in the batch of real samples."""
    kept = np.ones(len(case.origin), dtype=bool)
    plain = answers.plain()
    if plain.ndim == 0 or answers.array.shape[1:] != plain.shape[1:]:
        return kept  # shapes that follow the content (generated texts) cannot be compared row by row
    real = np.flatnonzero((case.origin >= 0) & _finite(answers.array))
    here, there = answers.array[real], plain[case.origin[real]]
    if here.dtype.kind not in "fiu":
        kept[real] = _all_of_row(here == there)
        return kept
    scale = float(np.nanmax(np.abs(np.where(np.isfinite(there), there, 0.0)), initial=1e-12))
    apart = np.abs(here.astype(float) - there.astype(float))
    kept[real] = _all_of_row(np.nan_to_num(apart, nan=np.inf) <= TOLERANCE * scale)
    return kept


class _Answers:
    """What one model answers; `known` is False where there is no such model."""

    def __init__(self, model: Model | None, case: EdgeCase) -> None:
        self.case = case
        self.known = model is not None
        self.raised: str | None = None
        self.array: Array = np.empty(0)
        self.shape = ""
        if model is None:
            return
        self.name = model.name
        self._model = model
        try:
            output = model(case.inputs)
            self.shape = shapes(output)
            self.array = as_array(select_output(output, case.select, model.name))
        except ModelError as error:
            self.raised = str(error)

    def plain(self) -> Array:
        """Return the answers to the batch of real samples."""
        return as_array(select_output(self._model(self.case.plain), self.case.select, self.name))
