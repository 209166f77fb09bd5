"""What outputs mean: inferred where it is safe, asked for where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch import nn

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.data.arrays import rows
from pytest_modelbench.errors import DataError, ModelError
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.answers.meaning import Predictions, answers_of, interpret
from pytest_modelbench.probes.answers.predictions import collect_outputs, in_common, shown_ids

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(12, 3))
CHANCES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = np.arange(12) % 3
FLAGS = (LOGITS > 0).astype(int)
BINARY_OR_REGRESSION = (
    r"binary or regression\? Write EvalData\(..., task='binary', outputs='logits'\) \(or 'probabilities'\), "
    r"or EvalData\(..., task='regression'\)"
)


def read(found: Any, targets: Any, /, classes: list[Any] | None = None, **options: Any) -> Predictions:
    """Interpret fixed outputs for twelve samples."""
    data = EvalData(np.arange(12.0).reshape(12, 1), targets, batch_size=5, **options)
    model = FakeModel(lambda batch: found[np.asarray(batch)[:, 0].astype(int)], name="student")
    model.classes = classes
    return interpret(collect_outputs(model, data), data)


@pytest.mark.parametrize(
    ("outputs", "targets", "options", "task", "meaning"),
    [
        (LOGITS, LABELS, {}, "multiclass", "logits"),
        (CHANCES, LABELS, {}, "multiclass", "probabilities"),
        (CHANCES, LABELS, {"outputs": "probabilities"}, "multiclass", "probabilities"),
        (LABELS, LABELS, {}, "multiclass", "labels"),
        (np.array(list("abc"))[LABELS], np.array(list("abc"))[LABELS], {}, "multiclass", "labels"),
        (LOGITS[:, 0], LOGITS[:, 0], {}, "regression", "values"),
        (LOGITS[:, :1], LOGITS[:, 0], {}, "regression", "values"),
        (LOGITS, FLAGS, {}, "multilabel", "logits"),
        (LOGITS[:, 0], FLAGS[:, 0], {"task": "binary"}, "binary", "logits"),
        (CHANCES[:, 0], FLAGS[:, 0], {"task": "binary", "outputs": "probabilities"}, "binary", "probabilities"),
        (LOGITS, None, {}, "multiclass", "logits"),
        (LOGITS, LABELS.astype(float), {}, "multiclass", "logits"),
        (LOGITS, LOGITS * 2, {}, "regression", "values"),
        (LOGITS, LABELS[:, None] + np.arange(3), {}, "regression", "values"),
        (LOGITS[:, 0], np.arange(12), {}, "regression", "values"),
        (LOGITS[:, 0], FLAGS[:, 0] > 0, {}, "binary", "logits"),
        (LOGITS[:, :2], FLAGS[:, 0] > 0, {}, "multiclass", "logits"),
        (LOGITS.reshape(12, 3, 1), LOGITS.reshape(12, 3, 1), {}, "regression", "values"),
    ],
)
def test_meaning(outputs: Any, targets: Any, options: Any, task: str, meaning: str) -> None:
    """The only meaning that fits is taken."""
    predictions = read(outputs, targets, **options)
    assert (predictions.task, predictions.meaning) == (task, meaning)


@pytest.mark.parametrize(
    ("outputs", "targets", "options", "words"),
    [
        (LOGITS[:, 0], FLAGS[:, 0], {}, BINARY_OR_REGRESSION),
        (LOGITS[:, :1], FLAGS[:, 0].astype(float), {}, BINARY_OR_REGRESSION),
        (LOGITS[:, 0], None, {}, BINARY_OR_REGRESSION),
        (LABELS.astype(float), LABELS, {}, "multiclass or regression. Write .*outputs='labels'"),
        (LOGITS, FLAGS.astype(float), {}, "multilabel or regression"),
        (LOGITS, np.eye(3)[LABELS], {}, r"a single 1: one label per sample, or several. Write targets.argmax"),
        (LOGITS, CHANCES, {}, "adds up to 1: one label per sample, or numbers. Write targets.argmax"),
        (LOGITS[:, 0], np.array(list("ab"))[LABELS % 2], {}, r"classes 'a', 'b': .*classes=\[low, high\]"),
        (LOGITS[:, 0], np.array(list("abc"))[LABELS], {}, "no task fits. Expected one row of scores"),
        (LOGITS, np.array([FLAGS[:, 0]] * 2).T, {}, "no task fits. Expected one row of scores"),
        (
            np.zeros((12, 3, 4, 4)),
            np.zeros((12, 4, 4), int),
            {},
            r"no task fits. A label for each pixel .*kpi.record",
        ),
        (np.zeros((12, 5, 7)), np.zeros((12, 5), int), {}, "no task fits. A label for each pixel or token"),
        (np.zeros((12, 5, 7)), None, {}, "no task fits. A label for each pixel or token"),
        (np.zeros((12, 10)), FLAGS[:, 0] > 0, {}, "booleans, such as .* and student has 10 outputs"),
        (CHANCES[:, 0], FLAGS[:, 0], {"task": "binary"}, "one number in 0..1 per label: logits or probabilities"),
        (CHANCES, LABELS, {"outputs": "logits"}, "adds up to 1: these are probabilities"),
        (LOGITS, LABELS, {"outputs": "probabilities"}, "you declared outputs='probabilities', but values range from"),
        (CHANCES * 0.5, LABELS, {"outputs": "probabilities"}, "rows do not add up to 1"),
        (LOGITS, LABELS + 1, {}, r"targets outside the classes: found \[3\] in 4 of 12 samples, and student has 3"),
        (LOGITS, LABELS % 2, {"classes": [0, 1]}, "3 output columns and 2 classes"),
        (LOGITS, LOGITS[:, 0], {}, "no task fits. 3 outputs for each sample need labels"),
        (LOGITS, LOGITS[:, 0], {"task": "regression"}, r"outputs of shape \(12, 3\) do not fit targets of shape"),
        (LOGITS, LABELS, {"task": "multilabel"}, "do not fit targets"),
        (LOGITS, LABELS, {"outputs": "labels"}, "needs one label per sample"),
        (LOGITS[:, 0], LABELS, {"task": "multiclass", "outputs": "logits"}, "needs one column per class"),
        (LOGITS.reshape(12, 3, 1), LABELS, {"task": "multiclass"}, "needs one row of scores per sample"),
    ],
)
def test_meaning_that_is_not_clear(outputs: Any, targets: Any, options: Any, words: str) -> None:
    """Ambiguity and contradiction are asked about by name."""
    with pytest.raises(DataError, match=words):
        read(outputs, targets, **options)


def test_one_output_for_two_texts_needs_their_order() -> None:
    """With classes=, a high number means the second."""
    texts = np.array(list("ab"))[FLAGS[:, 0]]
    data = EvalData(np.arange(12.0).reshape(12, 1), texts, classes=["a", "b"])
    model = FakeModel(lambda batch: LOGITS[np.asarray(batch)[:, 0].astype(int), 0])
    assert interpret(collect_outputs(model, data), data).labels.tolist() == texts.tolist()


def test_columns_follow_the_models_own_classes() -> None:
    """An estimator whose classes are in another order, or are texts, is read by its labels."""
    names = np.array(["cat", "ant", "bee"])
    predictions = read(LOGITS, names[LABELS], classes=list(names))
    np.testing.assert_array_equal(predictions.labels, names[LOGITS.argmax(axis=1)])
    assert predictions.columns is not None
    assert predictions.columns.tolist() == ["ant", "bee", "cat"]
    assert predictions.scores is not None
    np.testing.assert_array_equal(predictions.scores[:, 2], LOGITS[:, 0])


def test_binary_logits_are_split_at_zero_and_probabilities_at_a_half() -> None:
    """A logit of 0.3 is a positive, a probability of 0.3 is not."""
    values = np.full(12, 0.3)
    assert set(read(values, FLAGS[:, 0], task="binary", outputs="logits").labels) == {1}
    assert set(read(values, FLAGS[:, 0], task="binary", outputs="probabilities").labels) == {0}


def test_nonfinite_rows_and_inputs_are_told_apart() -> None:
    """A NaN that came in is not the model's."""
    inputs = np.ones((4, 1))
    inputs[1] = np.nan
    model = FakeModel(lambda batch: np.where(np.isnan(batch) | (np.arange(len(batch)) == 2)[:, None], np.inf, batch))
    outputs = collect_outputs(model, EvalData(inputs, np.zeros(4)))
    assert outputs.nonfinite.tolist() == [0, 1, 1, 0]
    assert outputs.input_finite.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (lambda batch: np.zeros((len(batch) + 1, 3)), r"output of shape \(6, 3\) for a batch of 5 samples"),
        (lambda batch: np.float64(3), r"output of shape \(\) for a batch of 5 samples"),
        (
            lambda batch: np.zeros((len(batch), 3 if batch[0, 0] == 0 else 4)),
            r"changed the shape of its output from \(\*, 3\) to \(\*, 4\) at sample 5",
        ),
    ],
)
def test_output_of_the_wrong_shape(shape: Any, words: str) -> None:
    """Rows that do not fit the batch, or columns that change, are the model's fault."""
    with pytest.raises(ModelError, match=words):
        collect_outputs(FakeModel(shape, name="student"), EvalData(np.arange(12.0).reshape(12, 1), batch_size=5))


