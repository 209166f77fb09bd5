"""What the data of all these tasks share: which task is meant, groups, ids, collating, and lists of several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData
from pytest_modelbench.data.given import with_reading
from pytest_modelbench.data.tasks.names import ALL_TASKS
from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.errors import DataError

IMAGES = np.random.default_rng(0).random((6, 1, 4, 4))
MASKS = (IMAGES[:, 0] > 0.5).astype(int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "detecton"}, f"expected one of {', '.join(ALL_TASKS)}; did you mean 'detection'?"),
        ({"task": ["detection"]}, r"task: found \['detection'\], expected one of multiclass"),
        ({"ignore_index": 255}, "for segmentation or tagging. Write task='segmentation' or task='tagging'$"),
        ({"resize": "bilinear"}, "^resize= is for segmentation. Write task='segmentation'$"),
        (
            {"box_format": "xywh", "ignore_index": 255},
            "ignore_index= is for segmentation or tagging, and the other arguments are for detection. State task=, ",
        ),
        (
            {"task": "segmentation", "season": 24},
            "^season= is for forecasting, and the task is segmentation. Remove season=, or write task='forecasting'$",
        ),
        ({"task": "binary", "resize": "bilinear"}, "^resize= is for segmentation, and the task is binary. Remove"),
        ({"group": [0] * 6}, "takes no argument group=. Write task= one of text, detection, segmentation"),
        ({"task": "segmentation", "iggnore_index": 255}, "no argument iggnore_index=; did you mean ignore_index=?"),
    ],
)
def test_argument_of_another_task_says_which_task_to_write(arguments: Mapping[str, Any], message: str) -> None:
    """One message: whose the argument is, and what to write."""
    with pytest.raises(DataError, match=message):
        EvalData(IMAGES, MASKS, **arguments)


RAGGED = [np.full((1, 4 + at % 2, 4), at / 6) for at in range(6)]
RAGGED_MASKS = [np.zeros(image.shape[1:], dtype=int) for image in RAGGED]


class Stream:
    """Batches of lists, as a loader without an own collate_fn would not give them."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(RAGGED[start : start + 3], RAGGED_MASKS[start : start + 3]) for start in (0, 3)])


@pytest.mark.parametrize(
    "arguments", [(RAGGED, RAGGED_MASKS), (RAGGED, tuple(RAGGED_MASKS)), ((RAGGED, RAGGED_MASKS),), (Stream(),)]
)
def test_images_of_different_sizes_are_read_as_they_are(arguments: tuple[Any, ...]) -> None:
    """In lists, in a tuple of inputs and targets, and in batches of a stream."""
    data = EvalData(*arguments, task="segmentation", batch_size=3)
    read = [image for batch in data.batches() for image in batch.inputs]
    assert [image.shape for image in read] == [image.shape for image in RAGGED]
    assert [len(batch.targets) for batch in data.batches()] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "words", "message"),
    [
        (((image for image in RAGGED),), {}, "a generator can be read only once"),
        (([], []), {}, "the evaluation data is empty"),
        ((RAGGED, RAGGED_MASKS[:2]), {}, "there are 6 inputs and 2 targets"),
        ((RAGGED, RAGGED_MASKS), {"group": [1, 2]}, "there are 6 samples and 2 groups; expected one for each sample"),
        ((RAGGED, RAGGED_MASKS), {"group": iter([1])}, "group: found a list_iterator, expected a list"),
        ((RAGGED, RAGGED_MASKS), {"collate": 3}, "collate: found 3, expected a function of a list of samples"),
    ],
)
def test_data_that_cannot_be_read_are_refused(arguments: Any, words: Mapping[str, Any], message: str) -> None:
    """One message each, where the data are made."""
    with pytest.raises(DataError, match=message):
        EvalData(*arguments, task="segmentation", **words)


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (np.stack, "collate stack raised ValueError: all input arrays must have the same shape"),
        (lambda images: np.stack(images[:1]), r"collate <lambda> makes \(1, 1, 4, 4\) of 6 samples; expected a row"),
    ],
)
def test_collate_that_fails_is_named(collate: Any, message: str) -> None:
    """With what it raised, or with what it made."""
    with pytest.raises(DataError, match=message):
        list(EvalData(RAGGED, RAGGED_MASKS, task="segmentation", collate=collate).batches())


def test_pair_of_a_factory_is_read_as_the_file_says() -> None:
    """(inputs, targets) and the keys of [data] make the data of the task."""
    data = with_reading((IMAGES, MASKS), {"task": "segmentation", "ignore_index": 255})
    assert isinstance(data, SegmentationData)
    assert data.ignore_index == 255


def test_slices_of_masks_may_be_functions_of_the_images() -> None:
    """A class of data keeps what `EvalData` reads slices with."""
    data = EvalData(IMAGES, MASKS, task="segmentation", slices={"half": lambda images: images[:, 0, 0, 0] > 0.5})
    (grouping,) = data.slices()
    assert (grouping.codes == 0).tolist() == (IMAGES[:, 0, 0, 0] > 0.5).tolist()
