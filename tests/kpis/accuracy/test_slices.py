"""The worst class and slice: by a loop over samples, with intervals that hold together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import FixedSources, evidence

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.settings import Settings
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


def test_accuracy_of_both_in_each_class() -> None:
    """So that a plot can show how good a class is, and not only what it lost."""
    targets = np.array([0] * 50 + [1] * 50)
    student, teacher = targets.copy(), targets.copy()
    student[50:75], teacher[90:] = 0, 0
    found = evidence("class_drop", student=student, teacher=teacher, targets=targets)
    shown = {row["name"]: (row["teacher"], row["student"], row["value"]) for row in found.breakdown}
    assert shown == {"0": (100, 100, 0), "1": (80, 50, 30)}


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


class Rules(FixedSources):
    """A teacher that is always right, a student that is wrong from number 800 on; samples say their number."""

    def __init__(self, data: EvalData) -> None:
        super().__init__(None, None, data)

    def candidate(self, role: str) -> Any:
        def answer(batch: Any) -> Any:
            words = isinstance(batch, list)
            age = (
                [float(text.split()[1]) for text in batch]
                if words
                else batch["age"]
                if isinstance(batch, Mapping)
                else batch[:, -1]
            )
            return np.where((np.asarray(age) >= 800) & (role == "student"), 1, 0)

        return FakeModel(answer)


def weak_slice(inputs: Any, **options: Any) -> Any:
    """Return the evidence of the search."""
    data = EvalData(inputs, task="multiclass", outputs="labels", **options)
    gate = assigned(read_gate(("weak_slice_drop",), {}))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    result, judgement = BenchSession().judge(plan, gate, Rules(data))
    if judgement is None:
        raise MeasurementError(result.reason)
    return judgement.evidence


@pytest.mark.parametrize("form", ["stream", "stream of mappings", "mapping"])
def test_weak_slice_of_batches_and_mappings(form: str) -> None:
    """Inputs are read batch by batch, and each number of a mapping has its name."""
    age, noise = np.arange(1000.0), np.random.default_rng(0).normal(size=1000)
    targets = np.zeros(1000, dtype=int)
    columns = {"noise": noise, "age": age}
    cuts = [slice(at, at + 100) for at in range(0, 1000, 100)]
    if form == "mapping":
        found = weak_slice(columns, targets=targets)
    elif form == "stream":
        found = weak_slice([(np.stack([noise, age], axis=1)[cut], targets[cut]) for cut in cuts])
    else:
        found = weak_slice([({name: one[cut] for name, one in columns.items()}, targets[cut]) for cut in cuts])
    name = r"x\[1\]" if form == "stream" else "age"
    assert re.fullmatch(rf"weakest slice: {name} > (79|80)\d(\.\d)?", found.notes[0])
    assert found.student.value > 90


def test_weak_slice_of_named_groups() -> None:
    """Where inputs are no numbers, the search is over sensitive features and slices; without any it is refused."""
    words = [f"word {at}" for at in range(1000)]
    where = np.where(np.arange(1000) >= 800, "south", np.where(np.arange(1000) % 2, "north", "east"))
    targets = np.zeros(1000, dtype=int)
    found = weak_slice(words, targets=targets, sensitive={"where": where}, slices={"odd": np.arange(1000) % 2 == 1})
    assert found.notes[0] == "weakest slice: where=south"
    assert "over sensitive features and slices" in found.student.method
    with pytest.raises(MeasurementError, match="searches up to 1000 numbers for each sample, and the inputs have 0"):
        weak_slice(words, targets=targets)


def test_weak_slice_of_inputs_of_several_sizes() -> None:
    """Padded batches have no columns to search in."""
    batches = [(np.zeros((100, width)), np.zeros(100, dtype=int)) for width in (3, 3, 4)]
    with pytest.raises(MeasurementError, match="the inputs have 3 in the first batch and 4 in a later one"):
        weak_slice(batches, batch_size=100)


def test_slices_of_missing_values() -> None:
    """Left out and counted, as the gate says."""
    n = 100
    student = (np.arange(n) < 30).astype(int)
    slices = {"night": [None if at % 2 else "yes" for at in range(n)]}
    data = {"slices": slices}
    right = np.zeros(n, dtype=int)
    found = evidence("slice_drop", student=student, teacher=right, targets=right, data=data, missing="exclude")
    assert found.student.value == pytest.approx(30)
    assert "50 samples without night are excluded" in found.notes