def test_what_bad_samples_have_in_common() -> None:
    """One class and one output column are named, many are not."""
    outputs = LOGITS.copy()
    outputs[LABELS == 1, 2] = np.nan
    raw = read(outputs, LABELS).outputs
    assert in_common(raw, np.flatnonzero(raw.nonfinite)) == ", all of class 1, in output column 2"
    raw = read(np.full((12, 3), np.nan), LABELS).outputs
    assert in_common(raw, np.flatnonzero(raw.nonfinite)) == ""


def test_few_ids_are_shown() -> None:
    """Ten ids, then how many more."""
    assert shown_ids(range(100), np.arange(3)) == ("0", "1", "2")
    assert shown_ids(range(100), np.arange(13))[-1] == "and 3 more"


def test_answers_of_raw_outputs() -> None:
    """As labels are read: the largest of several columns, one side of a threshold of one column."""
    column = LOGITS[:, :1]
    found = answers_of(read(column, LABELS % 2, task="binary", outputs="logits"))
    assert found is not None
    assert np.array_equal(found(column), column > 0)
    found = answers_of(read(CHANCES[:, 0], LABELS % 2, task="binary", outputs="probabilities"))
    assert found is not None
    assert np.array_equal(found(CHANCES[:, 0]), CHANCES[:, 0] > 0.5)
    found = answers_of(read(LOGITS, LABELS))
    assert found is not None
    assert np.array_equal(found(LOGITS), LOGITS.argmax(axis=1))
    assert answers_of(read(LABELS, LABELS)) is None
    assert answers_of(read(LOGITS[:, 0], LOGITS[:, 1], task="regression")) is None


