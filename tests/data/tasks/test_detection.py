"""`DetectionData`: every usual form of targets and outputs gives the same boxes, and another form is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench import EvalData
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import DataError, ModelError

SIZES = ((100, 120), (80, 90), (60, 60))
IMAGES = [np.zeros((3, *size), dtype=np.float32) for size in SIZES]
CORNERS = [
    np.array([[10, 20, 50, 60], [0, 0, 30, 30]], np.float32),
    np.zeros((0, 4), np.float32),
    np.array([[5, 5, 25, 45]], np.float32),
]
LABELS = [np.array([1, 2]), np.zeros(0, int), np.array([2])]
SCORES = [np.array([0.9, 0.25], np.float32), np.zeros(0, np.float32), np.array([0.5], np.float32)]


def sides(boxes: Any) -> Any:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def centres(boxes: Any) -> Any:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def shares(boxes: Any, size: Sequence[int]) -> Any:
    return boxes / np.array([size[1], size[0], size[1], size[0]], np.float32)


def listed(*parts: tuple[str, Sequence[Any]], make: Callable[[Any], Any] = np.asarray) -> list[dict[str, Any]]:
    """Return a mapping for each image."""
    return [{name: make(values[image]) for name, values in parts} for image in range(len(IMAGES))]


def padded(values: Sequence[Any], width: int = 4, fill: float = 0) -> Any:
    """Return arrays of images under each other, filled up to `width` rows."""
    rows = [np.full((width, *np.shape(value)[1:]), fill, dtype=np.float32) for value in values]
    for row, value in zip(rows, values, strict=True):
        row[: len(value)] = value
    return np.stack(rows)


TARGETS = listed(("boxes", CORNERS), ("labels", LABELS))
SIX = [np.column_stack([*each[:1], each[1], each[2]]) for each in zip(CORNERS, SCORES, LABELS, strict=True)]
COCO = [
    [
        {"bbox": box.tolist(), "category_id": int(label), "iscrowd": 0, "area": float(box[2] * box[3])}
        for box, label in zip(sides(boxes), labels, strict=True)
    ]
    for boxes, labels in zip(CORNERS, LABELS, strict=True)
]
OF_DATASETS = [
    {"bbox": [entry["bbox"] for entry in image], "category": [entry["category_id"] for entry in image]}
    for image in COCO
]


def batch_of(data: Any, of: int | None = None) -> Batch:
    batch: Batch = next(iter(data.batches(of)))
    return batch


def read(targets: Any, **arguments: Any) -> Mapping[str, Any]:
    data: Any = EvalData(IMAGES, targets, task="detection", **arguments)
    return dict(data.targets_of(batch_of(data)))


def answers(output: Any, **arguments: Any) -> Mapping[str, Any]:
    data: Any = EvalData(IMAGES, TARGETS, **arguments)
    return dict(data.answers_of(output, batch_of(data), "student"))


def check(parts: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, arrays in expected.items():
        assert len(parts[name]) == len(arrays), name
        for array, right in zip(parts[name], arrays, strict=True):
            assert array.shape == right.shape, name
            np.testing.assert_allclose(array, right, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("targets", "arguments"),
    [
        (TARGETS, {}),
        (listed(("boxes", CORNERS), ("labels", LABELS), make=torch.as_tensor), {}),
        (listed(("boxes", [sides(boxes) for boxes in CORNERS]), ("labels", LABELS)), {"box_format": "xywh"}),
        (
            listed(
                ("boxes", [shares(centres(b), s) for b, s in zip(CORNERS, SIZES, strict=True)]),
                ("class_labels", LABELS),
                ("orig_size", SIZES),
            ),
            {"box_format": "cxcywh", "normalized": True},
        ),
        (COCO, {}),
        (OF_DATASETS, {}),
    ],
    ids=["torchvision", "tensors", "xywh", "detr", "coco", "datasets"],
)
def test_targets_of_every_form(targets: Any, arguments: Mapping[str, Any]) -> None:
    """All of them are (x1, y1, x2, y2) in pixels, with the area of the box."""
    parts = read(targets, **arguments)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in CORNERS]
    check(
        parts, {"boxes": CORNERS, "labels": LABELS, "area": areas, "crowd": [np.zeros(len(a), bool) for a in areas]}
    )
    assert {array.dtype.name for array in parts["boxes"]} == {"float32"}
    assert {array.dtype.name for array in parts["labels"]} == {"int64"}


def test_crowds_and_areas_are_those_of_the_targets() -> None:
    """The area of a segment is less than that of its box."""
    stated = {"boxes": CORNERS[0], "labels": LABELS[0], "iscrowd": [0, 1], "area": [700.0, 800.0]}
    parts = read([stated, *TARGETS[1:]])
    assert parts["crowd"][0].tolist() == [False, True]
    assert parts["area"][0].tolist() == [700.0, 800.0]


def test_targets_as_processors_of_hugging_face_give_them() -> None:
    """A loader of mappings: boxes are shares of the original image, and areas are pixels of the resized one."""
    labels = [
        {
            "class_labels": torch.tensor([1]),
            "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]]),
            "area": torch.tensor([50.0]),
            "orig_size": torch.tensor([100, 200]),
            "size": torch.tensor([50, 100]),
        }
        for _ in range(4)
    ]

    def collate(numbers: Any) -> Any:
        return {"pixel_values": torch.zeros(len(numbers), 3, 50, 100), "labels": [labels[i] for i in numbers]}

    numbers: Any = list(range(4))
    loaded = torch.utils.data.DataLoader(numbers, batch_size=2, collate_fn=collate)
    data: Any = EvalData(loaded, task="detection", box_format="cxcywh", normalized=True)
    parts = data.targets_of(batch_of(data, 2))
    np.testing.assert_allclose(parts["boxes"][0], [[80, 30, 120, 70]], rtol=1e-6)
    assert parts["area"][1].tolist() == [200.0]


class Results:
    """What a model of ultralytics returns for an image."""

    def __init__(self, rows: Any) -> None:
        rows = torch.as_tensor(rows)
        self.boxes = SimpleNamespace(xyxy=rows[:, :4], conf=rows[:, 4], cls=rows[:, 5].float())


DICTS = listed(("boxes", CORNERS), ("scores", SCORES), ("labels", LABELS))
BATCHED = {"boxes": padded(CORNERS), "scores": padded(SCORES), "labels": padded(LABELS)}
COUNTED = {
    "num_detections": np.array([[2], [0], [1]]),
    "detection_boxes": padded(CORNERS, fill=7),
    "detection_scores": padded(SCORES, fill=0.7),
    "detection_classes": padded(LABELS, fill=2),
}


@pytest.mark.parametrize(
    ("output", "arguments"),
    [
        (DICTS, {}),
        (listed(("boxes", CORNERS), ("scores", SCORES), ("labels", LABELS), make=torch.as_tensor), {}),
        (tuple(DICTS), {}),
        (SIX, {}),
        ([torch.as_tensor(rows) for rows in SIX], {}),
        (padded(SIX), {}),
        (torch.as_tensor(padded(SIX)), {}),
        ([Results(rows) for rows in SIX], {}),
        (BATCHED, {}),
        (COUNTED, {}),
        ({"boxes": CORNERS, "scores": SCORES, "labels": LABELS}, {}),
        (
            listed(
                ("boxes", [shares(sides(b), s) for b, s in zip(CORNERS, SIZES, strict=True)]),
                ("scores", SCORES),
                ("labels", LABELS),
            ),
            {"output_format": "xywh", "output_normalized": True},
        ),
        (
            [
                [{**entry, "score": float(score)} for entry, score in zip(image, scores, strict=True)]
                for image, scores in zip(COCO, SCORES, strict=True)
            ],
            {},
        ),
        ({"detections": DICTS, "features": 1}, {"select": "detections"}),
    ],
    ids=[
        *("dicts", "tensors", "tuple", "six", "six-tensors", "padded-six", "padded-six-tensor", "ultralytics"),
        *("padded", "counted", "ragged", "xywh-shares", "coco-results", "select"),
    ],
)
def test_outputs_of_every_form(output: Any, arguments: Mapping[str, Any]) -> None:
    """All of them are (x1, y1, x2, y2) in pixels, in the order of the model."""
    parts = answers(output, **arguments)
    check(parts, {"boxes": CORNERS, "scores": SCORES, "labels": LABELS})
    assert {array.dtype.name for array in parts["scores"]} == {"float32"}


def queries(columns: int) -> dict[str, Any]:
    """Return two queries for each image, whose classes are certain, and boxes as shares."""
    logits = np.full((len(IMAGES), 2, columns), -9.0, np.float32)
    logits[:, 0, 1], logits[:, 1, 2] = 9.0, 5.0
    boxes = np.tile(np.array([[0.5, 0.5, 0.2, 0.4], [0.25, 0.25, 0.5, 0.5]], np.float32), (len(IMAGES), 1, 1))
    return {"logits": logits, "pred_boxes": boxes}


@pytest.mark.parametrize("columns", [4, 3], ids=["no-object", "sigmoid"])
@pytest.mark.parametrize("make", [dict, lambda output: SimpleNamespace(**output)], ids=["mapping", "object"])
def test_queries_of_detr(columns: int, make: Callable[[Any], Any]) -> None:
    """The number of classes tells whether the last column is for no object; sizes are those of the images."""
    parts = answers(make(queries(columns)), classes=["cat", "dog", "bird"], max_detections=1)
    for image, (height, width) in enumerate(SIZES):
        first = 0.4 * width, 0.3 * height, 0.6 * width, 0.7 * height
        np.testing.assert_allclose(parts["boxes"][image][0], first, rtol=1e-5)
        assert parts["labels"][image][0] == 1
    chance = 1 / (1 + np.exp(-9.0)) if columns == 3 else np.exp(9.0) / (np.exp(9.0) + 3 * np.exp(-9.0))
    assert parts["scores"][0][0] == pytest.approx(chance, rel=1e-6)


def test_a_threshold_and_the_most_detections_of_a_class() -> None:
    """Detections below the threshold are left out, and the highest scores of each class in an image are kept."""
    rows = np.array(
        [[0, 0, 9, 9, score, label] for score, label in ((0.2, 1), (0.9, 1), (0.5, 1), (0.3, 2), (0.05, 2))]
    )
    parts = answers([rows, *SIX[1:]], score_threshold=0.1, max_detections=2)
    assert parts["scores"][0].tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert parts["labels"][0].tolist() == [1, 1, 2]


class Pairs(torch.utils.data.Dataset[Any]):
    """Images of different sizes with targets, as torchvision's datasets have them."""

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> Any:
        return torch.as_tensor(IMAGES[index]), {name: torch.as_tensor(v) for name, v in TARGETS[index].items()}


