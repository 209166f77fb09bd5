"""Errors of forecasts: those of libraries, values by hand, and what is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
)
from tables import evidence
from torchmetrics import SymmetricMeanAbsolutePercentageError, WeightedMeanAbsolutePercentageError

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.results import Evidence

RNG = np.random.default_rng(0)
VALUES = RNG.gamma(2.0, 5.0, (40, 6))
TEACHER = VALUES + RNG.normal(0, 1, VALUES.shape)
STUDENT = TEACHER + RNG.normal(0.2, 1, VALUES.shape)


def judged(kpi: str, *limits: str, student: Any = STUDENT, teacher: Any = TEACHER, **words: Any) -> Evidence:
    data = {"task": "forecasting", **words.pop("data", {})}
    targets = words.pop("targets", VALUES)
    return evidence(kpi, *limits, student=student, teacher=teacher, targets=targets, data=data, **words)


def _torchmetrics(metric: Any) -> float:
    return 100 * float(metric(torch.from_numpy(STUDENT), torch.from_numpy(VALUES)))


@pytest.mark.parametrize(
    ("kpi", "limit", "expected"),
    [
        ("forecast_mae", "<= 9", lambda: mean_absolute_error(VALUES, STUDENT)),
        ("forecast_rmse", "<= 9", lambda: mean_squared_error(VALUES, STUDENT) ** 0.5),
        ("forecast_bias", "<= 9", (STUDENT - VALUES).mean),
        ("mape", "<= 900%", lambda: 100 * mean_absolute_percentage_error(VALUES, STUDENT)),
        ("smape", "<= 199%", lambda: _torchmetrics(SymmetricMeanAbsolutePercentageError())),
        ("wape", "<= 900%", lambda: _torchmetrics(WeightedMeanAbsolutePercentageError())),
    ],
)
def test_equal_to_libraries(kpi: str, limit: str, expected: Any) -> None:
    found = judged(kpi, limit)
    assert found.student.value == pytest.approx(expected(), rel=1e-6)
    assert found.student.estimate.low is not None
    assert found.student.estimate.low < found.student.value


def test_pinball_equals_scikit_learn() -> None:
    """Quantiles last, or after the first axis, or by level."""
    levels = [0.1, 0.5, 0.9]
    bands = np.stack([STUDENT + shift for shift in (-1.3, 0.0, 1.3)], axis=-1)
    expected = np.mean(
        [mean_pinball_loss(VALUES.ravel(), bands[..., i].ravel(), alpha=a) for i, a in enumerate(levels)]
    )
    for form in (bands, bands.transpose(0, 2, 1)):
        found = judged("pinball", "<= 9", student=form, teacher=bands, data={"quantiles": levels})
        assert found.student.value == pytest.approx(expected)
    median = judged("forecast_mae", "<= 9", student=bands, teacher=bands, data={"quantiles": levels})
    assert median.student.value == pytest.approx(mean_absolute_error(VALUES, STUDENT))


def test_interval_by_hand() -> None:
    """Three of four values are inside; the ends count."""
    targets = np.array([[1.0, 2.0], [3.0, 9.0]])
    bands = np.stack([np.zeros((2, 2)), np.full((2, 2), 3.0)], axis=-1)
    words: dict[str, Any] = {
        "student": bands,
        "teacher": bands,
        "targets": targets,
        "data": {"quantiles": [0.1, 0.9]},
    }
    assert judged("interval_coverage", ">= 50%", **words).student.value == 75
    assert judged("interval_width", "<= 4", **words).student.value == 3
    with pytest.raises(MeasurementError, match="level=0.5 needs the quantiles 0.25 and 0.75, and there are 0.1, 0.9"):
        judged("interval_coverage", ">= 50%", **words, level=0.5)
    with pytest.raises(MeasurementError, match="one forecast of each value, and quantiles=.* have no 0.5"):
        judged("forecast_mae", "<= 9", **words)
    crossed = judged("pinball", "<= 99", **{**words, "student": bands[..., ::-1]})
    assert "student: quantiles cross for 100% of the values" in crossed.notes


def test_mase_by_hand() -> None:
    """Hyndman and Koehler: errors 1 and 2 over the mean change of 1.5 of 1, 2, 4; over a season of 2 it is 3."""
    words: dict[str, Any] = {
        "student": np.array([[6.0, 7.0]]),
        "teacher": np.array([[5.0, 5.0]]),
        "targets": np.array([[5.0, 5.0]]),
    }
    history = [[1.0, 2.0, 4.0]]
    assert judged("mase", "<= 9", **words, data={"history": history}).student.value == pytest.approx(1.5 / 1.5)
    assert judged("mase", "<= 9", **words, data={"history": history, "season": 2}).student.value == pytest.approx(0.5)
    squared = judged("rmsse", "<= 9", **words, data={"history": history}).student.value
    assert squared == pytest.approx(np.sqrt((1 + 4) / 2 / 2.5))


def test_inputs_as_history() -> None:
    """The stand-in's inputs are positions, one step long: too short for a season."""
    with pytest.raises(MeasurementError, match="a history of 1 steps of 1 series, expected more than season=1 steps"):
        judged("mase", "<= 9", data={"history": "inputs"})


