"""Fairness against fairlearn's own functions, by hand, and where it proves nothing."""

from __future__ import annotations

import warnings
from typing import Any

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error
from tables import FixedSources, evidence

from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.fairness import rates as derive_fairness
from pytest_modelbench.kpis.fairness.group_counts import GroupCounts
from pytest_modelbench.settings import Settings
from pytest_modelbench.stats.cells import resamples_for

FUNCTIONS = {
    "demographic_parity_difference": (fairlearn.demographic_parity_difference, 100),
    "demographic_parity_ratio": (fairlearn.demographic_parity_ratio, 1),
    "equalized_odds_difference": (fairlearn.equalized_odds_difference, 100),
    "equalized_odds_ratio": (fairlearn.equalized_odds_ratio, 1),
    "equal_opportunity_difference": (fairlearn.equal_opportunity_difference, 100),
    "equal_opportunity_ratio": (fairlearn.equal_opportunity_ratio, 1),
}
few = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, groups: int = 3, n: int = 300) -> tuple[Any, Any, Any, Any]:
    """Return targets, two models' labels, and groups in which all of them occur."""
    rng = np.random.default_rng(seed)
    return (*rng.integers(0, 2, (3, n)), rng.choice([f"g{i}" for i in range(groups)], n))


@few
@given(SEEDS, st.integers(2, 4))
def test_each_model_agrees_with_fairlearn(seed: int, groups: int) -> None:
    """Differences and ratios, and from teacher to student."""
    targets, student, teacher, group = drawn(seed, groups)
    data = {"sensitive": {"sex": group}, "task": "binary", "outputs": "labels"}
    for kpi, (function, scale) in FUNCTIONS.items():
        values = [scale * function(targets, labels, sensitive_features=group) for labels in (student, teacher)]
        found = evidence(kpi, student=student, teacher=teacher, targets=targets, data=data)
        assert found.student.value == pytest.approx(values[0])
        drift = kpi.replace("_difference", "") + "_drift" if scale == 100 else f"{kpi}_drift"
        found = evidence(drift, student=student, teacher=teacher, targets=targets, data=data)
        assert found.student.value == pytest.approx(values[0] - values[1])


@few
@given(SEEDS)
def test_rows_of_groups_agree_with_the_metric_frame(seed: int) -> None:
    """The breakdown has fairlearn's rates by group; accuracy differs as the frame says."""
    targets, student, teacher, group = drawn(seed)
    data = {"sensitive": {"sex": group}, "task": "binary", "outputs": "labels"}
    found = evidence("group_accuracy_gap", student=student, teacher=teacher, targets=targets, data=data)
    gaps = []
    for role, labels in (("student", student), ("teacher", teacher)):
        metrics = {
            "accuracy": accuracy_score,
            "selection": fairlearn.selection_rate,
            "tpr": fairlearn.true_positive_rate,
            "fpr": fairlearn.false_positive_rate,
        }
        frame = fairlearn.MetricFrame(metrics=metrics, y_true=targets, y_pred=labels, sensitive_features=group)
        gaps.append(frame.difference()["accuracy"])
        for row in found.breakdown:
            assert row[role] == pytest.approx(dict(frame.by_group.loc[row["name"]]))
            assert row["n"] == int((group == row["name"]).sum())
    assert found.student.value == pytest.approx(100 * (gaps[0] - gaps[1]))


@few
@given(SEEDS)
def test_control_features_and_intersections(seed: int) -> None:
    """Within each level of a control feature, the worst level; crossed features make more groups."""
    targets, student, _, group = drawn(seed, 2, 600)
    region = np.random.default_rng(seed).choice(["north", "south"], 600)
    data = {"sensitive": {"sex": group, "region": region}, "task": "binary", "outputs": "labels"}
    frame = fairlearn.MetricFrame(
        metrics=fairlearn.selection_rate,
        y_true=targets,
        y_pred=student,
        sensitive_features=group,
        control_features=region,
    )
    found = evidence(
        "demographic_parity_difference", student=student, targets=targets, data=data, feature="sex", control="region"
    )
    assert found.student.value == pytest.approx(100 * frame.difference().max())
    crossed = [f"{a} & {b}" for a, b in zip(group, region, strict=True)]
    wanted = 100 * fairlearn.demographic_parity_difference(targets, student, sensitive_features=crossed)
    found = evidence(
        "demographic_parity_difference", student=student, targets=targets, data=data, feature=["sex", "region"]
    )
    assert found.student.value == pytest.approx(wanted)
    assert {row["name"] for row in found.breakdown} == set(crossed)


