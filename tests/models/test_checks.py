"""`check_finite`: what is asked of a student, and what its teacher excuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import CheckFailure, EvalData, FakeModel
from pytest_modelbench.data.edge_cases import EdgeCase, input_range, make_case
from pytest_modelbench.errors import NotApplicable, UsageMistake

INPUTS = np.arange(1.0, 41.0).reshape(20, 2)
Outputs = Callable[[Any], Any]


def model(outputs: Outputs, name: str = "student") -> FakeModel:
    return FakeModel(outputs=outputs, name=name)


def case(name: str, teacher: Outputs | None = None) -> EdgeCase:
    data = EvalData(INPUTS)
    found = None if teacher is None else model(teacher, "teacher")
    return make_case(name, data, input_range(data), lambda: found)


def double(batch: Any) -> Any:
    return 2 * batch


def logarithm(batch: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(batch)


def raising(batch: Any) -> Any:
    raise ValueError("no such batch")


def centred(batch: Any) -> Any:
    return batch - np.mean(batch, axis=0)


def test_healthy_model_passes_everything() -> None:
    """With and without a teacher."""
    for name in ("zeros", "huge", "nan", "inf", "empty-batch", "permuted", "repeated"):
        model(double).check_finite(case(name))
        model(double).check_finite(case(name, double))


def test_failure_shows_both_models_outputs() -> None:
    """The case, the rows, the student's numbers and the teacher's."""
    with pytest.raises(CheckFailure) as failure:
        model(logarithm).check_finite(case("zeros", double))
    assert str(failure.value).splitlines() == [
        "edge case 'zeros' (every value 0): 8 of 8 rows of student are not finite: 0, 1, 2, 3, 4, 5, 6, 7",
        *(f"  student row {row}: [-inf, -inf]" for row in range(3)),
        *(f"  teacher row {row}: [0, 0]" for row in range(3)),
    ]
    assert isinstance(failure.value, AssertionError)


def test_teacher_that_is_not_finite_either_excuses() -> None:
    """Nothing is asked that the teacher does not give; for the teacher itself there is no excuse."""
    model(logarithm).check_finite(case("zeros", logarithm))
    with pytest.raises(CheckFailure, match="rows of teacher are not finite"):
        model(logarithm, "teacher").check_finite(case("zeros", logarithm))


def test_rows_whose_input_is_not_finite_may_be_anything() -> None:
    """NaN in, NaN out, on those rows only."""
    model(double).check_finite(case("nan", lambda batch: np.zeros((len(batch), 2))))


def test_nan_in_one_row_must_not_change_the_others() -> None:
    """A model that looks over rows spreads it: not finite there, and not what the real sample gets otherwise."""
    with pytest.raises(CheckFailure, match="4 of 8 rows of student are not finite: 0, 2, 4, 6"):
        model(centred).check_finite(case("nan", double))

    def clipped(batch: Any) -> Any:
        return batch * (0.5 if np.isnan(batch).any() else 1.0)

    with pytest.raises(CheckFailure, match="rows of student change with the rows beside them: 0, 2, 4, 6"):
        model(clipped).check_finite(case("nan", double))
    model(clipped).check_finite(case("nan", clipped))


def test_reordered_rows_keep_their_answers() -> None:
    """An answer that depends on a row's neighbours is shown, unless the teacher's does too."""
    with pytest.raises(CheckFailure, match="8 of 8 rows of student change with the rows beside them"):
        model(centred).check_finite(case("repeated", double))
    model(centred).check_finite(case("repeated", centred))
    model(lambda batch: 2 * batch + 1e-6).check_finite(case("repeated", double))


def test_labels_are_compared_as_they_are() -> None:
    """Models that return texts have nothing that could be infinite, but their rows are compared."""

    def first(batch: Any) -> Any:
        return np.array(["high" if row[0] >= batch[0][0] else "low" for row in batch])

    with pytest.raises(CheckFailure, match="change with the rows beside them"):
        model(first).check_finite(case("permuted"))


def test_crash_is_a_failure_where_the_teacher_answers() -> None:
    """With the student's own error; not applicable where the teacher crashes too."""
    with pytest.raises(CheckFailure, match=r"student raised ValueError .* no such batch, and its teacher answers"):
        model(raising).check_finite(case("empty-batch", double))
    with pytest.raises(CheckFailure, match=r"no such batch\. If no batch is ever empty, name the cases"):
        model(raising).check_finite(case("empty-batch"))
    with pytest.raises(NotApplicable, match="the teacher fails too"):
        model(raising).check_finite(case("empty-batch", raising))


def test_teacher_that_crashes_excuses_nothing_but_a_crash() -> None:
    """A student that answers with NaN where the teacher raises is told, with the teacher's error."""
    with pytest.raises(CheckFailure, match="teacher raised ValueError"):
        model(logarithm).check_finite(case("zeros", raising))


def test_wrong_number_of_rows() -> None:
    """One row is expected for each sample."""
    with pytest.raises(CheckFailure, match=r"student gives outputs \(1, 2\) for 8 rows"):
        model(lambda batch: batch[:1]).check_finite(case("zeros"))


def test_model_that_works_in_place_neither_excuses_itself_nor_harms_others() -> None:
    """What is finite is decided on the inputs as they were; writing into them is told, and done to a copy."""

    def divide(batch: Any) -> Any:
        with np.errstate(invalid="ignore"):
            batch /= batch.sum(axis=1, keepdims=True)
        return batch

    made = case("zeros", double)
    with pytest.raises(CheckFailure, match="student changed its inputs"):
        model(divide).check_finite(made)
    assert (made.inputs == 0).all()
    model(double).check_finite(case("zeros", divide))


def test_large_integer_labels_are_compared_exactly() -> None:
    """A label is not a quantity: 1000 and 1001 differ."""
    with pytest.raises(CheckFailure, match="change with the rows beside them"):
        model(lambda batch: 1000 + np.arange(len(batch))).check_finite(case("permuted"))


def test_tolerance_is_the_users() -> None:
    """What differs by a little may be let pass, and the message says by how much it differs."""

    def scaled(batch: Any) -> Any:
        return batch * (1 + 1e-4 * np.max(batch))

    with pytest.raises(CheckFailure, match=r"up to 0\.\d+% of the largest answer apart, tolerance 0.1%"):
        model(scaled).check_finite(case("repeated", double))
    model(scaled).check_finite(case("repeated", double), tolerance=0.05)


def test_something_that_is_no_edge_case() -> None:
    """The name alone is not enough."""
    with pytest.raises(UsageMistake, match="check_finite takes the fixture edge_case, found 'zeros'"):
        model(double).check_finite("zeros")  # type: ignore[arg-type]
