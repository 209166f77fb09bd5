"""The KPIs under corruptions on tables of right answers: worked by hand, as published, and every trap of counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from answered import read, wrong

from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.stats.by_sample import difference_by_sample, share_by_sample

RNG = np.random.default_rng(0)
N = 400
NAMES = ("fog:1", "fog:5", "contrast:1", "contrast:5")
TEACHER = RNG.random((N, 4)) < (0.95, 0.8, 0.9, 0.7)
STUDENT = TEACHER & (RNG.random((N, 4)) < (0.99, 0.9, 0.95, 0.6))


def test_accuracy_is_the_mean_of_the_cells() -> None:
    """And its interval that of the samples' means, its drop paired by sample."""
    found = read("corruption_accuracy", NAMES, STUDENT, TEACHER)
    assert found.student.value == pytest.approx(100 * STUDENT.mean())
    assert found.teacher is not None
    assert found.teacher.value == pytest.approx(100 * TEACHER.mean())
    expected = share_by_sample(STUDENT.mean(axis=1), 0.05)
    assert found.student.estimate.low == pytest.approx(100 * (expected.low or 0))
    assert found.comparison is not None
    assert found.comparison.difference is not None
    gap = difference_by_sample(STUDENT.mean(axis=1) - TEACHER.mean(axis=1), 0.05)
    assert found.comparison.difference.value == pytest.approx(100 * (STUDENT.mean() - TEACHER.mean()))
    assert found.comparison.difference.high == pytest.approx(100 * (gap.high or 0))
    assert found.student.n == N


def test_breakdown_has_a_row_for_each_cell() -> None:
    """With the share of each model and the drop; samples that were lost most often come first."""
    found = read("corruption_accuracy", NAMES, STUDENT, TEACHER)
    assert [row["name"] for row in found.breakdown] == list(NAMES)
    for at, row in enumerate(found.breakdown):
        student, teacher = 100 * STUDENT[:, at].mean(), 100 * TEACHER[:, at].mean()
        assert (row["value"], row["teacher"], row["drop"]) == pytest.approx((student, teacher, teacher - student))
    lost = (TEACHER & ~STUDENT).sum(axis=1)
    assert lost[int(found.worst_samples[0])] == lost.max()


def test_the_largest_drops_are_noted() -> None:
    """Three cells with both shares; none where the student loses nothing."""
    found = read("corruption_accuracy", NAMES, wrong(N, [8, 200, 12, 100]), wrong(N, [4, 40, 8, 80]))
    assert "largest drops: fog:5 from 90.0% to 50.0%, contrast:5 from 80.0% to 75.0%, fog:1 from 99.0% to 98.0%" in (
        found.notes
    )
    assert not any(note.startswith("largest drops") for note in read("mce", NAMES, TEACHER, TEACHER).notes)


def test_cells_are_not_independent_samples() -> None:
    """Thirty cells that all fail together say no more than one: the interval is as wide (trap 18)."""
    one = wrong(N, [40])
    many = np.tile(one, 30)
    names = [f"{name}:{severity}" for name in ("fog", "contrast", "zoom_blur", "pixelate", "saturate", "brightness")
             for severity in range(1, 6)]  # fmt: skip
    narrow = read("corruption_accuracy", names, many).student.estimate
    single = read("corruption_accuracy", ["fog:1"], one).student.estimate
    assert (narrow.low, narrow.high) == pytest.approx((single.low, single.high))


def test_worst_corruption() -> None:
    """The least mean over severities, at a common error; its drop is that of the two least, whichever they are."""
    found = read("worst_corruption_accuracy", NAMES, STUDENT, TEACHER)
    by = {"fog": slice(0, 2), "contrast": slice(2, 4)}
    assert found.student.value == pytest.approx(100 * STUDENT[:, by["contrast"]].mean())
    ends = [share_by_sample(STUDENT[:, part].mean(axis=1), 0.05 / 2) for part in by.values()]
    assert found.student.estimate.low == pytest.approx(100 * min(end.low or 0 for end in ends))
    assert "least of 2 corruptions (contrast)" in found.student.method
    assert found.comparison is not None
    gap = found.comparison.difference
    assert gap is not None
    assert gap.value == pytest.approx(100 * (STUDENT[:, 2:].mean() - TEACHER[:, 2:].mean()))
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low < gap.value < gap.high < 0


def test_largest_drop_with_bonferroni() -> None:
    """The corruption that was lost most, its interval at half of the error, and what was lost beyond chance."""
    found = read("corruption_drop", NAMES, STUDENT, TEACHER)
    drops = (TEACHER.astype(float) - STUDENT)[:, 2:].mean(axis=1)
    assert found.student.value == pytest.approx(100 * drops.mean())
    ends = difference_by_sample(drops, 0.05 / 2)
    assert found.student.estimate.high == pytest.approx(100 * (ends.high or 0))
    assert found.notes[0].startswith("drop by corruption: contrast +")
    assert found.notes[1] == "lost beyond chance (paired, Holm): contrast, fog"
    assert [row["name"] for row in found.breakdown] == ["fog", "contrast", *NAMES]


