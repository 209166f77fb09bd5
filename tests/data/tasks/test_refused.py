"""Targets, groups and outputs that cannot be read: one message each, which names the place and what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tag_tables import Taggers

from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.results import Evidence
from pytest_modelbench.settings import Settings

N = 4
BOXES = np.array([[10.0, 10, 30, 30], [5, 5, 25, 40]])
TARGET = {"boxes": BOXES, "labels": np.array([0, 1])}
FOUND = {**TARGET, "scores": np.array([0.9, 0.8])}
MASKS = np.arange(N * 6).reshape(N, 2, 3) % 2
LOGITS = np.stack([MASKS == 0, MASKS == 1], axis=1).astype(float)
TAGS = [["O", "B-X"]] * N
VALUES = np.arange(N * 3, dtype=float).reshape(N, 3)
RELEVANCE = np.array([[1, 0, 2]] * N)
KPIS = {
    "detection": ("map", ">= 1%"),
    "segmentation": ("mean_iou", ">= 1%"),
    "tagging": ("token_accuracy", ">= 1%"),
    "forecasting": ("forecast_mae", "<= 99"),
    "ranking": ("ndcg", ">= 1%"),
}
TARGETS: Mapping[str, Any] = {
    "detection": [TARGET] * N, "segmentation": MASKS, "tagging": TAGS, "forecasting": VALUES, "ranking": RELEVANCE,
}  # fmt: skip
OUTPUTS: Mapping[str, Any] = {
    "detection": [FOUND] * N, "segmentation": LOGITS, "tagging": TAGS, "forecasting": VALUES, "ranking": RELEVANCE * 0.5,
}  # fmt: skip


def judged(
    task: str, targets: Any = None, output: Any = None, kpi: tuple[str, ...] = (), options: Any = None, **data: Any
) -> Evidence:
    """Return the evidence of a gate on a model that answers all samples with one output."""
    answer = OUTPUTS[task] if output is None else output
    model: Callable[[Any], Any] = lambda _: answer  # noqa: E731 - a model is a function
    if not data.get("relevant"):
        targets = TARGETS[task] if targets is None else targets
    eval_data = EvalData(np.zeros((N, 3, 50, 50)), targets, task=task, **data)
    gate = assigned(read_gate(kpi or KPIS[task], options or {}))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    result, judgement = session.judge(plan, gate, Taggers(model, lambda _: OUTPUTS[task], eval_data))
    if judgement is None:
        raise MeasurementError(result.reason)
    return judgement.evidence


@pytest.mark.parametrize("task", KPIS)
def test_usual_forms_are_read(task: str) -> None:
    """What the other tests change is fine as it is; targets may be a tuple or an array of objects, too."""
    reference = judged(task).student.value
    listed = list(TARGETS[task])
    objects = np.empty(N, dtype=object)
    objects[:] = listed
    assert judged(task, tuple(listed)).student.value == judged(task, objects).student.value == reference


@pytest.mark.parametrize("task", KPIS)
def test_a_tuple_of_targets_as_long_as_a_batch_is_not_taken_for_heads(task: str) -> None:
    """Heads would be cut to the batch: the sample has more boxes, tokens or items than the batch has samples."""
    data = EvalData(np.zeros((2, 3, 50, 50)), tuple(TARGETS[task][:2]), task=task)
    (batch,) = data.batches()
    assert isinstance(batch.targets, list)


def detected(**parts: Any) -> Any:
    return [{**FOUND, **parts}] * N


def aimed(**parts: Any) -> Any:
    return [{**TARGET, **parts}] * N


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("detection", aimed(iscrowd=[2, 0]), "the sample 0: found iscrowd [2, 0] in its target, expected 0 or 1"),
        ("detection", aimed(iscrowd=["0", "0"]), "found iscrowd ['0', '0'] in its target"),
        ("detection", aimed(iscrowd=[np.nan, 0]), "found iscrowd [nan, 0.0] in its target"),
        ("detection", aimed(area=[-5, 4]), "an area of its target is not a finite number of at least 0"),
        ("detection", aimed(area=["x", "y"]), "an area of its target is not a finite number of at least 0"),
        ("detection", aimed(orig_size=(1, 2, 3)), "found (1, 2, 3) as the size of an image, expected its height"),
        ("detection", aimed(orig_size="x"), "found 'x' as the size of an image"),
        ("detection", aimed(orig_size=(0, 50)), "found (0, 50) as the size of an image"),
        ("detection", aimed(labels=np.array([2**63, 1], dtype=np.uint64)), "the target has the label 9223372036854775808"),
        ("segmentation", MASKS * 255, "write ignore_index=255; if they are the class 1, give masks // 255"),
        ("tagging", [["O", float("nan")]] * N, "the sample 0: the tag of the token 1 is missing"),
        ("ranking", [np.array([1.0, np.inf, 0])] * N, "the sample 0: found infinite relevance"),
        ("ranking", [np.array([[1, 0, 2]])] * N, "the sample 0: found relevance of shape (1, 3)"),
    ],
)  # fmt: skip
def test_targets(task: str, targets: Any, message: str) -> None:
    with pytest.raises((MeasurementError, DataError), match=re.escape(message)):
        judged(task, targets)


@pytest.mark.parametrize("bad", [np.array(1.0), "x", 1.0])
@pytest.mark.parametrize("task", [task for task in KPIS if task != "segmentation"])
def test_single_values_are_no_outputs(task: str, bad: Any) -> None:
    with pytest.raises(MeasurementError, match=r"^student returned .*expected "):
        judged(task, output=bad)


@pytest.mark.parametrize("bad", [[None] * N, np.array([None] * N)])
@pytest.mark.parametrize("task", KPIS)
def test_what_is_not_an_array_names_the_model(task: str, bad: Any) -> None:
    with pytest.raises(MeasurementError, match=r"^student"):
        judged(task, output=bad)


@pytest.mark.parametrize(
    ("task", "output", "message"),
    [
        ("detection", detected(scores=np.array([True, False])), "student returned scores of type bool for the sample 0"),
        ("detection", detected(scores=np.array(["0.1", "0.2"])), "student returned scores of type <U3 for the sample 0"),
        ("detection", detected(scores=np.array([1j, 2j])), "student returned scores of type complex128"),
        ("detection", detected(labels=np.array([1e30, 0.0])), "student returned the class 1e+30 for the sample 0"),
        ("detection", detected(labels=np.array([2**60, 0])), "student returned the label 1152921504606846976"),
        ("detection", detected(labels=np.array([None, 0])), "student, the sample 0: labels: expected an array of numbers"),
        ("detection", [{}] * N, "student, the sample 0: found a mapping with nothing, expected 'boxes' and 'labels'"),
        ("detection", [None] * N, "student, the sample 0: detections: expected an array of numbers"),
        ("segmentation", LOGITS.astype(str), "student returned an output of shape (4, 2, 2, 3) and type <U32"),
        ("segmentation", LOGITS.astype(complex), "and type complex128, expected numbers"),
        ("segmentation", LOGITS[:, :0], "student returned an output of shape (4, 0, 2, 3)"),
        ("segmentation", MASKS - 1, "student returned labels from -1 to 0, expected 0 to 32,767"),
        ("tagging", [np.array([0, -1])] * N, "student returned the label -1 for a token that counts"),
        ("tagging", [np.array([0, 1])] * N, "student gives numbers, and targets are names. Write EvalData(..., classes="),
        ("ranking", {"scores": [1.0, None]}, "student returned"),
    ],
)  # fmt: skip
def test_outputs(task: str, output: Any, message: str) -> None:
    with pytest.raises(MeasurementError, match=re.escape(message)):
        judged(task, output=output)


def test_numbers_beside_a_model_that_gives_names() -> None:
    with pytest.raises(MeasurementError, match="targets are numbers, and student gives names"):
        judged("tagging", [[0, 1]] * N, output=TAGS)


def test_tags_that_no_target_has_are_noted() -> None:
    """An accuracy of 0 for both models is no drop: the note says why it is 0."""
    made = judged("tagging", output=[["o", "b-x"]] * N, kpi=("token_accuracy", "drop <= 99 pp"))
    assert made.student.value == 0
    assert "the student gives no tag that the targets have. Do both write them alike?" in made.notes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"task": "tagging", "ignore_index": "x"}, "ignore_index: found 'x', expected a whole number such as -100"),
        ({"task": "tagging", "ignore_index": [1]}, "ignore_index: found [1], expected a whole number"),
        ({"task": "tagging", "group": [[1]] * N}, "sample 0: group is [1], expected a string or a number"),
        ({"task": "detection", "group": ["a", None, "b", "b"]}, "sample 1: group is None"),
        ({"task": "ranking", "group": [1.0, 2.0, float("nan"), 3.0]}, "sample 2: group is nan"),
        ({"task": "forecasting", "series": [1, 1, None, 2]}, "sample 2: series is None"),
    ],
)
def test_arguments(words: dict[str, Any], message: str) -> None:
    task = words.pop("task")
    with pytest.raises(DataError, match=re.escape(message)):
        judged(task, **words)


def test_word_ids_of_another_form() -> None:
    with pytest.raises(MeasurementError, match="the sample 0: found 7 in word_ids, expected a list"):
        judged("tagging", word_ids=[7] * N)


@pytest.mark.parametrize("items", [None, "ab"])
def test_relevant_items_of_another_form(items: Any) -> None:
    with pytest.raises(DataError, match=r"relevant\[0\]: found .*, expected positions"):
        judged("ranking", relevant=[items] * N)
    sets = judged("ranking", relevant=[{2, 0}] * N).student.value
    assert sets == judged("ranking", relevant=[[0, 2]] * N).student.value


def test_numbers_of_numpy_name_classes() -> None:
    assert judged("detection", classes={np.int64(0): "cat", np.int64(1): "dog"}).breakdown[-1]["name"] == "class=dog"


@pytest.mark.parametrize("mask", [np.full((N, 3), "no"), np.full((N, 3), np.nan), np.ones((N, 2), dtype=bool)])
def test_masks_of_forecasts(mask: Any) -> None:
    with pytest.raises(MeasurementError, match="the sample 0: found a mask of"):
        judged("forecasting", mask=mask)


def test_a_mask_with_turned_axes_is_refused() -> None:
    values = np.arange(N * 6.0).reshape(N, 3, 2)
    with pytest.raises(MeasurementError, match=re.escape("found a mask of shape (2, 3) for values of shape (3, 2)")):
        judged("forecasting", values, output=values, mask=np.ones((N, 2, 3), dtype=bool))


def test_quantiles_along_the_wrong_one_of_two_equal_axes_are_refused() -> None:
    """Three steps and three quantiles: where levels rise along the steps only, the axes have changed places."""
    bands = np.stack([VALUES[:, ::-1] + shift for shift in (-1.0, 0.0, 1.0)], axis=-1)
    words: dict[str, Any] = {"quantiles": [0.1, 0.5, 0.9], "kpi": ("pinball", "<= 9")}
    right = judged("forecasting", VALUES[:, ::-1], output=bands, **words)
    assert right.student.value == pytest.approx(2 / 30)
    with pytest.raises(MeasurementError, match="Return \\(horizon, quantiles\\), the quantiles last"):
        judged("forecasting", VALUES[:, ::-1], output=bands.transpose(0, 2, 1), **words)


GROUPS = [0, 0, 1, 1]


@pytest.mark.parametrize("task", KPIS)
def test_groups_in_a_tensor_are_groups(task: str) -> None:
    """Two tensors of one number are different keys: every sample would be a group of its own."""
    data: Any = EvalData(np.zeros((N, 3, 50, 50)), TARGETS[task], task=task, group=torch.tensor(GROUPS))
    assert data.group == GROUPS


def test_series_in_a_tensor_are_series() -> None:
    expected = judged("forecasting", output=VALUES + VALUES**2, series=GROUPS).student.estimate
    tensor = judged("forecasting", output=VALUES + VALUES**2, series=torch.tensor(GROUPS)).student.estimate
    assert tensor == expected


def test_infinite_scores_have_no_largest_class() -> None:
    """As NaN: +inf, of which there may be several, and -inf for every class."""
    for number in (np.inf, -np.inf):
        scores = LOGITS.copy()
        scores[0, :, 0, 0] = number
        for output in (scores, torch.from_numpy(scores)):
            made = judged("segmentation", output=output, kpi=("pixel_accuracy", ">= 1%"))
            assert made.student.value == pytest.approx(100 * (4 * 6 - 1) / (4 * 6))
        tags = [np.array([[0.0, 1.0], [number, number]])] * N
        with pytest.raises(MeasurementError, match="student gives NaN or infinite outputs"):
            judged("tagging", [[0, 1]] * N, output=tags)