def loader(**arguments: Any) -> Any:
    return torch.utils.data.DataLoader(Pairs(), batch_size=2, **arguments)


@pytest.mark.parametrize(
    "data",
    [
        lambda: EvalData(loader(collate_fn=lambda batch: tuple(zip(*batch, strict=True))), task="detection"),
        lambda: EvalData(loader(collate_fn=lambda batch: list(zip(*batch, strict=True))), task="detection"),
        lambda: EvalData(Pairs(), task="detection"),
        lambda: EvalData([torch.as_tensor(image) for image in IMAGES], TARGETS),
    ],
    ids=["zipped", "list", "dataset", "images"],
)
def test_images_of_different_sizes(data: Callable[[], Any]) -> None:
    """A loader, a dataset and a list of images give lists of images, whose sizes are those of the boxes."""
    made = data()
    assert isinstance(made, DetectionData)
    parts = [made.targets_of(batch) for batch in made.batches(2)]
    assert [boxes.tolist() for part in parts for boxes in part["boxes"]] == [boxes.tolist() for boxes in CORNERS]
    assert tuple(batch_of(made, 2).inputs[1].shape) == (3, *SIZES[1])


XYWH = [sides(boxes) for boxes in CORNERS]


@pytest.mark.parametrize(
    ("targets", "arguments", "message"),
    [
        (
            listed(("boxes", [np.array([[60, 50, 30, 40]]), CORNERS[1], CORNERS[2]]), ("labels", [[1], [], [2]])),
            {"ids": ["a", "b", "c"]},
            (
                "the sample 'a': the target has the box [60, 50, 30, 40], whose x2 is less than its x1 (format xyxy). The "
                "numbers look like xywh: write box_format='xywh'"
            ),
        ),
        (
            listed(("boxes", [np.array([[10, 50, 30, 40]]), *CORNERS[1:]]), ("labels", [[1], [], [2]])),
            {},
            (
                "the sample 0: the target has the box [10, 50, 30, 40], whose y2 is less than its y1 (format xyxy). The "
                "numbers look like xywh: write box_format='xywh'"
            ),
        ),
        (
            listed(("boxes", [np.array([[70, 50, 110, 95]]), *CORNERS[1:]]), ("labels", [[1], [], [2]])),
            {"box_format": "xywh"},
            (
                "the sample 0: the target has the box [70, 50, 110, 95], which reaches out of the image of 120 x 100 "
                "pixels in the format xywh. The numbers look like xyxy: write box_format='xyxy'"
            ),
        ),
        (
            listed(("boxes", [np.array([[300, 20, 350, 60]]), *CORNERS[1:]]), ("labels", [[1], [], [2]])),
            {},
            (
                "the sample 0: the target has the box [300, 20, 350, 60], which reaches out of the image of 120 x 100 "
                "pixels in the format xyxy. Correct the box, state the format by box_format=, or, where boxes belong to "
                "another size than the inputs, add 'orig_size': (height, width) to the targets"
            ),
        ),
        (
            TARGETS,
            {"normalized": True},
            (
                "the sample 0: the target has the box [10, 20, 50, 60], expected shares of the image's sides from 0 to 1, "
                "as normalized=True states. For pixels write normalized=False"
            ),
        ),
        (
            listed(("boxes", [shares(b, s) for b, s in zip(CORNERS, SIZES, strict=True)]), ("labels", LABELS)),
            {},
            (
                "the targets have boxes from 0 to 0.75, less than a pixel. For shares of the image's sides write "
                "normalized=True"
            ),
        ),
        (
            listed(("boxes", [np.full((1, 4), np.nan), *CORNERS[1:]]), ("labels", [[1], [], [2]])),
            {},
            "the sample 0: a box of its target has NaN or infinite numbers. Leave this box out",
        ),
        (
            TARGETS,
            {"classes": ["cat", "dog"]},
            (
                "the sample 0: the target has the label 2, expected 0 to 1, as classes= states. If labels begin at 1, "
                "write classes={1: 'cat', 2: 'dog'}"
            ),
        ),
        (
            TARGETS,
            {"classes": ["cat", "__background__", "bird"]},
            (
                "the sample 0: the target has the label 1, which is '__background__': no box is around the background. "
                "Leave these boxes out, or correct classes="
            ),
        ),
        (
            TARGETS,
            {"classes": {1: "cat", 90: "dog"}},
            "the sample 0: the target has the label 2, expected 1, 90, as classes= states",
        ),
        (
            listed(("boxes", CORNERS), ("labels", [[1], [], [2]])),
            {},
            "the sample 0: found 2 boxes and labels of shape (1,); expected one each",
        ),
        (
            listed(("boxes", CORNERS), ("labels", [[1.5, 2.0], [], [2.0]])),
            {},
            "the sample 0: found the label 1.5 in its target, expected whole numbers, which classes= may name",
        ),
        (
            [CORNERS[0], CORNERS[1], CORNERS[2]],
            {},
            (
                "the sample 0: found an array of shape (2, 4) as its target, expected {'boxes': (k, 4), 'labels': (k,)}, "
                "or a list of {'bbox': (4,), 'category_id': ...} as COCO has them"
            ),
        ),
        (
            [[{"bbox": [1, 2, 3, 4]}], [], []],
            {},
            "the sample 0: found a mapping with 'bbox' in its list, expected {'bbox': (4,), 'category_id': ...}",
        ),
        (
            [[{"bbox": [1, 2, 3], "category_id": 1}], [], []],
            {},
            "the sample 0: found a bbox of 3 numbers, expected (x, y, width, height)",
        ),
        (
            TARGETS,
            {"box_format": "yolo"},
            "box_format: found 'yolo', expected one of xyxy, xywh, cxcywh",
        ),
        (TARGETS, {"score_threshold": 30}, "score_threshold: found 30, expected a number from 0 to 1"),
        (TARGETS, {"max_detections": 0}, "max_detections: found 0, expected an integer of at least 1"),
        (TARGETS, {"normalized": "yes"}, "normalized: found 'yes', expected True or False"),
        (
            TARGETS,
            {"boxformat": "xywh"},
            "EvalData(task='detection') takes no argument boxformat=; did you mean box_format=?",
        ),
    ],
)
def test_targets_of_another_form_are_refused(targets: Any, arguments: Mapping[str, Any], message: str) -> None:
    """By one message: which sample, what was found, what to write."""
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        read(targets, **arguments)


