"""What a model returns becomes an array at one place: the documented value, or one clear error."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline

from pytest_modelbench.data.arrays import output_array, shapes
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.fake import FakeModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.answers.predictions import collect_outputs

VALUES = np.array([[0.5, -1.0], [2.0, 0.0]], dtype=np.float32)
TENSOR = torch.from_numpy(VALUES)


@pytest.mark.parametrize(
    "make",
    [
        TENSOR.to_sparse,
        TENSOR.to_sparse_csr,
        lambda: sparse.csr_matrix(VALUES),
        lambda: sparse.coo_array(VALUES),
        lambda: torch.nested.nested_tensor([*TENSOR]),
        lambda: TENSOR.to(torch.float8_e4m3fn),
        lambda: torch.quantize_per_tensor(TENSOR, 0.5, 0, torch.qint8),
        (-TENSOR)._neg_view,
        lambda: TENSOR.clone().requires_grad_(),
        lambda: np.ma.masked_array(VALUES, mask=False),
        lambda: [*TENSOR],
    ],
    ids=[
        "sparse",
        "csr",
        "scipy",
        "scipy-coo",
        "nested",
        "float8",
        "quantised",
        "negative",
        "grad",
        "unmasked",
        "list",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_every_form_of_numbers_is_read(make: Any) -> None:
    """Sparse outputs become dense, packed ones floats, views what they show."""
    array = output_array(make())
    assert array.shape == (2, 2)
    assert np.array_equal(array, VALUES)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TENSOR.to(torch.complex64), "found complex ones, which have no order"),
        (lambda: torch.conj(TENSOR.to(torch.complex64)), "found complex ones, which have no order"),
        (lambda: VALUES + 1j, "found complex ones, which have no order"),
        (
            lambda: np.ma.masked_array(VALUES, mask=[[True, False], [False, False]]),
            "a masked array with masked values",
        ),
        (lambda: TENSOR.to("meta"), "on the meta device, which holds no values"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "found a tensor without numbers"),
    ],
    ids=["complex", "conjugate", "complex-array", "masked", "meta", "ragged"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_compared_is_refused(make: Any, words: str) -> None:
    """By the model's name and what it returned, whatever its own shape says."""
    with pytest.raises(ModelError, match=words):
        output_array(make())
    with pytest.raises(ModelError, match=f"student returned .*{words}"):
        collect_outputs(FakeModel(outputs=lambda _: make(), name="student"), EvalData(np.zeros((2, 1)), np.zeros(2)))


@pytest.mark.filterwarnings("ignore")
def test_nested_tensors_are_shown_by_their_length() -> None:
    """They have no shape, and a message must not raise."""
    assert shapes(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])) == "[2 items]"


@pytest.mark.parametrize("kind", [RandomForestClassifier, lambda **_: MultiOutputClassifier(LogisticRegression())])
def test_one_output_of_several_is_selected(kind: Any) -> None:
    """An estimator of several outputs gives one table for each: the user says which is judged."""
    x, y = make_multilabel_classification(n_samples=40, n_classes=3, random_state=0)
    model = adapt(kind(random_state=0).fit(x, y), Loading(name="student"))
    with pytest.raises(ModelError, match=r"student returned a tuple of 3, and none was selected. Write .*select=0"):
        collect_outputs(model, EvalData(x, y[:, 1]))
    outputs = collect_outputs(model, EvalData(x, y[:, 1], select=1))
    assert outputs.array.shape == (40, 2)
    assert list(outputs.classes or ()) == [0, 1]
    expected = model.estimator.predict_proba(x)[1]  # type: ignore[attr-defined]
    assert np.array_equal(outputs.array, expected)


def test_sparse_inputs_reach_the_pipeline_as_they_are() -> None:
    """Rows of a matrix in CSR form, as a vectoriser makes it."""
    texts = ["a good film", "a bad film", "good", "bad"]
    matrix = TfidfVectorizer().fit_transform(texts)
    estimator = make_pipeline(LogisticRegression()).fit(matrix, [1, 0, 1, 0])
    model = adapt(estimator, Loading(name="student"))
    assert np.array_equal(output_array(model(matrix[1:3])), estimator.predict_proba(matrix[1:3]))


@pytest.mark.parametrize(
    "dtype", ["datetime64[s]", "timedelta64[s]", [("a", "f4")]], ids=["dates", "spans", "records"]
)
def test_outputs_that_are_neither_numbers_nor_labels(dtype: Any) -> None:
    """Dates and records are refused where an output becomes an array."""
    with pytest.raises(ModelError, match="expected numbers or labels, found values of type"):
        output_array(np.zeros(3, dtype=dtype))


def test_an_output_that_has_every_attribute_becomes_an_array() -> None:
    """What `to_numpy()` returns is made an array too: a mock's is another mock, which numpy reads as empty."""
    found = output_array(MagicMock())
    assert isinstance(found, np.ndarray)
    assert found.shape == (0,)