def test_model_that_answers_into_one_buffer() -> None:
    """Every batch's answers are kept, not the last one's."""
    buffer = np.empty((5, 3))

    def answer(batch: Any) -> Any:
        rows = np.asarray(batch)[:, 0].astype(int)
        buffer[: len(rows)] = LOGITS[rows]
        return buffer[: len(rows)]

    data = EvalData(np.arange(12.0).reshape(12, 1), LABELS, batch_size=5)
    assert np.array_equal(collect_outputs(FakeModel(answer), data).array, LOGITS)


def test_numbers_are_no_texts() -> None:
    """Labels '0', '1' and 0, 1 are never equal: refused, instead of an accuracy of 0 for both models."""
    with pytest.raises(DataError, match="none of them is among the targets"):
        read(LABELS, LABELS.astype(str))


def test_frame_of_numbers_and_texts() -> None:
    """Read column by column: only the numbers can be NaN, or be written into."""
    frame = pd.DataFrame({"a": np.arange(12.0), "sex": ["f", "m"] * 6, "old": [True, False] * 6})
    frame.loc[3, "a"] = np.nan
    model = FakeModel(lambda batch: np.where(np.isnan(batch["a"]), np.nan, 1.0)[:, None] * np.ones((1, 3)))
    outputs = collect_outputs(model, EvalData(frame, LABELS, batch_size=5))
    assert np.flatnonzero(~outputs.input_finite).tolist() == [3]


def late(batch: Any) -> None:
    """Write into the batches whose first number is large."""
    if float(np.asarray(batch)[0, 0]) > 30:
        batch[:] = 0


class Relu(nn.Module):
    """Work on its input in place, as `ReLU(inplace=True)` does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu_()


@pytest.mark.parametrize(
    ("inputs", "write"),
    [
        (np.ones((40, 2)), lambda batch: batch.fill(0)),
        (np.arange(80.0).reshape(40, 2), late),
        (torch.arange(80.0).reshape(40, 2), late),
        ({"x": np.arange(80.0).reshape(40, 2)}, lambda batch: late(batch["x"])),
        ([(np.arange(80.0).reshape(40, 2), np.arange(40))], late),
        (pd.DataFrame({"a": np.arange(40.0)}), lambda batch: batch.__setitem__("new", 1)),
        (scipy.sparse.csr_matrix(np.ones((40, 2))), lambda batch: batch.data.fill(0)),
    ],
    ids=["first-batch", "later-batch", "tensor", "mapping", "stream", "frame", "sparse"],
)
def test_model_that_changes_its_inputs_is_found(inputs: Any, write: Any) -> None:
    """In the first batch, in a later one, and in every form of inputs; the model is to blame."""

    def answer(batch: Any) -> Any:
        count = rows(batch)
        write(batch)
        return np.zeros((count, 2))

    with pytest.raises(ModelError, match="student changed its inputs of shape .* in place") as caught:
        collect_outputs(FakeModel(answer, name="student"), EvalData(inputs, batch_size=8))
    assert caught.value.blames == "student"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_module_that_works_in_place_is_found_behind_a_cast(dtype: Any) -> None:
    """The copy in the module's own type protects the data, and a timed call would get other inputs each time."""
    data = EvalData(-np.ones((10, 2), dtype=dtype))
    with pytest.raises(ModelError, match="changed its inputs"):
        collect_outputs(TorchModel(Relu(), "student"), data)


def test_column_that_a_model_does_not_take() -> None:
    """The error of the call names the argument that says which columns it takes."""
    data = EvalData({"text": ["a", "b"], "idx": np.arange(2)})
    model = TorchModel(nn.Linear(1, 1), "student")
    with pytest.raises(ModelError, match=r"unexpected keyword argument .*EvalData\(..., columns=\['text'\]\)"):
        collect_outputs(model, data)


def test_rows_of_a_sparse_matrix_with_nan_are_told_apart() -> None:
    """A row with an entry that is not finite explains an output that is not."""
    inputs = scipy.sparse.csr_matrix(np.array([[0.0, 1], [0, 0], [np.nan, 2]]))
    model = FakeModel(lambda batch: np.log(batch.toarray().sum(axis=1)))
    with np.errstate(divide="ignore"):
        outputs = collect_outputs(model, EvalData(inputs))
    assert outputs.input_finite.tolist() == [True, True, False]