def changed(position: int, value: float) -> list[Any]:
    rows = [each.copy() for each in SIX]
    rows[0][0, position] = value
    return rows


@pytest.mark.parametrize(
    ("output", "arguments", "message"),
    [
        (
            changed(2, -5.0),
            {},
            (
                "the sample 0: student returned the box [10, 20, -5, 60], whose x2 is less than its x1 (format xyxy). "
                "Return boxes that begin before they end, or state their format by output_format="
            ),
        ),
        (
            [np.column_stack([sides(rows[:, :4]) * [1, 1, 0.2, 0.2], rows[:, 4:]]) for rows in SIX],
            {},
            (
                "the sample 0: student returned the box [10, 20, 8, 8], whose x2 is less than its x1 (format xyxy). The "
                "numbers look like xywh or cxcywh: write output_format='xywh' or output_format='cxcywh'"
            ),
        ),
        (
            [
                np.column_stack([shares(rows[:, :4], size), rows[:, 4:]])
                for rows, size in zip(SIX, SIZES, strict=True)
            ],
            {},
            (
                "student returned boxes from 0 to 0.75, and the targets are in pixels, up to 60. For shares of the "
                "image's sides write output_normalized=True"
            ),
        ),
        (
            SIX,
            {"output_normalized": True},
            (
                "the sample 0: student returned the box [10, 20, 50, 60], expected shares of the image's sides from 0 to "
                "1, as output_normalized=True states. For pixels write output_normalized=False"
            ),
        ),
        (
            [rows[:, [0, 1, 2, 3, 5, 4]] for rows in SIX],
            {},
            (
                "student returned the class 0.8999999761581421 for the sample 0, expected a whole number. The order of "
                "six columns is (x1, y1, x2, y2, score, class)"
            ),
        ),
        (
            changed(5, 3),
            {"classes": {1: "cat", 2: "dog"}},
            "the sample 0: student returned the label 3, expected 1, 2, as classes= states",
        ),
        (changed(5, -1), {}, "the sample 0: student returned the label -1, expected numbers from 0"),
        (SIX[:2], {}, "student returned a list of 2 for 3 images, expected a list with"),
        (np.zeros((3, 5)), {}, "student returned an array of shape (3, 5) for 3 images, expected a list with"),
        (np.zeros((3, 4, 7)), {}, "student returned an array of shape (4, 7) for the sample 0, expected a list with"),
        (TARGETS, {}, "student returned boxes without scores for the sample 0. Add 'scores': (k,)"),
        (
            {"boxes": padded(CORNERS), "labels": padded(LABELS)},
            {},
            "student returned a mapping with 'boxes', 'labels', without 'scores'; expected a list with",
        ),
        (
            {**BATCHED, "scores": BATCHED["scores"][:2]},
            {},
            "student returned {boxes: (3, 4, 4), scores: (2, 4), labels: (3, 4)} for 3 images, expected a list with",
        ),
        (
            queries(3),
            {},
            (
                "student returned logits with 3 columns, and classes= is not stated: is the last column for no object? "
                "Write classes=[...] with 2 names if it is (DETR, YOLOS), or with 3 if it is not (RT-DETR), or a mapping "
                "of numbers to names"
            ),
        ),
    ],
)
def test_outputs_of_another_form_are_refused(output: Any, arguments: Mapping[str, Any], message: str) -> None:
    """By one message: which sample, what was found, what to write."""
    with pytest.raises(ModelError, match="^" + re.escape(message)):
        answers(output, **arguments)


def test_a_single_tiny_detection_is_no_share() -> None:
    """A model may find nothing but a pixel in a corner."""
    tiny = np.array([[0, 0, 1, 1, 0.5, 1]], np.float32)
    assert answers([tiny, SIX[1], SIX[1]])["boxes"][0].tolist() == [[0, 0, 1, 1]]


def test_shares_of_images_of_unknown_size() -> None:
    """Inputs that are no images have no size: the targets must state it."""
    targets = [{"boxes": [[0.1, 0.1, 0.5, 0.5]], "labels": [1]}]
    data: Any = EvalData(np.zeros((1, 2)), targets, normalized=True, task="detection")
    with pytest.raises(DataError, match="the size of the image is unknown. Add it to the target: .*'orig_size'"):
        data.targets_of(batch_of(data))


def test_nan_of_a_model_stays() -> None:
    """A model that returns NaN is judged by `nonfinite_outputs`; KPIs of boxes name the sample."""
    parts = answers(changed(0, np.nan))
    assert np.isnan(parts["boxes"][0][0, 0])
