"""Whether a model copes with an edge case; its teacher says what may be expected of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import (
    content,
    duplicate,
    leaves,
    number_parts,
    output_array,
    rows,
    select_output,
    shapes,
)
from pytest_modelbench.errors import CheckFailure, ModelError, NotApplicable, UsageMistake

if TYPE_CHECKING:
    from pytest_modelbench.data.edge_cases import EdgeCase

TOLERANCE = 1e-3
_SHOWN_ROWS = 3
_SHOWN_VALUES = 6
Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Checked(Protocol):
    """What a check asks of a model."""

    name: str

    def __call__(self, inputs: Any) -> Any:
        """Return the outputs for a batch."""

    def wrote_into(self, inputs: Any) -> ModelError:
        """Return the error of a model that changes the inputs it is given."""


def check_finite(model: Checked, case: EdgeCase, tolerance: float = TOLERANCE) -> None:
    """Check that a model answers an edge case with finite numbers, one row for each sample.

    A row must be finite if its input and the teacher's answer are finite. A row that holds a real sample
    must be answered as in the batch of real samples, with any contents of the other rows, if the teacher answers so.

    Args:
        model: what is checked.
        case: the fixture `edge_case`.
        tolerance: how far the two answers to a real sample may be apart, as a share of the largest answer.

    Raises:
        CheckFailure: the model raises though the teacher answers, gives another number of rows, or a row breaks the
            rules above.
        NotApplicable: the teacher cannot answer the case either, so nothing is expected of the student.
    """
    __tracebackhide__ = True
    if not hasattr(case, "origin"):
        raise UsageMistake(f"check_finite takes the fixture edge_case, found {case!r}")
    reference = _Answers(case.teacher(), case) if model.name != "teacher" else None
    answers = _Answers(model, case)
    if answers.raised is not None:
        if reference is not None and reference.raised is not None:
            raise NotApplicable(f"{case}: the teacher fails too: {reference.raised}")
        note = ", and its teacher answers" if reference is not None and reference.known else ""
        raise CheckFailure(f"{case}: {answers.raised}{note}{_how_to_leave_out(case.name)}")
    count = rows(case.inputs)
    if answers.array.ndim == 0 or len(answers.array) != count:
        raise CheckFailure(f"{case}: {model.name} gives outputs {answers.shape} for {count} rows")
    _check_finite_rows(answers, reference)
    if (case.origin >= 0).any():
        _check_kept_rows(answers, reference, tolerance)


def _how_to_leave_out(name: str) -> str:
    if name != "empty-batch":
        return ""
    return ". If no batch is ever empty, name the cases that may occur: @pytest.mark.edge_case('zeros', 'huge', ...)"


def _check_finite_rows(answers: _Answers, reference: _Answers | None) -> None:
    __tracebackhide__ = True
    good = _finite(answers.array) | ~finite_rows(answers.case.inputs)
    if _comparable(reference, good):
        good = good | ~_finite(reference.array)
    if good.all():
        return
    bad = np.flatnonzero(~good)
    lines = [f"{answers.case}: {len(bad)} of {len(good)} rows of {answers.name} are not finite: {_listed(bad)}"]
    for who in (answers, reference):
        if who is not None and who.known and who.raised is None:
            lines += [f"  {who.name} row {row}: {_values(who.array[row])}" for row in bad[:_SHOWN_ROWS]]
        elif who is not None and who.raised is not None:
            lines.append(f"  {who.raised}")
    raise CheckFailure("\n".join(lines))


def _check_kept_rows(answers: _Answers, reference: _Answers | None, tolerance: float) -> None:
    __tracebackhide__ = True
    case = answers.case
    apart = _apart(answers)
    good = apart <= tolerance
    if not good.all() and _comparable(reference, good):
        good = good | (_apart(reference) > tolerance)
    if good.all():
        return
    bad, plain = np.flatnonzero(~good), answers.plain()
    worst = float(apart[bad].max())
    size = f"up to {worst:.3g} of" if not np.isfinite(worst) else f"up to {100 * worst:.2g}% of"
    summary = (
        f"{case}: {len(bad)} of {len(good)} rows of {answers.name} change with the rows beside them: {_listed(bad)}"
    )
    lines = [f"{summary}; {size} the largest answer apart, tolerance {100 * tolerance:g}%"]
    for row in bad[:_SHOWN_ROWS]:
        lines.append(f"  {answers.name} row {row}: {_values(answers.array[row])}")
        lines.append(f"    among real samples: {_values(plain[case.origin[row]])}")
    if _comparable(reference, good):
        lines.append(
            "  the teacher's outputs for such rows are equal. Activations quantised by the batch are a usual"
        )
        lines.append("  cause; check_finite(edge_case, tolerance=...) lets small changes pass")
    raise CheckFailure("\n".join(lines))


def _comparable(reference: _Answers | None, good: Mask) -> TypeGuard[_Answers]:
    """Whether there is a teacher that answered with as many rows."""
    if reference is None or not reference.known or reference.raised is not None:
        return False
    return reference.array.ndim > 0 and len(reference.array) == len(good)


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


def finite_rows(inputs: Any) -> Mask:
    """Whether all numbers of a row are finite."""
    finite = np.ones(rows(inputs), dtype=bool)
    for leaf in leaves(inputs):
        for part in number_parts(leaf):
            if len(part) == len(finite):
                finite &= _finite(part)
    return finite


def _apart(answers: _Answers) -> Array:
    """Return how far each real sample's answer is from that in the batch of real samples, 0 for other rows.

    In shares of the largest answer; infinite where labels differ.
    """
    origin = answers.case.origin
    apart = np.zeros(len(origin))
    plain = answers.plain()
    if plain.ndim == 0 or answers.array.shape[1:] != plain.shape[1:]:
        return apart  # shapes that follow the content (generated texts) cannot be compared row by row
    real = np.flatnonzero((origin >= 0) & _finite(answers.array))
    here, there = answers.array[real], plain[origin[real]]
    if here.dtype.kind != "f":
        apart[real] = np.where(_all_of_row(here == there), 0.0, np.inf)
        return apart
    scale = float(np.nanmax(np.abs(np.where(np.isfinite(there), there, 0.0)), initial=1e-12))
    gaps = np.nan_to_num(np.abs(here.astype(float) - there.astype(float)), nan=np.inf) / scale
    apart[real] = gaps.reshape(len(real), -1).max(axis=1, initial=0.0) if len(real) else 0.0
    return apart


class _Answers:
    """What one model answers; `known` is False where there is no such model."""

    def __init__(self, model: Checked | None, case: EdgeCase) -> None:
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
            inputs = duplicate(case.inputs)  # whoever writes into its inputs writes into a copy
            before = content(inputs)
            output = model(inputs)
            if content(inputs) != before and model.name != "teacher":
                raise model.wrote_into(inputs)
            self.shape = shapes(output)
            self.array = output_array(select_output(output, case.select, model.name))
        except ModelError as error:
            self.raised = str(error)

    def plain(self) -> Array:
        """Return the answers to the batch of real samples."""
        return output_array(select_output(self._model(duplicate(self.case.plain)), self.case.select, self.name))
