"""Detections beside those of the teacher and beside targets, at one threshold."""

from __future__ import annotations

import itertools
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import pytest
from detected import Box, Images, Measured, evidence, measured
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pytest_modelbench import EvalData
from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.detection import agreement_pairs
from pytest_modelbench.kpis.detection.agreement_pairs import detections, one_to_one, overlapping
from pytest_modelbench.kpis.detection.agreement_targets import judged
from pytest_modelbench.kpis.kpi import Question, evidence_for

CAT, DOG = 0, 1
LEFT, RIGHT, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)


def at(corners: tuple[int, ...], label: int = CAT, score: float = 0.9) -> Box:
    return (*corners, label, score)


def some(seed: int, images: int = 20, most: int = 6, wide: int = 24) -> Images:
    """Return boxes on a coarse grid, whose scores and overlaps often tie."""
    rng = np.random.default_rng(seed)

    def box() -> Box:
        x, y = rng.integers(0, wide, 2)
        width, height = rng.integers(4, 12, 2)
        return (x, y, x + width, y + height, int(rng.integers(0, 2)), float(rng.integers(0, 5)) / 4)

    return [[box() for _ in range(rng.integers(0, most + 1))] for _ in range(images)]


def test_agreement_by_hand() -> None:
    """Two of the four boxes of both have a partner: another class, and a low score, have none."""
    student = [[at(LEFT), at(FAR, DOG)], [at(LEFT, score=0.4)], []]
    teacher = [[at(RIGHT), at(FAR, CAT)], [], []]
    made = evidence("detection_agreement", student, teacher)
    assert made.student.value == pytest.approx(100 * 2 / 4)
    assert made.worst_samples == ("0",)
    assert made.notes == ("neither model detects anything in 2 of 3 images",)
    assert {row["name"]: (row["n"], row["student"]) for row in made.breakdown} == {
        "class=0": (3, pytest.approx(100 * 2 / 3)),
        "class=1": (1, 0.0),
    }
    low = evidence("detection_agreement", student, teacher, min_score=0.4)
    assert low.student.value == pytest.approx(100 * 2 / 5)
    assert evidence("detection_agreement", student, teacher, iou=0.85).student.value == 0


def test_agreement_takes_as_many_pairs_as_there_can_be() -> None:
    """The best overlap first would leave a box alone; equal scores and the order of boxes decide nothing."""
    student = [[at((0, 0, 10, 10)), at((0, 0, 10, 12))]]
    teacher = [[at((0, 0, 10, 11)), at((0, 0, 10, 18))]]
    for boxes in itertools.permutations(student[0]):
        for others in itertools.permutations(teacher[0]):
            assert evidence("detection_agreement", [boxes], [others], iou=0.6).student.value == 100
            assert evidence("detection_agreement", [others], [boxes], iou=0.6).student.value == 100


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_pairs_are_the_best_of_all_choices(seed: int) -> None:
    """Of few boxes all choices are tried: most pairs, then the largest overlap; and overlaps are pycocotools'."""
    sets = [detections(measured(some(seed + side, 1, 4, 12), [[]]), 0.0) for side in (0, 1)]
    pairs = overlapping(sets[0], sets[1], 0.3)
    table = np.zeros((len(sets[0]), len(sets[1])))
    if table.size:
        corners = [np.hstack([boxes.boxes[:, :2], boxes.boxes[:, 2:] - boxes.boxes[:, :2]]) for boxes in sets]
        table = masks.iou(*corners, [0] * len(sets[1])) * (sets[0].labels[:, None] == sets[1].labels)
    assert sorted(zip(pairs.first, pairs.second, strict=True)) == [tuple(row) for row in np.argwhere(table >= 0.3)]
    assert pairs.overlap == pytest.approx(table[pairs.first, pairs.second])
    best = (0, 0.0)
    edges = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.overlap.tolist(), strict=True))
    for size in range(1, 1 + min(table.shape)):
        for chosen in itertools.combinations(edges, size):
            if len({edge[0] for edge in chosen}) == len({edge[1] for edge in chosen}) == size:
                best = max(best, (size, sum(edge[2] for edge in chosen)))
    kept = one_to_one(pairs, sets[0])
    assert (len(kept.first), kept.overlap.sum()) == (best[0], pytest.approx(best[1]))