@few
@given(SEEDS)
def test_several_classes_are_one_against_the_rest(seed: int) -> None:
    """The worst class, or the one that is named."""
    rng = np.random.default_rng(seed)
    targets, student = rng.integers(0, 3, (2, 400))
    group = rng.choice(["a", "b"], 400)
    data = {"sensitive": {"sex": group}}
    each = [
        100 * fairlearn.equalized_odds_difference(targets == one, student == one, sensitive_features=group)
        for one in range(3)
    ]
    options: dict[str, Any] = {"student": student, "targets": targets, "data": data}
    assert evidence("equalized_odds_difference", **options).student.value == pytest.approx(max(each))
    assert evidence("equalized_odds_difference", positive=1, **options).student.value == pytest.approx(each[1])


@few
@given(SEEDS)
def test_regression_has_losses(seed: int) -> None:
    """The difference of mean absolute errors, student minus teacher."""
    rng = np.random.default_rng(seed)
    targets, student, teacher = rng.normal(size=(3, 200))
    group = rng.choice(["a", "b", "c"], 200)
    data = {"sensitive": {"sex": group}, "task": "regression"}
    gaps = [
        fairlearn.MetricFrame(
            metrics=mean_absolute_error, y_true=targets, y_pred=values, sensitive_features=group
        ).difference()
        for values in (student, teacher)
    ]
    options: dict[str, Any] = {"student": student, "teacher": teacher, "targets": targets, "data": data}
    assert evidence("group_loss_difference", **options).student.value == pytest.approx(gaps[0])
    assert evidence("group_loss_gap", **options).student.value == pytest.approx(gaps[0] - gaps[1])


TARGETS = np.array([0, 1] * 60)
HALVES = np.repeat(["f", "m"], 60)


def test_group_of_two_rows_is_left_out_and_listed() -> None:
    """It would decide alone: one of its two rows is half of its rate."""
    group = HALVES.copy().astype("<U5")
    group[:2] = "other"
    student = np.where(group == "other", 1, TARGETS)
    found = evidence(
        "demographic_parity_difference", student=student, targets=TARGETS, data={"sensitive": {"sex": group}}
    )
    assert found.student.value < 2
    assert "left out, fewer than 20: other (2)" in found.notes


