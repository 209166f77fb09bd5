"""Forms in which masks and scores come, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench import EvalData
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.masks import packed, unpacked
from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.errors import DataError, ModelError

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 3, (2, 4, 6))
SCORES = np.eye(3, dtype=np.float32)[TARGETS].transpose(0, 3, 1, 2)
IMAGES = np.zeros((2, 3, 4, 6), dtype=np.float32)


def read(output: Any, targets: Any = TARGETS, **words: Any) -> list[np.ndarray[Any, Any]]:
    """Return the masks that an output is read as."""
    data = EvalData(IMAGES, targets, task="segmentation", **words)
    assert isinstance(data, SegmentationData)
    batch = next(data.batches())
    data.targets_of(batch)
    parts = data.answers_of(output, batch, "student")
    return [unpacked(mask, size) for mask, size in zip(parts["mask"], parts["size"], strict=True)]


FORMS: dict[str, Callable[[], Any]] = {
    "array": lambda: SCORES,
    "tensor that needs a gradient": lambda: torch.tensor(SCORES, requires_grad=True),
    "bfloat16": lambda: torch.tensor(SCORES, dtype=torch.bfloat16),
    "channels last": lambda: SCORES.transpose(0, 2, 3, 1),
    "channels last, tensor": lambda: torch.tensor(SCORES).permute(0, 2, 3, 1),
    "booleans": lambda: torch.tensor(SCORES) > 0,
    "out and aux of torchvision": lambda: {"out": torch.tensor(SCORES), "aux": torch.zeros(2, 3, 4, 6)},
    "logits of an output object": lambda: SimpleNamespace(logits=torch.tensor(SCORES)),
    "list of images": lambda: list(SCORES),
    "list of batches of one": lambda: [torch.tensor(SCORES[:1]), torch.tensor(SCORES[1:])],
    "labels": lambda: TARGETS,
    "labels of one channel": lambda: torch.tensor(TARGETS[:, None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_outputs(form: str) -> None:
    words = {"outputs": "labels"} if "channel" in form and "last" not in form else {}
    assert np.array_equal(read(FORMS[form](), **words), TARGETS)


@pytest.mark.parametrize(
    "targets",
    [
        TARGETS[:, None],
        TARGETS[..., None],
        TARGETS.astype(np.float32),
        torch.tensor(TARGETS),
        list(TARGETS),
        [torch.tensor(t)[None] for t in TARGETS],
        TARGETS == 1,
    ],
)
def test_forms_of_targets(targets: Any) -> None:
    data = EvalData(IMAGES, targets, task="segmentation")
    assert isinstance(data, SegmentationData)
    parts = data.targets_of(next(data.batches()))
    expected = TARGETS == 1 if getattr(targets, "dtype", None) is np.dtype(bool) else TARGETS
    assert np.array_equal([unpacked(*pair) for pair in zip(parts["mask"], parts["size"], strict=True)], expected)


@pytest.mark.parametrize(("outputs", "scores"), [("logits", [-2.0, 3.0]), ("probabilities", [0.4, 0.6])])
@pytest.mark.parametrize("axis", [True, False])
def test_one_channel(outputs: str, scores: list[float], axis: bool) -> None:
    """Values above 0 or 0.5 are of class 1."""
    values = np.array(scores)[(TARGETS == 1).astype(int)]
    assert np.array_equal(read(values[:, None] if axis else values, TARGETS == 1, outputs=outputs), TARGETS == 1)


def test_smaller_logits_are_interpolated_where_that_is_stated() -> None:
    """As torch does it without aligned corners."""
    small = torch.rand(2, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, (4, 6), mode="bilinear", align_corners=False)
    assert np.array_equal(read(small, resize="bilinear"), large.argmax(1))
    assert np.array_equal(read(small.numpy(), resize="bilinear"), large.argmax(1))


def test_resizing_keeps_what_has_the_size_of_a_target_and_takes_one_channel() -> None:
    """Channels last are not interpolated as if the height were classes; targets of a batch may differ in size."""
    assert np.array_equal(read(SCORES.transpose(0, 2, 3, 1), resize="bilinear"), TARGETS)
    masks = read(SCORES, [TARGETS[0], np.zeros((2, 3), dtype=int)], resize="bilinear")
    assert [mask.shape for mask in masks] == [(4, 6), (2, 3)]
    small = torch.tensor([[[-1.0, 1.0]], [[1.0, -1.0]]])
    halves = np.array([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]])[:, None].repeat(4, axis=1)
    assert np.array_equal(read(small, halves, resize="bilinear", outputs="logits"), halves)


def test_one_channel_last() -> None:
    """As Keras returns it."""
    assert np.array_equal(read((TARGETS == 1)[..., None] * 1.0, TARGETS == 1, outputs="probabilities"), TARGETS == 1)


def test_output_of_a_list_of_heads() -> None:
    """`select=` takes the head; without it, a list has an entry for each image, and here one too many each."""
    heads = [torch.zeros(2, 3, 4, 6), torch.tensor(SCORES)]
    assert np.array_equal(read(heads, select=1), TARGETS)
    with pytest.raises(ModelError, match="student returned masks of 4 images for 2"):
        read(heads)


@pytest.mark.parametrize("least", [-1, 0])
@pytest.mark.parametrize("most", [254, 255, 256, 32767])
def test_packed_masks(least: int, most: int) -> None:
    """A byte for each pixel where that is enough, and the same numbers."""
    mask = np.array([[least, 7, most]])
    assert np.array_equal(unpacked(*(parts[0] for parts in packed([mask]).values())), mask)


def test_nan_is_no_class() -> None:
    scores = SCORES.copy()
    scores[0, 1, 0, 0] = np.nan
    assert read(scores)[0][0, 0] == read(torch.tensor(scores))[0][0, 0] == -1


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        (SCORES[:, :, :2, :3], {}, "a mask of 2 by 3 pixels, and the target has 4 by 6.* or write resize='bilinear'"),
        (SCORES[:, :1], {}, "which values are of class 1.*outputs='logits'"),
        (np.zeros((2, 0, 4, 6)), {}, r"an output of shape \(2, 0, 4, 6\) and type float64, expected numbers"),
        (SCORES[:, 0] * 5, {"outputs": "probabilities"}, "but values range from 0 to 5. Use outputs='logits'"),
        (np.zeros((2, 2, 3, 40)), {"resize": "bilinear"}, "4 by 6: the classes seem to be last. To resize"),
        (TARGETS[:, :2, :3], {"resize": "bilinear"}, "the target has 4 by 6. Let the model return that size$"),
        (np.pad(SCORES, ((0, 0), (0, 0), (0, 1), (0, 1))), {}, "5 by 7 pixels.*without the padding of a batch"),
        (SimpleNamespace(masks_queries_logits=SCORES), {}, "masks of queries.*post_process_semantic_segmentation"),
        (SCORES[:, 0, 0], {}, r"an output of shape \(2, 6\), expected \(n, classes, height, width\)"),
        (SCORES[:1], {}, "student returned masks of 1 images for 2"),
        (list(SCORES) * 2, {}, "student returned masks of 4 images for 2"),
        (TARGETS - 5, {"outputs": "labels"}, "labels from -5 to -3, expected 0"),
        (SCORES[:, 0], {"outputs": "labels"}, "returned labels of shape .* and type float32"),
    ],
)
def test_outputs_that_do_not_fit(output: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(output, **words)


def with_class(number: int) -> np.ndarray[Any, Any]:
    targets = TARGETS.copy()
    targets[1, 0, 0] = number
    return targets


@pytest.mark.parametrize(
    ("targets", "words", "message"),
    [
        (
            with_class(255),
            {},
            "the sample 1: .* of the class 255, and student has 3 classes, 0 to 2.*ignore_index=255",
        ),
        (
            with_class(3),
            {},
            "of the class 3, and student has 3 classes, 0 to 2. Number the classes as the model does",
        ),
        (with_class(2), {"classes": ["a", "b"]}, "of the class 2, and classes= has 2 classes"),
        (SCORES, {}, r"found a mask of shape \(3, 4, 6\).*targets.argmax\(axis=1\)"),
        (TARGETS / 4, {}, "type float64 with the number 0.[25]+, expected whole numbers"),
        (np.full((2, 4, 6), np.nan), {}, "type float64 with the number nan, expected whole numbers"),
        (np.full((2, 4, 6), np.inf), {}, "the class inf, expected numbers below 32,768"),
        ((TARGETS == 1) * 255, {}, "ignore_index=255; if they are the class 1, give masks // 255"),
        (with_class(255), {"ignore_index": -1}, r"do not count either, write np.where\(masks == 255, -1, masks\)"),
        (TARGETS, {"outputs": "values"}, "outputs: found 'values', expected one of logits, probabilities, labels"),
        (with_class(70_000), {}, "the class 70000, expected numbers below 32,768"),
        (None, {}, "have no targets"),
        (TARGETS, {"ignore_index": "void"}, "ignore_index: found 'void', expected a whole number"),
        (TARGETS, {"resize": "cubic"}, "resize: found 'cubic', expected one of bilinear"),
        (TARGETS, {"ignore": 255}, "takes no argument ignore=; did you mean ignore_index="),
    ],
)
def test_data_that_do_not_fit(targets: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(SCORES, targets, **words)


def test_negative_class_of_a_model_that_returns_labels() -> None:
    with pytest.raises(DataError, match="the class -1, expected numbers from 0.*ignore_index=-1"):
        read(TARGETS, with_class(-1))
    assert read(TARGETS, with_class(-1), ignore_index=-1)


def test_number_of_pixels_that_do_not_count_of_a_model_that_returns_labels() -> None:
    """It is refused, if the model does not return it and the data do not name it."""
    with pytest.raises(DataError, match="the sample 1: .* class 255, and student returned no such pixel.*classes="):
        read(TARGETS, with_class(255))
    assert read(with_class(255), with_class(255))
    assert read(TARGETS, with_class(255), classes={0: "a", 1: "b", 2: "c", 255: "d"})


def test_images_of_different_sizes() -> None:
    """In a list, of a dataset, and of a loader that zips its samples."""
    images = [np.zeros((3, 4, 6), dtype=np.float32), np.zeros((3, 5, 5), dtype=np.float32)]
    masks = [np.ones((4, 6), dtype=int), np.zeros((5, 5), dtype=int)]
    pairs = list(zip(images, masks, strict=True))

    class Pairs(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return tuple(map(torch.from_numpy, pairs[index]))

    zipped = torch.utils.data.DataLoader(
        Pairs(), batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
    )
    for data in (
        EvalData(images, masks, task="segmentation"),
        EvalData(Pairs(), task="segmentation"),
        EvalData(zipped, task="segmentation"),
    ):
        assert isinstance(data, SegmentationData)
        batch: Batch = next(data.batches())
        assert [tuple(image.shape) for image in batch.inputs] == [(3, 4, 6), (3, 5, 5)]
        assert [size.tolist() for size in data.targets_of(batch)["size"]] == [[4, 6], [5, 5]]
