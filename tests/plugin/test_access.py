"""What a test may record."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.plugin.kpi_fixture import _number


class Odd:
    """Raises where it is looked at."""

    @property
    def shape(self) -> None:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "value",
    [2, 2.0, Fraction(2), np.float32(2), np.int8(2), np.array(2.0), torch.tensor(2), torch.tensor(2.0).bfloat16()],
    ids=lambda value: type(value).__name__,
)
def test_numbers_are_recorded(value: object) -> None:
    """Python's, and scalars of NumPy and torch without dimensions."""
    assert _number("c", "student", value) == 2.0


@pytest.mark.parametrize(
    "value",
    [
        "12", b"12", np.str_("12"), True, np.True_, torch.tensor(True), None, 1j, torch.tensor(1j), 10**400,
        float("nan"), float("inf"), [1.0], np.ones(1), np.ones((1, 1)), torch.ones(1), torch.ones((), device="meta"),
        np.datetime64("2020-01-01"), Odd(),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    """A text that looks like a number, a truth and an array of one element are slips, not values."""
    with pytest.raises(UsageMistake, match=r"kpi\.record\(student=.*of c: expected a finite number"):
        _number("c", "student", value)
