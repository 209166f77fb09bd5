"""Average precision and recall: equal to pycocotools, also of resamples; values by hand, and what does not fit."""

from __future__ import annotations

import re
import sys
from typing import Any

import detected
import numpy as np
import pytest
from scenes import STRANGE, Boxes, detections, measured, scenes, summarised
from tables import evidence

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.detection import average_precision
from pytest_modelbench.kpis.detection.matching import matched
from pytest_modelbench.kpis.detection.rows_precision import PRECISION
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.stats.cells import drawn_evenly
from pytest_modelbench.stats.paired import bias_corrected, expanded, percentiles

NAMES = [*average_precision.PRECISIONS, *average_precision.RECALLS]
SQUARE = [10.0, 10.0, 30.0, 30.0]
TARGETS: list[Boxes] = [
    {"boxes": [SQUARE, [50, 50, 150, 150]], "labels": [1, 2]},
    {"boxes": [[0, 0, 20, 20]], "labels": [1]},
    {"boxes": np.zeros((0, 4)), "labels": []},
]
RIGHT: list[Boxes] = [{**target, "scores": [0.9] * len(target["labels"])} for target in TARGETS]


def values(answers: TaskAnswers, weights: Any) -> list[float]:
    """Return the values of all KPIs for one weight of each image, from 0 to 1, in the order of `summarize`."""
    tables = (
        (average_precision.PRECISIONS, average_precision.precision_by_class),
        (average_precision.RECALLS, average_precision.recall_by_class),
    )
    functions = [
        average_precision.over_classes(answers, mean, by_class)
        for means, by_class in tables
        for mean in means.values()
    ]
    return [float(function(np.asarray(weights, dtype=float)[None])[0]) / 100 for function in functions]


def test_the_kpis_are_the_twelve_values_of_coco() -> None:
    """In the order of `COCOeval.summarize`."""
    assert [kpi.name for kpi in PRECISION] == NAMES
    assert set(NAMES) <= set(CATALOGUE)


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_pycocotools(seed: int) -> None:
    """Equal scores, crowds, duplicates, labels with gaps, detections of strange classes, areas on the limits."""
    n = (1, 12, 25, 25, 25, 40)[seed]
    targets = scenes(seed, n, most=8)
    found = detections(seed + 100, targets, extra=40 if seed == 2 else 12)
    expected = summarised(targets, found)
    ours = values(measured(targets, found), np.ones(n))
    for value, right, name in zip(ours, expected, NAMES, strict=True):
        assert value == pytest.approx(right, abs=1e-9) or (np.isnan(value) and right == -1), name


