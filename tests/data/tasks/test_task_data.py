"""What the data of all these tasks share: which task is meant, groups, ids, collating, and lists of several sizes."""

from __future__ import annotations

from collections.abc import Mapping
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


def test_pair_of_a_factory_is_read_as_the_file_says() -> None:
    """(inputs, targets) and the keys of [data] make the data of the task."""
    data = with_reading((IMAGES, MASKS), {"task": "segmentation", "ignore_index": 255})
    assert isinstance(data, SegmentationData)
    assert data.ignore_index == 255