def test_pairs_do_not_depend_on_how_many_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three pairs give those of one part."""
    sets = [detections(measured(some(side, wide=12), [[]] * 20), 0.0) for side in (0, 1)]
    whole = overlapping(sets[0], sets[1], 0.2)
    monkeypatch.setattr(agreement_pairs, "MOST_AT_ONCE", 3)
    parts = overlapping(sets[0], sets[1], 0.2)
    assert len(whole.first) > 10
    assert np.array_equal(whole.first, parts.first)
    assert np.array_equal(whole.second, parts.second)


def test_a_student_that_answers_the_same_agrees() -> None:
    """Also in boxes without an area, and the interval then is Wilson's, one trial for each image with boxes."""
    images = [*some(1, 30), [at((5, 5, 5, 9))]]
    made = evidence("detection_agreement", images, images, min_score=0.0)
    assert made.student.value == 100
    assert made.student.estimate.low is not None
    assert 80 < made.student.estimate.low < 100
    assert evidence("box_iou", images, images, min_score=0.0).student.value == 100
    assert made.worst_samples == ()


def test_mean_overlap_by_hand() -> None:
    """Boxes that only one model detects do not count."""
    student = [[at(LEFT), at(FAR)], [at(FAR)]]
    teacher = [[at(RIGHT)], [at(FAR)]]
    made = evidence("box_iou", student, teacher)
    assert made.student.value == pytest.approx(100 * (0.8 + 1) / 2)
    assert made.worst_samples == ("0",)
    with pytest.raises(MeasurementError, match="no box of the student overlaps one of the teacher's class by 0.5"):
        evidence("box_iou", [[at(FAR)]], [[at(LEFT)]])


@pytest.mark.parametrize("kpi", ["detection_agreement", "box_iou"])
def test_a_teacher_that_detects_nothing_compares_nothing(kpi: str) -> None:
    """Two models that detect nothing do not agree by 100%."""
    with pytest.raises(MeasurementError, match="compares nothing: the teacher has no detection with a score of at l"):
        evidence(kpi, [[at(LEFT)]], [[at(LEFT, score=0.1)]])


def test_counts_at_a_threshold_by_hand() -> None:
    """One of two detections is right, of three targets one is found; a box on a crowd counts neither way."""
    targets: Images = [[(*LEFT, CAT), (*FAR, CAT), (20, 0, 50, 30, DOG, 1)], [(*LEFT, DOG)]]
    student = [[at(RIGHT), at((21, 1, 25, 5), DOG), at((0, 0, 4, 4), CAT)], [at(LEFT, DOG, 0.2)]]
    teacher = [[at(LEFT), at(FAR)], [at(LEFT, DOG)]]
    values = {
        name: evidence(name, student, teacher, targets)
        for name in ("detection_precision", "detection_recall", "detection_f1", "lost_detections")
    }
    assert values["detection_precision"].student.value == pytest.approx(50)
    assert values["detection_recall"].student.value == pytest.approx(100 / 3)
    assert values["detection_f1"].student.value == pytest.approx(100 * 2 / (2 + 3))
    assert values["lost_detections"].student.value == pytest.approx(100 * 2 / 3)
    assert values["lost_detections"].notes == ("the student finds 0 targets that the teacher misses",)
    assert values["lost_detections"].worst_samples == ("0", "1")
    teacher_f1 = values["detection_f1"].teacher
    assert teacher_f1 is not None
    assert teacher_f1.value == 100
    low = evidence("detection_recall", student, None, targets, min_score=0.2)
    assert low.student.value == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize(
    ("kpi", "student", "teacher", "targets", "reason"),
    [
        ("detection_precision", [], [(*LEFT, CAT, 1.0)], [(*LEFT, CAT)], "student is undefined: it has no detection"),
        (
            "detection_recall",
            [at(LEFT)],
            [],
            [(*LEFT, CAT, 1)],
            "student is undefined: there are no targets but crow",
        ),
        ("detection_f1", [], [], [], "student is undefined: there are neither"),
        ("lost_detections", [at(LEFT)], [at(FAR)], [(*LEFT, CAT)], "is undefined: the teacher finds no target"),
    ],
)
def test_nothing_to_divide_by_is_an_error_with_the_reason(
    kpi: str, student: list[Box], teacher: list[Box], targets: list[Box], reason: str
) -> None:
    """Never a silent zero, nor 100%."""
    with pytest.raises(MeasurementError, match=f"{reason}.*min_score=0.5, iou=0.5"):
        evidence(kpi, [student], [teacher], [targets])