def test_more_than_a_hundred_detections_of_a_class() -> None:
    """COCO counts the best hundred of a class in an image; the data leave the others out before."""
    target = scenes(3, 1, most=8)
    found = detections(4, target * 40, extra=8)
    crowded = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    labels = np.ones(len(crowded["labels"]), dtype=int)
    target, crowded = [{**target[0], "labels": np.ones(len(target[0]["labels"]), int)}], {**crowded, "labels": labels}
    assert len(labels) > 150
    read = evidence("map", ">= 1%", student=[crowded], teacher=[crowded], targets=target, data={"task": "detection"})
    assert read.student.value == pytest.approx(100 * summarised(target, [crowded])[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_resamples_are_those_of_pycocotools(seed: int) -> None:
    """A weight of an image counts as often as the image itself in the data."""
    targets = scenes(seed, 20, most=6)
    found = detections(seed + 200, targets, extra=8)
    rng = np.random.default_rng(seed)
    found = [{**each, "scores": rng.random(len(each["scores"])).astype(np.float32)} for each in found]
    drawn = np.sort(rng.integers(0, 20, 20))
    ours = values(measured(targets, found), np.bincount(drawn, minlength=20))
    np.testing.assert_allclose(ours, summarised(targets, found, drawn.tolist()), rtol=0, atol=1e-9)


def test_many_resamples_at_once_are_those_one_by_one() -> None:
    """Also those in which a class has no target, or no image at all is left of one."""
    targets, rng = scenes(7, 6, most=3), np.random.default_rng(0)
    answers = measured(targets, detections(8, targets))
    weights = rng.multinomial(6, np.full(6, 1 / 6), 40).astype(float)
    mean = average_precision.PRECISIONS["map"]
    table = average_precision.precision_by_class(answers, weights, mean)
    single = [average_precision.precision_by_class(answers, row[None], mean)[0] for row in weights]
    np.testing.assert_array_equal(table, np.stack(single))
    assert np.isnan(table).any()


def test_precision_by_hand() -> None:
    """Of class 1 the first of two detections is wrong, and of class 2 nothing is found."""
    student: list[Boxes] = [
        {"boxes": [[200, 200, 220, 220], SQUARE], "labels": [1, 1], "scores": [0.9, 0.8]},
        {"boxes": np.zeros((0, 4)), "labels": [], "scores": []},
        {"boxes": [SQUARE], "labels": [STRANGE], "scores": [0.99]},
    ]
    judged = evidence(
        "map_50",
        ">= 1%",
        "drop <= 99 pp",
        student=student,
        teacher=RIGHT,
        targets=TARGETS,
        data={
            "task": "detection",
            "classes": {1: "cat", 2: "dog", STRANGE: "cow"},
            "slices": {"day": ["a", "b", "a"]},
        },
    )
    of_class_1 = 100 * 51 / 101 * 0.5  # recalls from 0 to 0.5, at a precision of 1 in 2
    assert judged.student.value == pytest.approx(of_class_1 / 2)
    assert judged.teacher is not None
    assert judged.teacher.value == pytest.approx(100)
    assert judged.comparison is not None
    assert judged.comparison.difference is not None
    assert judged.comparison.difference.value == pytest.approx(of_class_1 / 2 - 100)
    assert judged.worst_samples == ("0", "1")
    assert [row for row in judged.breakdown if row["name"].startswith("class=")] == [
        {"name": "class=cat", "n": 2, "student": pytest.approx(of_class_1), "teacher": pytest.approx(100)},
        {"name": "class=dog", "n": 1, "student": 0.0, "teacher": pytest.approx(100)},
    ]
    assert judged.student.n == 3
    assert "3 targets of 2 classes, matched by pycocotools; paired bootstrap of 3 images" in judged.student.method


def test_recall_by_hand() -> None:
    """The best detection of each class in an image finds one of two targets of class 1, and that of class 2."""
    targets: list[Boxes] = [{"boxes": [SQUARE, [40, 40, 60, 60], [50, 50, 150, 150]], "labels": [1, 1, 2]}]
    found: list[Boxes] = [{**targets[0], "scores": [0.9, 0.8, 0.1]}]
    data = {"task": "detection"}
    for name, value in (("mar_1", 75.0), ("mar_10", 100.0)):
        judged = evidence(name, ">= 1%", student=found, teacher=found, targets=targets, data=data)
        assert judged.student.value == pytest.approx(value), name


def test_groups_of_images_are_resampled_together() -> None:
    """Frames of one video are alike: the interval is that of the videos."""
    targets = scenes(11, 40, most=4)
    good, bad = detections(1, targets, shift=0.02, extra=0), detections(1, targets, shift=0.9, extra=9)
    student = [good[i] if i < 20 else bad[i] for i in range(40)]
    ends = []
    for group in (None, ["first" if i < 20 else "second" for i in range(40)]):
        data = {"task": "detection", "group": group}
        judged = evidence("map_50", ">= 1%", student=student, teacher=good, targets=targets, data=data)
        assert judged.student.estimate.low is not None
        ends.append(judged.student.value - judged.student.estimate.low)
    assert ends[1] > 1.5 * ends[0]


def test_the_interval_is_bias_corrected() -> None:
    """Resamples of few images have a larger average precision than the images, as those have than many."""
    targets = scenes(5, 15, most=4)
    found, data = detections(6, targets), {"task": "detection"}
    judged = evidence("map", ">= 1%", "drop <= 9 pp", student=found, teacher=found, targets=targets, data=data)
    weights = drawn_evenly(15, 999, np.random.default_rng(0))
    table = average_precision.precision_by_class(
        measured(targets, found), weights, average_precision.PRECISIONS["map"]
    )
    value, drawn = judged.student.value, np.nanmean(table, axis=1)
    for side in ("low", "high"):
        corrected = getattr(expanded(bias_corrected(value, drawn, 0.05), 15, 0.05), side)
        plain = getattr(expanded(percentiles(value, drawn, 0.05), 15, 0.05), side)
        assert getattr(judged.student.estimate, side) == pytest.approx(corrected)
        assert corrected != pytest.approx(plain)


def test_a_model_without_detections() -> None:
    """Its precision is 0, and the report says why."""
    nothing: list[Boxes] = [{"boxes": np.zeros((0, 4)), "labels": [], "scores": []}] * 3
    judged = evidence("map", ">= 1%", student=nothing, teacher=RIGHT, targets=TARGETS, data={"task": "detection"})
    assert judged.student.value == 0
    assert judged.notes == ("the student has no detections",)


def test_labels_that_begin_at_another_number() -> None:
    """A model whose classes begin at 0 finds nothing of targets that begin at 10."""
    targets = [{**target, "labels": [label + 10 for label in target["labels"]]} for target in TARGETS]
    judged = evidence("map", ">= 1%", student=RIGHT, teacher=RIGHT, targets=targets, data={"task": "detection"})
    assert judged.student.value == 0
    assert judged.notes == (
        (
            "no detection of the student has a class of the targets: it has 1, 2, and the targets 11, 12. Do both number "
            "classes alike?"
        ),
    )


@pytest.mark.parametrize(
    ("kpi", "targets", "student", "message"),
    [
        (
            "map_large",
            [{"boxes": [SQUARE], "labels": [1]}] * 3,
            RIGHT,
            (
                "map_large needs targets with an area from 9216 pixels up, and these data have none (crowds do not "
                "count)"
            ),
        ),
        (
            "map",
            [{"boxes": [SQUARE], "labels": [1], "iscrowd": [1]}] * 3,
            RIGHT,
            "map needs targets, and these data have none (crowds do not count)",
        ),
        (
            "mar_100",
            TARGETS,
            [{**RIGHT[0], "scores": [0.5, np.nan]}, *RIGHT[1:]],
            "student returned NaN or infinite scores for 1 of 3 detections, the first for the sample 0",
        ),
    ],
)
def test_what_has_no_value_says_why(kpi: str, targets: Any, student: Any, message: str) -> None:
    """No target that counts, and scores that have no order."""
    with pytest.raises(MeasurementError, match=re.escape(message)):
        evidence(kpi, ">= 1%", student=student, teacher=RIGHT, targets=targets, data={"task": "detection"})


def test_matches_are_found_once_and_silently(capsys: pytest.CaptureFixture[str]) -> None:
    """All KPIs of a measurement share them, and COCO's own words about its index are not printed."""
    answers = measured(TARGETS, RIGHT)
    assert matched(answers, "all") is matched(answers, "all")
    assert matched(measured(TARGETS, RIGHT), "all") is not matched(answers, "all")
    assert capsys.readouterr().out == ""


def test_pycocotools_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message with the command that installs it."""
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(MeasurementError, match=re.escape("pip install 'pytest-modelbench[detection]'")):
        matched(measured(TARGETS, RIGHT), "all")


def test_perfect_images_are_no_proof() -> None:
    """Their resamples differ by rounding: an interval from 100 to 100 would claim certainty of few images."""
    rng = np.random.default_rng(0)
    targets: list[Boxes] = []
    for _ in range(12):
        corners = rng.integers(0, 50, (3, 2)).astype(float)
        targets.append({"boxes": np.hstack([corners, corners + rng.integers(10, 40, (3, 2))]), "labels": [0, 1, 2]})
    found = [{**target, "scores": [0.9, 0.5, 0.7]} for target in targets]
    made = evidence(
        "map_medium", ">= 50%", student=found, teacher=found, targets=targets,
        data={"task": "detection"}, confidence=0.95,
    )  # fmt: skip
    assert made.student.value == pytest.approx(100)
    assert made.student.estimate.low == 0


def test_scores_in_unsigned_numbers() -> None:
    """Negated as they are, 0 would be the highest."""
    scores = np.array([[255, 0, 9]] * 3, dtype=np.uint8)
    boxes = np.array([SQUARE, [80, 80, 90, 90], [80, 80, 90, 95]])
    targets: list[Boxes] = [{"boxes": [SQUARE], "labels": [1]}] * 3
    found = [{"boxes": boxes, "labels": [1, 1, 1], "scores": each} for each in scores]
    words: dict[str, Any] = {"targets": targets, "teacher": found, "data": {"task": "detection", "max_detections": 1}}
    assert evidence("map", ">= 1%", student=found, **words).student.value == pytest.approx(100)


def test_detector_that_finds_nothing_is_certain_as_far_as_images_were_seen() -> None:
    """Resamples are all alike: the interval has ends all the same, so that a limit far away is decided."""
    box = (10.0, 10.0, 50.0, 50.0, 1)
    images = [[box]] * 60
    blind = detected.evidence("map", [[]] * 60, [[(*box, 0.9)]] * 60, images)
    assert blind.student.estimate.low is not None
    assert (blind.student.value, blind.student.estimate.low) == (0, 0)
    assert blind.student.estimate.high == pytest.approx(2.0, abs=0.1)
    assert blind.comparison is not None
    assert blind.comparison.difference is not None
    assert blind.comparison.difference.value == -100
    assert blind.comparison.difference.high == pytest.approx(-98.0, abs=0.1)


def test_few_images_with_targets_prove_as_little_as_they_are() -> None:
    """Of a hundred images ten have an object, and all are found: that is worth ten, and two prove nothing."""
    box = (10.0, 10.0, 50.0, 50.0, 1)
    ends = []
    for full in (100, 10, 2):
        targets, answers = [[box]] * full + [[]] * (100 - full), [[(*box, 0.9)]] * full + [[]] * (100 - full)
        ends.append(detected.evidence("map", answers, targets=targets).student.estimate.low)
    assert ends[0] == pytest.approx(98.8, abs=0.1)
    assert ends[1] is not None
    assert 80 < ends[1] < 90
    assert ends[2] is None