def test_largest_drop_by_severity() -> None:
    """Means over corruptions instead."""
    found = read("corruption_drop", NAMES, STUDENT, TEACHER, by="severity")
    hard = (TEACHER.astype(float) - STUDENT)[:, [1, 3]].mean(axis=1)
    assert found.student.value == pytest.approx(100 * hard.mean())
    assert found.notes[0].startswith("drop by severity: severity 5 +")


def test_a_worst_drop_of_none_is_not_proven_above_zero() -> None:
    """Ten corruptions of two models that are alike but for chance: the largest drop's interval holds 0 (Bonferroni)."""
    misses = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        teacher, student = rng.random((2, 150, 10)) < 0.8
        names = [f"{name}:3" for name in (
            "fog", "contrast", "zoom_blur", "pixelate", "saturate", "brightness", "defocus_blur", "motion_blur",
            "shot_noise", "speckle_noise",
        )]  # fmt: skip
        low = read("corruption_drop", names, student, teacher).student.estimate.low
        misses += (low or 0) > 0
    assert misses / 200 <= 0.09


ALEXNET = (88.6, 89.4, 92.3, 82.0, 82.6, 78.6, 79.8, 86.7, 82.7, 81.9, 56.5, 85.3, 64.6, 71.8, 60.7)
"""Error rates of AlexNet on ImageNet-C in percent, averaged over severities: the usual normaliser."""
RESNET_50 = (80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77)
"""Corruption errors of ResNet-50 relative to them, in percent, whose mean is published as 76.7 (of unrounded ones)."""
FIFTEEN = tuple(f"{name}:3" for name in (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "gaussian_blur", "motion_blur", "zoom_blur",
    "speckle_noise", "saturate", "fog", "brightness", "contrast", "pixelate", "series_noise", "jitter",
))  # fmt: skip


def test_mce_is_the_published_arithmetic() -> None:
    """Of tables of error rates: the mean of the ratios, and not the mean error, which is about 61 (trap 19)."""
    teacher = [round(10 * error) for error in ALEXNET]
    student = [round(10 * error * ratio / 100) for error, ratio in zip(ALEXNET, RESNET_50, strict=True)]
    found = read("mce", FIFTEEN, wrong(1000, student), wrong(1000, teacher))
    ratios = np.array(student) / teacher
    assert found.student.value == pytest.approx(100 * ratios.mean())
    assert found.student.value == pytest.approx(76.7, abs=0.3)
    assert np.mean(student) / 10 == pytest.approx(60.4, abs=1)


def test_the_teacher_itself_is_100() -> None:
    """By every ratio of errors (trap 19)."""
    clean = {role: np.arange(N) >= 5 for role in ("student", "teacher")}
    for kpi in ("mce", "relative_mce", "corruption_error_ratio"):
        assert read(kpi, NAMES, TEACHER, TEACHER, clean=clean).student.value == pytest.approx(100)


def test_mce_sums_over_severities_first() -> None:
    """(2 + 30) / (10 + 20) of the only corruption, not the mean of 0.2 and 1.5."""
    found = read("mce", ("fog:1", "fog:5"), wrong(100, [2, 30]), wrong(100, [10, 20]))
    assert found.student.value == pytest.approx(100 * 32 / 30)


def test_mce_is_a_mean_of_ratios_and_the_error_ratio_is_pooled() -> None:
    """10 to 20 errors and 100 to 100: 150% by mCE, 109% pooled."""
    tables = wrong(200, [20, 100]), wrong(200, [10, 100])
    assert read("mce", ("fog:1", "contrast:1"), *tables).student.value == pytest.approx(150)
    pooled = read("corruption_error_ratio", ("fog:1", "contrast:1"), *tables)
    assert pooled.student.value == pytest.approx(100 * 120 / 110)


def test_relative_mce_by_hand() -> None:
    """Errors beyond those on the clean data: (30 - 10) / (15 - 5) = 200%."""
    clean = {"student": np.arange(100) >= 10, "teacher": np.arange(100) >= 5}
    found = read("relative_mce", ("fog:3",), wrong(100, [30]), wrong(100, [15]), clean=clean)
    assert found.student.value == pytest.approx(200)


def test_a_corruption_without_errors_of_the_teacher_is_listed() -> None:
    """No division by zero, and nothing dropped without a word (trap 20); all of them are an error."""
    found = read("mce", ("fog:3", "contrast:3"), wrong(100, [30, 5]), wrong(100, [20, 0]))
    assert found.student.value == pytest.approx(150)
    assert "too few errors of the teacher to judge: contrast (0)" in found.notes
    with pytest.raises(MeasurementError, match="fewer than 10 errors under every corruption: fog \\(3\\)"):
        read("mce", ("fog:3",), wrong(100, [30]), wrong(100, [3]))
    with pytest.raises(MeasurementError, match="the teacher makes 3 errors under all corruptions, and 10 are needed"):
        read("corruption_error_ratio", ("fog:3",), wrong(100, [30]), wrong(100, [3]))


