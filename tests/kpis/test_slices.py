"""The worst class and slice: by a loop over samples, with intervals that hold together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.stats.paired import tango_interval


def drops(student: Any, teacher: Any, targets: Any, groups: Any) -> dict[str, float]:
    """Return the drop of each group in points, by a loop."""
    found = {}
    for name in np.unique(groups).tolist():
        members = [i for i, group in enumerate(groups) if group == name]
        lost = sum(teacher[i] == targets[i] != student[i] for i in members)
        gained = sum(student[i] == targets[i] != teacher[i] for i in members)
        found[str(name)] = 100 * (lost - gained) / len(members)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_class_drop_is_the_worst_of_a_loop(seed: int) -> None:
    """And every class's row of the breakdown is the loop's."""
    rng = np.random.default_rng(seed)
    targets, teacher, student = rng.integers(0, 4, (3, 200))
    wanted = drops(student, teacher, targets, targets)
    found = evidence("class_drop", student=student, teacher=teacher, targets=targets, min_n=1)
    assert found.student.value == pytest.approx(max(wanted.values()))
    assert {row["name"]: row["value"] for row in found.breakdown} == pytest.approx(wanted)


def test_interval_holds_for_all_classes_together() -> None:
    """Tango's at a quarter of the error: the drop of the worst is at most the largest upper end."""
    rng = np.random.default_rng(0)
    targets, teacher, student = rng.integers(0, 4, (3, 400))
    found = evidence("class_drop", student=student, teacher=teacher, targets=targets).student.estimate
    ends = []
    for one in range(4):
        members = targets == one
        lost = int((members & (teacher == targets) & (student != targets)).sum())
        gained = int((members & (student == targets) & (teacher != targets)).sum())
        ends.append(tango_interval(lost, gained, int(members.sum()), 0.05 / 4))
    assert found.high == pytest.approx(100 * max(end.high or 0 for end in ends))
    assert found.low == pytest.approx(100 * max(end.low or 0 for end in ends))


def test_lost_class_is_named() -> None:
    """With what was lost beyond chance, its samples, and the classes that are too small to judge."""
    targets = np.array([0] * 50 + [1] * 50 + [2] * 5)
    student = targets.copy()
    student[50:75] = 0
    found = evidence("class_drop", student=student, teacher=targets, targets=targets)
    assert found.student.value == 50
    assert found.notes == (
        "drop by class: 1 +50.0 pp of 50, 0 +0.0 pp of 50",
        "lost beyond chance (McNemar, Holm): 1",
        "too small to judge: 2 (5)",
    )
    assert found.worst_samples[0] == "50"


def test_class_that_is_not_in_the_data() -> None:
    """A column without samples is left out and listed."""
    scores = np.eye(4)[np.repeat([0, 1, 2], 30)] * 5
    found = evidence("class_drop", student=scores, teacher=scores, targets=np.repeat([0, 1, 2], 30))
    assert "too small to judge: 3 (0)" in found.notes


def test_no_class_is_large_enough() -> None:
    """Refused, with the sizes."""
    targets = np.arange(30) % 3
    with pytest.raises(MeasurementError, match=r"no class has 20 samples or more: 0 \(10\), 1 \(10\)"):
        evidence("class_drop", student=targets, teacher=targets, targets=targets)


SHADES = np.array(["dark", "light"] * 50)
RIGHT = np.zeros(100, dtype=int)
HALF_OF_DARK = np.where((SHADES == "dark") & (np.arange(100) < 50), 1, 0)


@pytest.mark.parametrize(
    ("slices", "name"),
    [
        ({"shade": SHADES}, "shade=dark"),
        ({"night": SHADES == "dark"}, "night"),
        ({"first": lambda inputs: inputs[:, 0] < 50}, "first"),
        (pd.DataFrame({"shade": SHADES}), "shade=dark"),
        ({"early": lambda inputs: np.where(inputs[:, 0] < 50, "yes", "no")}, "early=yes"),
    ],
    ids=["column", "mask", "function that gives a mask", "frame", "function that gives values"],
)
def test_slices_in_every_form(slices: Any, name: str) -> None:
    """Columns, masks and functions of the inputs."""
    found = evidence("slice_drop", student=HALF_OF_DARK, teacher=RIGHT, targets=RIGHT, data={"slices": slices})
    assert found.student.value == 50
    assert found.breakdown[0]["name"] == name


def test_slices_that_overlap() -> None:
    """Each is judged for itself; small ones are listed."""
    slices = {"shade": SHADES, "start": np.arange(100) < 10, "few": np.arange(100) < 3}
    found = evidence(
        "slice_drop", student=HALF_OF_DARK, teacher=RIGHT, targets=RIGHT, data={"slices": slices}, min_n=10
    )
    assert [row["name"] for row in found.breakdown] == ["shade=dark", "start", "shade=light"]
    assert "too small to judge: few (3)" in found.notes


def test_no_slices() -> None:
    """Told with what to write."""
    with pytest.raises(MeasurementError, match="EvalData\\(..., slices="):
        evidence("slice_drop", student=RIGHT, teacher=RIGHT, targets=RIGHT)


def test_weak_slice_is_found_and_checked_on_other_samples() -> None:
    """A planted loss for inputs above a threshold: the rule is found, its drop is that of the held-out half."""
    n = 2000
    student = np.where(np.arange(n) > 1600, 1, 0)
    right = np.zeros(n, dtype=int)
    found = evidence("weak_slice_drop", student=student, teacher=right, targets=right)
    assert found.student.value > 95
    assert found.notes[0].startswith("weakest slice: x[0] > 1")
    assert found.student.n is not None
    assert 120 < found.student.n < 280


def test_the_worst_leaf_is_judged_however_few_of_it_are_held_out() -> None:
    """A better-looking leaf in its place would pass the student that lost a whole slice."""
    right = np.zeros(400, dtype=int)
    sizes = []
    for start in range(0, 360, 20):
        student = ((np.arange(400) >= start) & (np.arange(400) < start + 40)).astype(int)
        found = evidence("weak_slice_drop", student=student, teacher=right, targets=right)
        assert found.student.value > 30
        sizes.append(found.student.n or 0)
    assert min(sizes) < 20


def test_weak_slice_without_any_does_not_cry_wolf() -> None:
    """Looking for the worst leaf does not make it worse: held out, chance losses have an interval around zero."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(40):
        student, teacher = (rng.random((2, 600)) < 0.1).astype(int)
        found = evidence("weak_slice_drop", student=student, teacher=teacher, targets=np.zeros(600, dtype=int))
        wrong += (found.student.estimate.low or 0) > 0
    assert wrong <= 6  # at a nominal 5% of 40


@pytest.mark.parametrize("kpi", ["class_drop", "slice_drop", "weak_slice_drop", "churn_among_wrong"])
def test_regression_has_no_classes(kpi: str) -> None:
    """Values are hardly ever equal, so a drop of 'accuracy' would be none: refused, not passed."""
    values = np.linspace(0, 1, 100)
    data = {"task": "regression", "slices": {"low": values < 0.5}}
    with pytest.raises(MeasurementError, match="one label per sample, and the task is regression"):
        evidence(kpi, student=values + 9, teacher=values, targets=values, data=data)
