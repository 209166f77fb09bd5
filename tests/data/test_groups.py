"""Groups and slices from arrays, columns, frames and functions; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench import EvalData
from pytest_modelbench.data.groups import coded, crossed, grouping
from pytest_modelbench.errors import DataError

FRAME = pd.DataFrame({"sex": ["f", "m", "f", "m"], "age": [20, 30, 40, 50], "y": [0, 1, 0, 1]})


def of(sensitive: Any, inputs: Any = None, **options: Any) -> list[tuple[str, tuple[str, ...], list[int]]]:
    data = EvalData(np.zeros((4, 1)) if inputs is None else inputs, sensitive=sensitive, **options)
    return [(one.name, one.names, one.codes.tolist()) for one in data.sensitive()]


@pytest.mark.parametrize(
    "sensitive",
    [
        {"sex": ["f", "m", "f", "m"]},
        {"sex": np.array(["f", "m", "f", "m"])},
        {"sex": pd.Series(["f", "m", "f", "m"])},
        pd.Series(["f", "m", "f", "m"], name="sex"),
        pd.DataFrame({"sex": ["f", "m", "f", "m"]}),
        {"sex": pd.Categorical(["f", "m", "f", "m"])},
    ],
    ids=["list", "array", "series in a mapping", "series", "frame", "categorical"],
)
def test_forms_of_a_feature(sensitive: Any) -> None:
    """One value per sample, however it comes."""
    assert of(sensitive) == [("sex", ("f", "m"), [0, 1, 0, 1])]


def test_texts_that_repeat_are_groups() -> None:
    """One for each sample: no column has two names."""
    assert of(["f", "m", "f", "m"]) == [("sensitive", ("f", "m"), [0, 1, 0, 1])]
    assert of(list(np.array(["f", "m", "m", "m"]))) == [("sensitive", ("f", "m"), [0, 1, 1, 1])]


@pytest.mark.parametrize("sensitive", ["sex", ["sex"], {"sex": "sex"}, {"sex": lambda inputs: inputs["sex"]}])
def test_columns_of_the_inputs(sensitive: Any) -> None:
    """By name, or through a function; the target's column is none of them."""
    assert of(sensitive, FRAME, target="y") == [("sex", ("f", "m"), [0, 1, 0, 1])]
    with pytest.raises(DataError, match="there is no column 'y' in the inputs; there are sex, age"):
        of("y", FRAME, target="y")


def test_functions_of_a_stream() -> None:
    """Read batch by batch where the inputs are not in memory."""
    batches = [(np.full((2, 1), value), np.zeros(2, dtype=int)) for value in (0.0, 1.0)]
    assert of({"kind": lambda inputs: inputs[:, 0] > 0.5}, batches) == [("kind", ("False", "True"), [0, 0, 1, 1])]


@pytest.mark.parametrize(
    ("sensitive", "words"),
    [
        ({"sex": ["f", "m"]}, "sensitive 'sex' has 2 values, and there are 4 samples; expected one per sample"),
        ({"sex": ["f", None, "m", None]}, "missing for 2 of 4 samples, the first at position 1"),
        ({"sex": [1.0, 2.0, np.nan, 1.0]}, "missing for 1 of 4 samples, the first at position 2"),
        ({"sex": pd.Series(["f", pd.NA, "m", "f"])}, "missing for 1 of 4 samples"),
        ({"sex": np.zeros((4, 2))}, "has shape \\(4, 2\\), expected one value per sample"),
        ({"sex": 3}, "found 3, expected one value per sample"),
        (7, "sensitive: found int, expected a mapping of names to arrays"),
        ("sex", "names a column, and the inputs are a ndarray. Give its values"),
    ],
    ids=["length", "None", "NaN", "NA", "two columns", "number", "no mapping", "column of an array"],
)
def test_what_is_no_feature(sensitive: Any, words: str) -> None:
    """Told with what was found and what was expected."""
    with pytest.raises(DataError, match=words):
        of(sensitive)


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=200), st.sampled_from(["int16", "int64", "float64"]))
def test_codes_are_numpys(values: list[int], dtype: str) -> None:
    """Sorted distinct values, and where each sample's stands, whether they were sorted for it or not."""
    array = np.array(values, dtype=dtype)
    names, codes = coded(array)
    distinct, inverse = np.unique(array, return_inverse=True)
    assert names == distinct.tolist()
    assert codes.tolist() == inverse.tolist()


def test_crossed_features() -> None:
    """Only combinations that occur."""

    def made(name: str, values: list[str]) -> Any:
        return grouping(name, np.array(values), np.asarray, "sensitive")

    both = crossed([made("sex", ["f", "m", "f"]), made("age", ["old", "old", "young"])])
    assert both.name == "sex & age"
    assert both.names == ("f & old", "f & young", "m & old")
    assert both.codes.tolist() == [0, 2, 1]
    assert both.sizes() == [1, 1, 1]
