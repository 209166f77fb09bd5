"""A copy is timed in a model's place only where it is the same model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.copies import Copies

BATCH = np.arange(6.0).reshape(2, 3)


class Copied(FakeModel):
    """A fake whose copies are what the test says."""

    def __init__(self, copy: Callable[[], Any], **changes: Any) -> None:
        super().__init__(name="student", **changes)
        self._copy = copy

    def replicate(self) -> Model | None:
        found: Model | None = self._copy()
        return found


def taken(copy: Callable[[], Any], budget_s: float = 60.0, cost_ns: float = 1e6, outputs: Any = None) -> Copies:
    clock = FakeClock()
    model = Copied(
        copy=copy,
        outputs=outputs or (lambda batch: batch),
        cost_ns=cost_ns,
        clock=clock,
    )
    copies = Copies({"student": model}, {"student": [BATCH]}, np.random.default_rng(0), budget_s)
    found = copies.take({"student": model}, {"student": cost_ns})
    assert (found["student"] is model) is not copies.copied
    return copies


def other(**changes: Any) -> FakeModel:
    return FakeModel(**{"cost_ns": 1e6, "outputs": lambda batch: batch, **changes})


def test_copy_that_answers_alike_is_used() -> None:
    """Rounding apart: a copy may add in another order."""
    assert taken(other).refused is None
    assert taken(lambda: other(outputs=lambda batch: batch * (1 + 1e-7))).refused is None


@pytest.mark.parametrize(
    ("copy", "words"),
    [
        (lambda: other(outputs=lambda batch: batch + 1), "the copy of student returns other outputs than the model"),
        (lambda: other(outputs=lambda batch: batch[:1]), "returns other outputs"),
        (lambda: other(outputs=lambda batch: 1 / 0), "the copy of student does not answer"),
        (lambda: other(cost_ns=1e5), "the copy of student takes 100 µs where the model takes 1 ms"),
        (lambda: other(cost_ns=1e7), "the copy of student takes 10 ms where the model takes 1 ms"),
        (lambda: None, "student cannot be copied"),
    ],
    ids=["other answers", "other shape", "raises", "faster", "slower", "none"],
)
def test_copy_that_is_another_model_is_refused(copy: Callable[[], Any], words: str) -> None:
    """The model is then timed where it is, and the report says why."""
    assert words in (taken(copy).refused or "")


def raising(error: BaseException) -> Callable[[], Any]:
    def copy() -> Any:
        raise error

    return copy


def test_copy_that_ends_the_program_is_refused() -> None:
    """`__deepcopy__` is the user's, and may raise anything."""
    assert "copying student raises SystemExit" in (taken(raising(SystemExit(0))).refused or "")


def test_copy_that_is_never_finished_is_refused() -> None:
    """Half of the budget is more than a copy may take."""
    told = taken(lambda: time.sleep(60), budget_s=0.4, cost_ns=1e4).refused
    assert told == "copying student takes longer than 200 ms"


def test_model_that_never_answers_twice_alike_is_copied() -> None:
    """Its copies cannot be told by their answers."""
    count = iter(range(1000))

    def noisy(batch: Any) -> Any:
        return batch + next(count)

    assert taken(lambda: other(outputs=noisy), outputs=noisy).refused is None


def test_model_that_is_too_slow_for_the_check_is_timed_where_it_is() -> None:
    """Three calls of it would take more than a tenth of the budget."""
    assert "too slow for its copies to be checked" in (taken(other, budget_s=1.0, cost_ns=1e8).refused or "")