def coco_counts(found: Images, targets: Images, iou: float) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """Return for each image and class what pycocotools finds: right, ignored and all detections, and found targets."""

    def entries(images: Images, last: str) -> list[dict[str, Any]]:
        return [
            {"image_id": image, "category_id": int(box[4]), "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]],
             "area": (box[2] - box[0]) * (box[3] - box[1]), "iscrowd": 0, "id": 1, last: box[5]}
            for image, boxes in enumerate(images) for box in boxes
        ]  # fmt: skip

    truth = COCO()
    annotations = [{**entry, "id": 1 + number} for number, entry in enumerate(entries(targets, "iscrowd"))]
    truth.dataset = {
        "images": [{"id": image} for image in range(len(targets))],
        "annotations": annotations,
        "categories": [{"id": CAT}, {"id": DOG}],
    }
    with redirect_stdout(StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(entries(found, "score")), "bbox")
        judge.params.iouThrs, judge.params.maxDets = np.array([iou]), [1000]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
    return {
        (image["image_id"], image["category_id"]): (
            int(((image["dtMatches"] > 0) & ~image["dtIgnore"]).sum()),
            int(image["dtIgnore"].sum()),
            len(image["dtIds"]),
            int(((image["gtMatches"] > 0) & (image["gtIgnore"] == 0)).sum()),
        )
        for image in judge.evalImgs
        if image is not None
    }


@pytest.mark.parametrize(("seed", "iou"), [(1, 0.5), (2, 0.3), (3, 0.75), (4, 0.1), (5, 0.5)])
def test_matching_is_that_of_pycocotools(seed: int, iou: float) -> None:
    """Image by image and class by class, with crowds, equal scores and equal overlaps."""
    found, objects = some(seed, 40), some(seed + 100, 40)
    targets = [[(*box[:5], float(box[5] > 0.7)) for box in image] for image in objects]
    ours = judged(measured(found, targets), 0.0, iou)
    theirs = coco_counts(found, targets, iou)
    assert any(counts[1] for counts in theirs.values())
    for (image, label), (right, ignored, total, hit) in theirs.items():
        mine = (ours.detections.image == image) & (ours.detections.labels == label)
        its = (ours.targets.image == image) & (ours.targets.labels == label)
        assert (ours.right[mine].sum(), mine.sum(), ours.hit[its].sum()) == (right, total - ignored, hit)


@pytest.mark.parametrize("others", [[[(*FAR, CAT)], [(*LEFT, CAT)]], [[(*LEFT, CAT)]]], ids=["order", "number"])
def test_other_samples_are_not_paired(others: Images) -> None:
    """A loader that shuffles gives each model its own order: images would be compared with other images."""
    objects: Images = [[(*LEFT, CAT)], [(*FAR, CAT)]]
    form: list[Any] = [{"boxes": [], "labels": []}] * 2
    answers = {
        "student": measured([[at(LEFT)]] * 2, objects),
        "teacher": measured([[at(LEFT)]] * len(others), others),
    }
    question = Question(kpi=CATALOGUE["detection_f1"], options=CATALOGUE["detection_f1"].options, with_teacher=True)
    data = EvalData(np.zeros((2, 1)), form, task="detection")
    with pytest.raises(DataError, match="the data gave model other samples, or another order, than model"):
        next(evidence_for(question, Measured(data, answers)))  # type: ignore[arg-type]


def test_the_threshold_of_the_data_is_that_of_the_gates() -> None:
    """A score that the data leave in counts, unless the gate states another."""
    images = [[at(LEFT, score=0.3)]]
    data = {"score_threshold": 0.25}
    targets = [[(*LEFT, CAT)]]
    assert evidence("detection_recall", images, None, targets, data=data).student.value == 100
    assert evidence("detection_recall", images, None, targets).student.value == 0
    assert evidence("detection_recall", images, None, targets, data=data, min_score=0.4).student.value == 0


def test_groups_widen_the_interval() -> None:
    """Frames of a video that are all alike are worth one."""
    student = [[at(LEFT)] if image % 3 else [at(FAR)] for image in range(60)]
    teacher = [[at(LEFT)]] * 60
    alone = evidence("detection_agreement", student, teacher).student.estimate
    frames = [image for image in student for _ in range(4)]
    videos = [video for video in range(60) for _ in range(4)]
    grouped = evidence("detection_agreement", frames, teacher * 4, data={"group": videos}).student.estimate
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.low == pytest.approx(alone.low)


def test_of_equal_overlaps_the_last_target_is_taken() -> None:
    """As in COCO: then nothing is left for the second detection, which overlaps this target alone."""
    targets: Images = [[(0, 0, 10, 10, CAT), (0, 4, 10, 14, CAT)]]
    between, low = at((0, 2, 10, 12), score=0.9), at((0, 6, 10, 16), score=0.8)
    assert evidence("detection_recall", [[between, low]], targets=targets).student.value == 50
    assert evidence("detection_recall", [[between, low]], targets=[targets[0][::-1]]).student.value == 100