def test_a_negative_denominator_is_listed() -> None:
    """A teacher that is better on the corrupted data has no relative error (trap 21)."""
    clean = {"student": np.arange(100) >= 10, "teacher": np.arange(100) >= 40}
    tables = wrong(100, [30, 60]), wrong(100, [15, 60])
    found = read("relative_mce", ("fog:3", "contrast:3"), *tables, clean=clean)
    assert found.student.value == pytest.approx(250)
    assert any(note.endswith("of the teacher to judge: fog (-25)") for note in found.notes)


def test_ratio_interval_covers() -> None:
    """The truth is outside of a 90% interval in about 10% of simulated data sets of samples whose cells are alike."""
    misses = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        hard = rng.beta(0.5, 1.5, (300, 1))
        teacher, student = (rng.random((300, 6)) >= hard * part for part in (0.8, 1.0))
        names = [f"{name}:{severity}" for name in ("fog", "contrast") for severity in (1, 3, 5)]
        estimate = read("corruption_error_ratio", names, student, teacher).student.estimate
        misses += not (estimate.low or 0) <= 125 <= (estimate.high or 0)
    assert 0.04 <= misses / 200 <= 0.17


def test_accuracy_that_rises_with_the_severity_is_noted() -> None:
    """By more than half a point, of the teacher where there is one (trap 22)."""
    teacher = wrong(N, [80, 40])
    found = read("corruption_drop", ("fog:1", "fog:5"), teacher, teacher)
    assert "fog: the teacher's accuracy rises from 80.0% at severity 1 to 90.0% at 5" in found.notes
    falling = read("corruption_drop", ("fog:1", "fog:5"), teacher[:, ::-1], teacher[:, ::-1])
    assert not any("rises" in note for note in falling.notes)


def test_a_teacher_at_the_floor_is_noted() -> None:
    """Nothing can be lost where it is right by chance only; with half of the labels each, that is 50%."""
    found = read("corruption_drop", ("fog:5", "contrast:1"), wrong(N, [250, 10]), wrong(N, [240, 10]))
    assert (
        "the teacher is no better than always giving the commonest label (50.0%) under fog:5: no student can lose "
        "much there"
    ) in found.notes


def test_no_answer_of_the_student_is_wrong() -> None:
    """And told, with what it raised; the teacher answers, so it counts (trap 25)."""
    silent = {"student": np.zeros((N, 4), dtype=bool)}
    silent["student"][:100, 1] = True
    found = read("corruption_accuracy", NAMES, TEACHER, TEACHER, silent=silent)
    expected = TEACHER & ~silent["student"]
    assert found.student.value == pytest.approx(100 * expected.mean())
    assert any(
        note.startswith(
            "the student gives no answer to 100 of 1,600 corrupted samples (fog:5): counted as wrong. stu"
        )
        for note in found.notes
    )


def test_no_answer_of_the_teacher_is_not_judged() -> None:
    """Of neither model (trap 36); where it never answers, nothing is compared."""
    silent: dict[str, Any] = {role: np.zeros((N, 4), dtype=bool) for role in ("student", "teacher")}
    silent["teacher"][:, 1] = silent["student"][:, 1] = True
    found = read("corruption_accuracy", NAMES, STUDENT, TEACHER, silent=silent)
    rest = [0, 2, 3]
    assert found.student.value == pytest.approx(100 * STUDENT[:, rest].mean())
    assert any("not judged for either model. teacher raised ValueError" in note for note in found.notes)
    assert found.breakdown[1]["value"] is None
    silent["teacher"][:] = True
    with pytest.raises(MeasurementError, match="the teacher answers no corrupted input"):
        read("corruption_accuracy", NAMES, STUDENT, TEACHER, silent=silent)


def test_other_inputs_are_not_paired() -> None:
    """Checksums of the batches differ between the models (trap 17)."""
    with pytest.raises(DataError, match="gave student and teacher different inputs: nothing can be paired"):
        read("corruption_accuracy", NAMES, STUDENT, TEACHER, checksums={"teacher": 1})


def test_invariance_compares_with_the_models_own_labels() -> None:
    """What is wrong on the clean data and stays so is unchanged: here the student is wrong everywhere."""
    clean = {"student": np.zeros(N, dtype=bool)}
    found = read("corruption_invariance", ("fog:3", "contrast:3"), wrong(N, [N, 100]), clean=clean)
    assert found.student.value == pytest.approx(100 * (N + 100) / (2 * N))


def test_too_few_samples_for_a_drop() -> None:
    """Fewer than min_n samples that the teacher answers."""
    with pytest.raises(MeasurementError, match="no corruption has 500 samples or more: fog \\(400\\), contrast"):
        read("corruption_drop", NAMES, STUDENT, TEACHER, min_n=500)
