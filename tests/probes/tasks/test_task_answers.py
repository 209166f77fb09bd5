"""The one pass over data of a task: NaN and infinite values by sample, and how workers and contracts share answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tables import evidence

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.errors import DataError, MeasurementError, ModelError
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.answers import nonfinite_of, take
from pytest_modelbench.probes.tasks.measured import pack, unpack

NAN = float("nan")
TARGETS = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 1]], [[0, 0], [0, 1]]])
RIGHT = np.stack([number == TARGETS for number in range(2)], axis=1).astype(float)
DATA = {"task": "segmentation"}


@dataclass
class Output:
    logits: Any
    note: str = ""


@pytest.mark.parametrize(
    "output",
    [
        np.array([[NAN, 1.0], [0.0, 1.0]]),
        torch.tensor([[NAN, 1.0], [0.0, 1.0]], dtype=torch.bfloat16),
        {"logits": np.array([[NAN, 1.0], [0.0, 1.0]]), "classes": ["a", "b"]},
        Output(np.array([[NAN, 1.0], [0.0, 1.0]])),
        (np.zeros((2, 1)), np.array([[NAN, 1.0], [0.0, 1.0]])),
        [np.array([NAN]), np.array([1.0, 2.0])],
        [{"boxes": np.array([[NAN]]), "labels": np.array([1])}, {"boxes": np.zeros((0, 4)), "labels": np.array([])}],
        [Output(torch.tensor([float("inf")])), Output(torch.tensor([1.0]))],
    ],
)
def test_nonfinite_values_are_counted_by_sample(output: Any) -> None:
    """In arrays, mappings, objects, tuples, and lists with an output for each sample."""
    assert nonfinite_of(output, 2) == [1, 0]


def broken(*places: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return scores with NaN at some places."""
    scores = RIGHT.copy()
    for place in places:
        scores[place] = NAN
    return scores


def test_nonfinite_outputs_excuse_what_the_teacher_has_too() -> None:
    """The worst sample is first; values of a sample that the teacher cannot answer do not count."""
    student = broken((0, 0, 0, 0), (1,), (2, 0, 0, 0))
    one = evidence("nonfinite_outputs", "== 0", student=student, teacher=RIGHT, targets=TARGETS, data=DATA)
    assert (one.student.value, one.worst_samples) == (10, ("1", "0", "2"))
    assert one.notes == ("10 values in 3 of 3 samples",)
    teacher = broken((1, 0, 0, 0))
    both = evidence(
        "nonfinite_outputs", "difference <= 0", student=student, teacher=teacher, targets=TARGETS, data=DATA
    )
    assert both.teacher is not None
    assert both.comparison is not None
    assert both.comparison.difference is not None
    assert (both.student.value, both.teacher.value, both.comparison.difference.value) == (2, 1, 1)
    assert "1 of them excused" in both.student.method


def test_nothing_to_compare_is_an_error() -> None:
    """Where the teacher's outputs are finite for no sample."""
    nothing = np.full_like(RIGHT, NAN)
    with pytest.raises(MeasurementError, match="nonfinite_outputs compared nothing"):
        evidence("nonfinite_outputs", "== 0", student=nothing, teacher=nothing, targets=TARGETS, data=DATA)


@pytest.mark.parametrize(
    "ids",
    [None, [np.int64(3), "b", 1.5], [Path("a"), ("b", 1), b"c"], np.array(["x", "y", "z"]), list(torch.arange(3))],
)
def test_answers_outlive_a_worker(ids: Any) -> None:
    """Packed and unpacked, answers are the same, and ids are shown as before, also those that JSON cannot hold."""
    inputs = np.ones((3, 1, 2, 2))
    inputs[0, 0, 0, 0] = NAN
    data = EvalData(inputs, TARGETS, task="segmentation", ids=ids)
    answers = take(Taking(model=FakeModel(lambda batch: RIGHT[: len(batch)] + batch * 0), data=data))
    again = unpack(pack(answers))
    assert (again.model, again.task, again.nonfinite.tolist()) == (answers.model, "segmentation", [2, 0, 0])
    assert list(again.infinite_inputs) == list(answers.infinite_inputs) == [0]
    assert [str(one) for one in again.ids] == [
        str(getattr(one, "item", lambda one=one: one)()) for one in answers.ids
    ]
    for name, part in answers.answers.items():
        assert np.array_equal(part.values, again.answers[name].values)


class Batches:
    """Data without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(np.ones((3, 1, 2, 2)), TARGETS)])


def test_groups_of_a_stream_are_counted_at_its_end() -> None:
    """A stream has no length before: another number of groups is found by the pass."""
    data = EvalData(Batches(), task="segmentation", group=["a", "b"])
    with pytest.raises(DataError, match="there are 3 samples and 2 groups; expected one for each sample"):
        take(Taking(model=FakeModel(lambda batch: RIGHT[: len(batch)]), data=data))


def test_model_that_takes_no_list_is_told_of_collate() -> None:
    """Lists of inputs stay lists, and the message says what makes something else of them."""
    data = EvalData([np.ones((1, 2, 2))] * 3, list(TARGETS), task="segmentation")

    def refusing(batch: Any) -> Any:
        raise TypeError("expected a tensor")

    with pytest.raises(
        ModelError, match=r"expected a tensor. The model gets a list .* Write|write EvalData\(..., collate="
    ):
        take(Taking(model=FakeModel(refusing), data=data))