def test_rate_without_a_denominator_is_not_zero() -> None:
    """A group without positives has no true positive rate: fairlearn's 0 would be a difference of 100 points."""
    group = np.repeat(["a", "b", "c"], 40)
    targets = np.where(group == "c", 0, np.arange(120) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trap = fairlearn.equal_opportunity_difference(targets, targets, sensitive_features=group)
    assert trap == 1.0
    found = evidence(
        "equal_opportunity_difference", student=targets, targets=targets, data={"sensitive": {"sex": group}}
    )
    assert found.student.value == 0
    assert "undefined and not compared: true positive rate of c" in found.notes


def test_rates_of_one_group_only_are_an_error() -> None:
    """Nothing was compared, so nothing passes."""
    targets = np.where(HALVES == "f", 0, TARGETS)
    data = {"sensitive": {"sex": HALVES}}
    with pytest.raises(MeasurementError, match="no denominator in all groups but one"):
        evidence("equal_opportunity_difference", student=TARGETS, targets=targets, data=data)


@pytest.mark.parametrize(
    ("sensitive", "options", "words"),
    [
        (None, {}, "needs a sensitive feature, and the evaluation data name none"),
        ({"sex": HALVES, "age": HALVES}, {}, "several sensitive features: sex, age. Write feature='sex'"),
        ({"sex": HALVES}, {"feature": "gender"}, "there is no sensitive feature 'gender'; there are sex"),
        (
            {"age": np.arange(120)},
            {},
            "'age' has 120 different numbers, each of which would be a group. Write bins=4",
        ),
        ({"age": np.arange(120).astype(str)}, {}, "has 120 groups, of which 0 have 20 samples or more"),
        ({"sex": np.repeat("f", 120)}, {}, "has 1 groups, of which 1 have 20 samples or more"),
        ({"sex": HALVES}, {"positive": 7}, "positive=7 is none of the classes 0, 1"),
    ],
    ids=["none", "several", "unknown", "continuous", "one text for each", "one group", "no such class"],
)
def test_what_cannot_be_compared(sensitive: Any, options: dict[str, Any], words: str) -> None:
    """Each told with what was found and what to write."""
    with pytest.raises(MeasurementError, match=words):
        evidence(
            "demographic_parity_difference",
            student=TARGETS[::-1],
            targets=TARGETS,
            data={"sensitive": sensitive},
            **options,
        )


def test_constant_predictions_prove_nothing() -> None:
    """All rates are equal for any groups."""
    with pytest.raises(MeasurementError, match="answers 1 for every sample"):
        evidence(
            "demographic_parity_drift",
            student=np.ones(120, dtype=int),
            teacher=TARGETS,
            targets=TARGETS,
            data={"sensitive": {"sex": HALVES}},
        )


def test_other_task() -> None:
    """Told with the KPIs that fit."""
    data = {"sensitive": {"sex": HALVES}, "task": "regression"}
    values = np.linspace(0, 1, 120)
    with pytest.raises(MeasurementError, match="Write group_loss_difference or group_loss_gap"):
        evidence("equalized_odds_drift", student=values, teacher=values, targets=values, data=data)


def test_drift_carries_the_interval_of_pairs() -> None:
    """Models that answer the same have no drift at all, however unfair they are."""
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b"], 500)
    targets = rng.integers(0, 2, 500)
    labels = np.where(group == "a", targets, rng.integers(0, 2, 500))
    other = labels.copy()
    other[:10] = 1 - other[:10]
    data = {"sensitive": {"sex": group}}
    apart = evidence("equalized_odds_difference", student=labels, targets=targets, data=data).student.estimate
    drift = evidence("equalized_odds_drift", student=other, teacher=labels, targets=targets, data=data)
    assert apart.low is not None
    assert apart.high is not None
    found = drift.student.estimate
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.85 * (apart.high - apart.low)
    assert found.low <= found.value <= found.high


def test_each_feature_is_judged_by_its_own_change() -> None:
    """The feature whose gap is largest is not the one that changed most: both stand, each for its limit."""
    n = 400
    sex, age = np.array(["f", "m"])[np.arange(n) % 2], np.array(["old", "young"])[np.arange(n) // 2 % 2]
    rng = np.random.default_rng(0)
    teacher = (rng.random(n) < np.where(sex == "m", 0.8, 0.3)).astype(int)
    student = np.where((age == "old") & (rng.random(n) < 0.3), 1, teacher)
    options: dict[str, Any] = {
        "student": student,
        "teacher": teacher,
        "targets": rng.integers(0, 2, n),
        "data": {"sensitive": {"sex": sex, "age": age}, "task": "binary", "outputs": "labels"},
    }
    kpi, limit = "demographic_parity_difference", "difference <= 90 pp"
    apart = {name: evidence(kpi, limit, feature=name, **options) for name in ("sex", "age", "each")}
    changed = {name: one.comparison.difference.value for name, one in apart.items()}  # type: ignore[union-attr]
    assert apart["each"].student.value == max(apart["sex"].student.value, apart["age"].student.value)
    assert changed["each"] == max(changed["sex"], changed["age"])
    assert apart["sex"].student.value > apart["age"].student.value
    assert changed["sex"] < changed["age"]


def test_several_values_per_sample() -> None:
    """There is no one loss of a sample: refused with the number."""
    values = np.zeros((120, 2))
    data = {"sensitive": {"sex": HALVES}, "task": "regression"}
    with pytest.raises(MeasurementError, match="one value per sample, and there are 2"):
        evidence("group_loss_gap", student=values, teacher=values, targets=values + 1, data=data)


def test_few_right_answers_prove_nothing() -> None:
    """All of 20 in each group are right: no gap, and not the certainty that there is none."""
    group, targets = np.repeat(["a", "b"], 40), np.arange(80) % 2
    data = {"sensitive": {"sex": group}}
    for kpi in ("equal_opportunity_difference", "group_accuracy_difference", "equalized_odds_drift"):
        found = evidence(kpi, student=targets, teacher=targets, targets=targets, data=data).student.estimate
        assert found.value == 0
        assert found.high is not None
        assert found.high > 5


def test_ratio_of_groups_far_apart_is_known() -> None:
    """One in twenty against one in two: the inverse ratio of ten, which is known badly, does not count."""
    rng = np.random.default_rng(0)
    group = np.arange(4000) % 2
    student = (rng.random(4000) < np.where(group == 0, 0.05, 0.5)).astype(int)
    data = {"sensitive": {"sex": group}}
    options: dict[str, Any] = {"student": student, "targets": rng.integers(0, 2, 4000), "data": data}
    found = evidence("demographic_parity_ratio", **options).student.estimate
    assert found.low is not None
    assert found.high is not None
    assert 0.05 < found.low < found.value < found.high < 0.15


def test_ratio_has_the_ends_of_the_pair_that_is_the_smaller() -> None:
    """Three in ten against five in ten: what is not known of the inverse, 1.67, makes the ends no wider."""
    n = 2000
    group = np.arange(n) % 2
    student = (np.arange(n) // 2 % 10 < np.where(group == 0, 3, 5)).astype(int)
    data = {"sensitive": {"sex": group}}
    options: dict[str, Any] = {"student": student, "targets": np.arange(n) // 2 % 2, "data": data}
    found = evidence("demographic_parity_ratio", **options).student.estimate
    assert found.value == pytest.approx(0.6)
    assert found.low is not None
    assert found.high is not None
    assert 0.52 < found.low < 0.56
    assert 0.64 < found.high < 0.68


def test_rate_of_a_few_is_left_out() -> None:
    """A group with one positive has a true positive rate of 0 or 1: as undefined as one without any."""
    group = np.repeat(["a", "b", "c"], 40)
    targets = np.where(group == "c", 0, np.arange(120) % 2)
    targets[119] = 1
    student = targets.copy()
    student[119] = 0
    found = evidence(
        "equal_opportunity_difference", student=student, targets=targets, data={"sensitive": {"sex": group}}
    )
    assert found.student.value == 0
    assert "undefined and not compared: true positive rate of c" in found.notes


def test_odds_need_both_rates() -> None:
    """With positives in one group only, false alarms alone are no equalized odds: an error, not a pass."""
    group = np.repeat(["a", "b"], 60)
    targets = np.where(group == "b", 0, np.arange(120) % 2)
    student = np.where(np.arange(120) % 3 == 0, 1 - targets, targets)
    data = {"sensitive": {"sex": group}}
    with pytest.raises(MeasurementError, match="no denominator in all groups but one"):
        evidence("equalized_odds_difference", student=student, targets=targets, data=data)


def unequal(first: float, second: float, n: int = 400) -> Any:
    """Return yes/no answers with other shares in the two groups."""
    rng = np.random.default_rng(0)
    return (rng.random(n) < np.where(np.arange(n) % 2 == 0, first, second)).astype(int)


@pytest.mark.parametrize("name", ["demographic_parity_ratio", "equalized_odds_ratio"])
def test_ratio_of_the_student_does_not_depend_on_the_teacher(name: str) -> None:
    """A teacher that selects nobody in one group, or makes no false alarm at all, hides nothing of the student."""
    targets = np.arange(400) // 2 % 2
    teacher = np.where(np.arange(400) % 2 == 0, 0, unequal(0.3, 0.3)) if name.startswith("demo") else targets
    student = unequal(0.5, 0.05)
    data = {"sensitive": {"sex": np.arange(400) % 2}, "task": "binary", "outputs": "labels"}
    alone = evidence(name, student=student, targets=targets, data=data)
    found = evidence(name, "difference >= -0.05", student=student, teacher=teacher, targets=targets, data=data)
    assert found.student.value == alone.student.value < 0.2
    assert found.teacher is not None
    assert found.teacher.value == (0 if name.startswith("demo") else 1)
    assert found.comparison is not None
    change = found.comparison.difference
    assert change is not None
    assert change.value == pytest.approx(found.student.value - found.teacher.value)
    assert change.low is not None
    assert change.high is not None
    assert -1 <= change.low <= change.value <= change.high <= 1


def test_ratio_of_nothing_to_nothing() -> None:
    """A student without one right alarm has no ratio of true positive rates; of two alike zeros none is the worse."""
    targets = np.arange(400) // 2 % 2
    student = 1 - targets
    data = {"sensitive": {"sex": np.arange(400) % 2}, "task": "binary", "outputs": "labels"}
    with pytest.raises(MeasurementError, match="every rate of the student is 0"):
        evidence("equal_opportunity_ratio", student=student, targets=targets, data=data)


def test_class_that_is_never_answered_proves_nothing() -> None:
    """Whatever else the student answers: nobody gets the class that is judged, in no group."""
    targets = np.arange(400) % 3
    student = np.where(targets == 2, 0, targets)
    data = {"sensitive": {"sex": np.arange(400) // 3 % 2}}
    with pytest.raises(MeasurementError, match="answers something else than 2 for every sample"):
        evidence("equal_opportunity_difference", student=student, targets=targets, data=data, positive=2)


def test_ratio_of_gaps_has_the_ends_of_both() -> None:
    """Resampled, the ratio of the gaps of four groups would lie below the true one: the teacher's gap is small."""
    rng, groups = np.random.default_rng(0), np.arange(1600) % 4
    teacher = (rng.random(1600) < np.where(groups == 0, 0.49, 0.51)).astype(int)
    student = (rng.random(1600) < np.where(groups == 0, 0.45, 0.55)).astype(int)
    data = {"sensitive": {"sex": groups}, "task": "binary", "outputs": "labels"}
    options: dict[str, Any] = {"student": student, "teacher": teacher, "targets": student, "data": data}
    found = evidence("demographic_parity_difference", "ratio <= 5", **options)
    assert found.comparison is not None
    ratio = found.comparison.ratio
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < ratio.value < 5 < ratio.high


def many_groups(rate_of_last: float, groups: int = 10, n: int = 1000) -> dict[str, Any]:
    """Return a student that selects everybody of all groups but the last one."""
    group = np.arange(n) % groups
    said = np.where(group == groups - 1, np.arange(n) < rate_of_last * n, 1)
    return {
        "student": said,
        "teacher": (np.arange(n) // groups) % 2,
        "targets": (np.arange(n) // groups) % 2,
        "data": {"sensitive": {"g": [f"g{one}" for one in group]}, "task": "binary", "outputs": "labels"},
    }


def test_the_groups_that_cause_a_gap_are_told_first() -> None:
    """Lowest and highest, where there are more than a line can hold; and no end is beyond what a share can be."""
    found = evidence("demographic_parity_difference", **many_groups(0.0))
    note = next(one for one in found.notes if one.startswith("selection rate"))
    assert note == (
        "selection rate of the student: g9 0.0%, g0 100.0%, g1 100.0%, 4 between, g6 100.0%, g7 100.0%, g8 100.0%"
    )
    assert found.student.value == 100
    assert found.student.estimate.high == 100


@few
@given(SEEDS)
def test_missing_values_are_left_out_or_a_group(seed: int) -> None:
    """As fairlearn reads the data without them, or with a group more; an error by default, which says what to write."""
    targets, student, _, group = drawn(seed, 3, 400)
    listed: list[Any] = [None if at % 5 == 0 else one for at, one in enumerate(group.tolist())]
    named = np.array(["missing" if one is None else one for one in listed])
    kept = named != "missing"
    data = {"sensitive": {"sex": listed}, "task": "binary", "outputs": "labels"}
    models: dict[str, Any] = {"student": student, "targets": targets}
    function = fairlearn.demographic_parity_difference
    with pytest.raises(MeasurementError, match="missing for 80 of 400 samples.*missing='exclude'"):
        evidence("demographic_parity_difference", **models, data=data)
    found = evidence("demographic_parity_difference", **models, data=data, missing="exclude")
    wanted = function(targets[kept], student[kept], sensitive_features=named[kept])
    assert found.student.value == pytest.approx(100 * wanted)
    assert found.student.n == 320
    assert "80 samples without sex are excluded" in found.student.method
    for options, said in (({"missing": "group"}, {}), ({}, {"missing": "group"})):
        found = evidence("demographic_parity_difference", **models, data={**data, **said}, **options)
        assert found.student.value == pytest.approx(100 * function(targets, student, sensitive_features=named))
        assert "80 samples without sex are the group 'missing'" in found.student.method


def test_numbers_are_put_into_bins() -> None:
    """By the gate or by the data, as many groups as are asked for, or at the edges that are stated."""
    rng = np.random.default_rng(0)
    targets, student = rng.integers(0, 2, (2, 600))
    age = rng.integers(18, 80, 600)
    data = {"sensitive": {"age": age}, "task": "binary", "outputs": "labels"}
    models: dict[str, Any] = {"student": student, "targets": targets}
    coarse = np.digitize(age, [30, 50])
    wanted = 100 * fairlearn.demographic_parity_difference(targets, student, sensitive_features=coarse)
    for options, said in (
        ({"bins": [30, 50]}, {}),
        ({}, {"bins": {"age": (30, 50)}}),
        ({"bins": [30, 50]}, {"bins": 7}),
    ):
        found = evidence("demographic_parity_difference", **models, data={**data, **said}, **options)
        assert [row["name"] for row in found.breakdown] == ["< 30", "30 to < 50", ">= 50"]
        assert found.student.value == pytest.approx(wanted)
    found = evidence("demographic_parity_difference", **models, data=data, bins=4)
    sizes = [row["n"] for row in found.breakdown]
    assert len(sizes) == 4
    assert min(sizes) > 100


def test_kpis_of_a_feature_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are counted and resampled once for all of them; another feature or another error is read anew."""
    counted = []

    class Counted(GroupCounts):
        def __init__(self, *args: Any) -> None:
            counted.append(args[-2])
            super().__init__(*args)

    monkeypatch.setattr(derive_fairness, "GroupCounts", Counted)
    given = many_groups(0.05)
    sources = FixedSources(given["student"], given["teacher"], fairness_data(given))
    session = BenchSession()
    for kpi, options in (
        ("demographic_parity_drift", {}),
        ("equalized_odds_drift", {}),
        ("group_accuracy_gap", {"confidence": 0.95}),
        ("equal_opportunity_ratio_drift", {}),
        ("group_accuracy_gap", {"confidence": 0.9999}),
    ):
        gate = assigned(read_gate((kpi,), options))
        plan = ItemPlan(nodeid=f"{kpi} {options}", student="student", gates=(gate,), settings=Settings(enabled=True))
        result, _ = session.judge(plan, gate, sources)
        assert result.student_reading is not None, result.reason
    assert counted == [999, resamples_for(1 - 0.9999)]


def fairness_data(given: dict[str, Any]) -> EvalData:
    return EvalData(np.arange(len(given["student"]), dtype=float)[:, None], given["targets"], **given["data"])
