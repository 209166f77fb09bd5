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
from pytest_modelbench.errors import DataError, DoesNotFit

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
        ({"sex": ["f", float("nan"), "m", "f"]}, "missing for 1 of 4 samples, the first at position 1"),
        ({"sex": np.array(["f", float("nan"), "m", "f"])}, "missing for 1 of 4 samples"),
        ({"sex": ("f", np.float32("nan"), "m", None)}, "missing for 2 of 4 samples"),
        ({"sex": pd.Categorical(["f", None, "m", "f"])}, "missing for 1 of 4 samples"),
        ({"sex": pd.array(["f", None, "m", "f"], dtype="string")}, "missing for 1 of 4 samples"),
        ({"day": np.array(["2026-01-01", "NaT", "NaT", "2026-01-02"], dtype="M8[D]")}, "missing for 2 of 4 samples"),
        ({"age": np.ma.masked_values([20, 30, 99, 20], 99)}, "missing for 1 of 4 samples, the first at position 2"),
        ({"sex": lambda inputs: ["f", float("nan"), "m", "f"]}, "missing for 1 of 4 samples"),
        ({"sex": np.zeros((4, 2))}, "has shape \\(4, 2\\), expected one value per sample"),
        ({"sex": 3}, "found 3, expected one value per sample"),
        (7, "sensitive: found int, expected a mapping of names to arrays"),
        ("sex", "names a column, and the inputs are a ndarray. Give its values"),
    ],
    ids=[
        "length",
        "None",
        "NaN",
        "NA",
        "NaN among texts",
        "NaN made a text",
        "tuple",
        "categorical",
        "pandas texts",
        "NaT",
        "masked",
        "function",
        "two columns",
        "number",
        "no mapping",
        "column of an array",
    ],
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


@pytest.mark.parametrize(
    ("options", "names", "codes"),
    [
        ({"missing": "exclude"}, ("f", "m"), [0, -1, 1, -1]),
        ({"missing": "group"}, ("f", "m", "missing"), [0, 2, 1, 2]),
    ],
)
def test_missing_values_that_are_allowed(options: dict[str, Any], names: tuple[str, ...], codes: list[int]) -> None:
    """In no group, or in one of their own, whose name no value has; a gate's word goes before the data's."""
    sensitive = {"sex": ["f", None, "m", float("nan")]}
    assert of(sensitive, **options) == [("sex", names, codes)]
    data = EvalData(np.zeros((4, 1)), sensitive=sensitive, missing="error")
    assert data.sensitive(missing=options["missing"])[0].missing == 2
    with pytest.raises(DataError, match="missing='exclude'"):
        data.sensitive()
    ((_, taken, _),) = of({"sex": ["missing", None, "m", "m"]}, missing="group")
    assert taken == ("m", "missing", "(missing)")


def test_missing_values_of_crossed_features() -> None:
    """A sample that lacks one of two features is in none of their intersections."""
    data = EvalData(
        np.zeros((4, 1)), sensitive={"sex": ["f", None, "m", "m"], "age": [1, 1, 2, 1]}, missing="exclude"
    )
    assert crossed(data.sensitive()).codes.tolist() == [0, -1, 2, 1]


def test_a_feature_that_no_gate_asks_for_is_not_read() -> None:
    """So a fault in it stops nobody."""
    data = EvalData(np.zeros((4, 1)), sensitive={"sex": ["f", "m", "f", "m"], "age": [1, None, 2, 3]})
    assert data.sensitive_names() == ["sex", "age"]
    assert [one.name for one in data.sensitive(["sex"])] == ["sex"]


AGES = np.arange(100) * 0.9 + 1


@pytest.mark.parametrize(
    ("bins", "names", "sizes"),
    [
        (4, ("< 23.5", "23.5 to < 46", "46 to < 68.5", ">= 68.5"), [25, 25, 25, 25]),
        ([30, 50], ("< 30", "30 to < 50", ">= 50"), [33, 22, 45]),
        ({"age": (50.5,)}, ("< 50.5", ">= 50.5"), [55, 45]),
        ([30, 500, 600], ("< 30", "30 to < 500"), [33, 67]),
    ],
    ids=["number", "edges", "by feature", "empty bins"],
)
def test_bins(bins: Any, names: tuple[str, ...], sizes: list[int]) -> None:
    """Groups of about equal size or between edges; those without a sample are none."""
    (found,) = EvalData(np.zeros((100, 1)), sensitive={"age": AGES}, bins=bins).sensitive()
    assert len(found.names) == len(names)
    assert found.sizes() == pytest.approx(sizes, abs=1)
    if bins != 4:
        assert found.names == names


def test_bins_leave_few_numbers_and_texts_alone() -> None:
    """A feature of two values is two groups, however many bins the other features need."""
    data = EvalData(
        np.zeros((100, 1)), sensitive={"age": AGES, "sex": np.arange(100) % 2, "where": ["n", "s"] * 50}, bins=3
    )
    assert [len(one.names) for one in data.sensitive()] == [3, 2, 2]


def test_one_value_that_is_nearly_everybodys() -> None:
    """Quantiles that fall together make fewer bins, never one alone."""
    (found,) = EvalData(np.zeros((50, 1)), sensitive={"children": [0] * 45 + [1, 2, 3, 4, 5]}, bins=3).sensitive()
    assert found.names == ("< 1", ">= 1")
    assert found.sizes() == [45, 5]


def test_numbers_without_bins_are_no_groups() -> None:
    """Told with both ways to write it; slices of many numbers stay what they are."""
    data = EvalData(np.zeros((100, 1)), sensitive={"age": AGES}, slices={"age": AGES})
    with pytest.raises(DoesNotFit, match=r"'age' has 100 different numbers.*Write bins=4 .* or bins=\[30, 50\]"):
        data.sensitive()
    assert len(data.slices()[0].names) == 100


@pytest.mark.parametrize("bins", [1, True, [], [50, 30], [1, 1], [1, float("nan")], "4", {"age": None}, 2.5])
def test_what_are_no_bins(bins: Any) -> None:
    """Told with what was found and what was expected, where the data are made."""
    with pytest.raises(DataError, match="bins: found .*, expected a number of groups"):
        EvalData(np.zeros((4, 1)), bins=bins)


@pytest.mark.parametrize("missing", ["drop", 3, ["group"]])
def test_what_is_no_word_for_missing(missing: Any) -> None:
    """The words are listed."""
    with pytest.raises(DataError, match="missing: found .*, expected one of error, exclude, group"):
        EvalData(np.zeros((4, 1)), missing=missing)