def test_flat_history_does_not_count() -> None:
    history = [[2.0, 2.0, 2.0]] * 39 + [[1.0, 2.0, 3.0]]
    found = judged("mase", "<= 99", data={"history": history})
    assert found.student.value == pytest.approx(np.abs(STUDENT - VALUES)[-1].mean())
    assert "234 values whose history does not change do not count" in found.notes
    with pytest.raises(MeasurementError, match="mase is undefined: no value of the targets counts"):
        judged("mase", "<= 99", data={"history": [[2.0, 2.0]] * 40})


def test_zeros() -> None:
    """No relative error of 0 is invented; the symmetric one is 0 where both are."""
    targets = VALUES.copy()
    targets[3, 2] = 0.0
    with pytest.raises(
        MeasurementError, match=r"1 of 240 values are 0.* such as in 3. Write wape or mase, or zeros="
    ):
        judged("mape", "<= 900%", targets=targets)
    counts = targets != 0
    found = judged("mape", "<= 900%", targets=targets, zeros="exclude")
    assert found.student.value == pytest.approx(100 * (np.abs(STUDENT - targets)[counts] / targets[counts]).mean())
    assert "1 values that are 0 do not count" in found.notes
    nothing = np.zeros_like(VALUES)
    assert judged("smape", "<= 199%", student=nothing, targets=nothing).student.value == 0
    with pytest.raises(MeasurementError, match="wape is undefined: no value of the targets counts"):
        judged("wape", "<= 199%", targets=nothing)


def test_missing_values_do_not_count() -> None:
    """As NaN, or by a mask."""
    targets, mask = VALUES.copy(), np.ones(VALUES.shape, dtype=bool)
    targets[0, :3] = np.nan
    mask[0, :3] = False
    expected = mean_absolute_error(VALUES[mask], STUDENT[mask])
    for words in ({"targets": targets}, {"data": {"mask": mask}}):
        found = judged("forecast_mae", "<= 9", **words)
        assert found.student.value == pytest.approx(expected)
        assert "3 of 240 values are missing and do not count" in found.notes
    with pytest.raises(MeasurementError, match="all values of the targets are missing"):
        judged("forecast_mae", "<= 9", targets=np.full(VALUES.shape, np.nan))


def test_nan_forecasts_are_never_left_out() -> None:
    student = STUDENT.copy()
    student[[4, 7], 1] = np.nan
    with pytest.raises(MeasurementError, match="NaN or infinite values for 2 of 40 windows, such as 4, 7"):
        judged("forecast_mae", "<= 9", student=student)


def test_steps_and_worst_windows() -> None:
    """A row for each step; the window that the student loses most comes first."""
    student = TEACHER.copy()
    student[7, 5] += 50
    found = judged("forecast_mae", "<= 90", "increase <= 900%", student=student)
    rows = {row["name"]: row for row in found.breakdown}
    assert list(rows) == [f"step {i}" for i in range(1, 7)]
    assert rows["step 1"]["student"] == rows["step 1"]["teacher"]
    assert rows["step 6"]["student"] > rows["step 6"]["teacher"] + 1
    assert found.worst_samples == ("7",)


def test_difference_from_the_teacher() -> None:
    found = judged("forecast_difference", "<= 900%")
    assert found.student.value == pytest.approx(
        100 * np.abs(STUDENT - TEACHER).sum() / np.abs(TEACHER - VALUES).sum()
    )
    with pytest.raises(MeasurementError, match="the teacher forecasts every value exactly"):
        judged("forecast_difference", "<= 900%", teacher=VALUES)


def test_what_is_independent_is_noted() -> None:
    """Windows by themselves, few series, blocks of one series."""
    assert any("windows are taken as independent" in note for note in judged("forecast_mae", "<= 9").notes)
    few = judged("forecast_mae", "<= 9", data={"series": ["a", "b"] * 20})
    assert "the interval rests on 2 groups only; of long series, write block=" in few.notes
    blocks = judged("forecast_mae", "<= 9", data={"block": 4})
    assert "jackknife of 10 groups of 40 windows" in blocks.student.method
    assert not any("independent" in note for note in blocks.notes)


def test_errors_that_are_all_alike_prove_nothing() -> None:
    """Every window is 0.1 too high: sums differ by rounding only, and an interval of that width is none."""
    made = judged("forecast_mae", "ratio <= 90%", student=VALUES + 0.1, teacher=VALUES + 0.2, confidence=0.95)
    assert made.student.estimate.low is None
    assert made.comparison is not None
    assert made.comparison.ratio is not None
    assert made.comparison.ratio.low is None
    assert made.comparison.difference is not None
    assert made.comparison.difference.low is None


@pytest.mark.parametrize(("groups", "noted"), [(9, True), (10, False)])
def test_few_groups_are_noted(groups: int, *, noted: bool) -> None:
    made = judged("forecast_mae", "<= 9", data={"group": [place % groups for place in range(40)]})
    assert any(note.startswith(f"the interval rests on {groups} groups") for note in made.notes) is noted
