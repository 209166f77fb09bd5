"""The largest drop of a class's average precision: values by hand, which classes count, and how sure one may be."""

from __future__ import annotations

import pytest
from detected import Box, Images, evidence

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.results import Evidence

CORNERS = {0: (0, 0, 20, 20), 1: (40, 0, 60, 20), 2: (80, 0, 100, 20)}
NAMES = {"classes": ["cat", "dog", "cow"]}


def box(label: int, score: float = 0.9) -> Box:
    return (*CORNERS[label], label, score)


def images(n: int, missed: dict[int, int], rare: int = 3) -> tuple[Images, Images]:
    """Return detections and targets of cats and dogs in all images, and of cows in few; `missed` counts by class."""
    objects = [[0, 1, *([2] if image < rare else [])] for image in range(n)]
    found = [
        [box(label) for label in labels if image >= missed.get(label, 0)] for image, labels in enumerate(objects)
    ]
    return found, [[(*CORNERS[label], label) for label in labels] for labels in objects]


def drop(missed: dict[int, int], n: int = 100, **options: float) -> Evidence:
    """Return the evidence on a student that misses objects in the first images, beside a teacher that misses none."""
    student, targets = images(n, missed)
    return evidence("ap_drop", student, images(n, {})[0], targets, data=NAMES, **options)


def test_the_worst_class_by_hand() -> None:
    """A dog missed in 40 of 100 images: its precision is 1 up to a recall of 60%, 61 of the 101 points."""
    made = drop({0: 2, 1: 40})
    assert made.student.value == pytest.approx(100 * (1 - 61 / 101))
    rows = {row["name"]: row for row in made.breakdown}
    assert list(rows) == ["dog", "cat"]
    assert (rows["dog"]["n"], rows["dog"]["teacher"]) == (100, 100)
    assert rows["cat"]["value"] == pytest.approx(100 * (1 - 99 / 101))
    assert made.notes == (
        "drop by class: dog +39.6 pp of 100, cat +2.0 pp of 100",
        "lost beyond chance (bootstrap, Holm): dog",
        "too small to judge: cow (3)",
    )
    assert made.worst_samples[:3] == ("0", "1", "2")
    low, high = made.student.estimate.low, made.student.estimate.high
    assert low is not None
    assert high is not None
    assert 28 < low < 33
    assert 46 < high < 51


def test_equal_models_drop_by_nothing_but_not_for_certain() -> None:
    """The interval has a width: more images make it narrow."""
    few, many = drop({}, n=30), drop({}, n=300)
    assert few.student.value == many.student.value == 0
    assert few.student.estimate.high is not None
    assert many.student.estimate.high is not None
    assert 4 < few.student.estimate.high < 7
    assert many.student.estimate.high < 0.5
    assert few.worst_samples == ()
    assert not any("beyond chance" in note for note in many.notes)


def test_a_class_must_be_in_two_images_or_groups() -> None:
    """Targets of one image, and of one video, vary together: nothing shows by how much."""
    assert [row["name"] for row in drop({}, min_n=3).breakdown] == ["cat", "cow", "dog"]
    with pytest.raises(
        DoesNotFit, match=r"no class has 200 targets or more in at least 2 independent samples: cat \(100"
    ):
        drop({}, min_n=200)
    student, targets = images(30, {})
    with pytest.raises(DoesNotFit, match="no class has 20 targets or more in at least 2 independent samples"):
        evidence("ap_drop", student, student, targets, data={**NAMES, "group": ["video"] * 30})


def test_without_targets_there_is_no_class() -> None:
    """Images without objects have nothing that could be lost."""
    student, _ = images(30, {})
    with pytest.raises(
        DoesNotFit, match="no class has 20 targets or more in at least 2 independent samples: there are"
    ):
        evidence("ap_drop", student, student, [[]] * 30, data=NAMES)


def test_a_teacher_that_finds_nothing_has_nothing_to_lose() -> None:
    """A drop from 0 would always pass."""
    student, targets = images(30, {})
    with pytest.raises(
        MeasurementError, match="compares nothing: the average precision of the teacher is 0 for every"
    ):
        evidence("ap_drop", student, [[]] * 30, targets, data=NAMES)


def test_a_class_in_one_image_is_one_observation() -> None:
    """However small min_n is, and however many other images there are."""
    student, targets = images(40, {}, rare=1)
    made = evidence("ap_drop", student, student, targets, data=NAMES, min_n=1)
    assert "too small to judge: cow (1)" in made.notes
    assert [row["name"] for row in made.breakdown] == ["cat", "dog"]
