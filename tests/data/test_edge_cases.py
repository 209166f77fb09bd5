"""Edge cases are made from the inputs' shapes, dtypes and ranges, in every form that inputs have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pytest_modelbench.data.arrays import as_array, rows
from pytest_modelbench.data.case_names import BUILT_IN, GROUPS, register_edge_case
from pytest_modelbench.data.edge_cases import EdgeCase, input_range, make_case
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, NotApplicable, UsageMistake

IMAGES = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 6 - 1
TOKENS = {
    "input_ids": torch.tensor([[2, 5, 9, 0], [2, 7, 0, 0], [2, 3, 8, 9]] * 4),
    "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]] * 4),
}
FRAME = pd.DataFrame({"age": [30, 40, 50] * 4, "pay": [1.5, -2.5, 3.5] * 4, "town": ["a", "b", "c"] * 4})


def case(name: str, inputs: Any, own: Any = None) -> EdgeCase:
    data = EvalData(inputs)
    return make_case(name, data, input_range(data), lambda: None, own)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("zeros", lambda x: x == 0),
        ("ones", lambda x: x == 1),
        ("constant", lambda x: np.isclose(x, IMAGES.mean())),
        ("huge", lambda x: np.isclose(x, 1000 * IMAGES.abs().max())),
        ("tiny", lambda x: np.isclose(x, 1e-6 * IMAGES.abs().max(), rtol=1e-3)),
        ("denormal", lambda x: (x > 0) & (x < np.finfo(np.float32).tiny)),
        ("negative", lambda x: x == -np.abs(IMAGES[:8].numpy())),
        ("permuted", lambda x: x == IMAGES[:8].numpy()[::-1]),
        ("repeated", lambda x: x == IMAGES[:1].numpy()),
        ("non-contiguous", lambda x: x == IMAGES[:8].numpy()),
        ("batch-1", lambda x: x == IMAGES[:1].numpy()),
        ("odd-batch", lambda x: x == IMAGES[:7].numpy()),
    ],
)
def test_values_of_a_case(name: str, check: Any) -> None:
    """Every value is what the case's description says, in the inputs' own dtype."""
    made = case(name, IMAGES).inputs
    assert made.dtype == torch.float32
    assert made.shape[1:] == IMAGES.shape[1:]
    assert check(made.numpy()).all()


def test_ranges_are_those_of_the_whole_data() -> None:
    """The largest magnitude may stand in the last row."""
    inputs = np.zeros((1000, 2), dtype=np.float32)
    inputs[-1, 1] = -70
    assert case("huge", inputs).inputs.max() == 70_000


def test_poisoned_rows_stand_between_real_ones() -> None:
    """Every other row is NaN (or infinite); the others are real samples and say which."""
    for name, bad in (("nan", np.isnan), ("inf", np.isinf)):
        made = case(name, IMAGES)
        assert made.origin.tolist() == [0, -1, 2, -1, 4, -1, 6, -1]
        assert bad(made.inputs.numpy()[1::2]).all()
        assert torch.equal(made.inputs[::2], made.plain[::2])


def test_strided_in_memory() -> None:
    """Tensors and arrays are really not contiguous."""
    assert not case("non-contiguous", IMAGES).inputs.is_contiguous()
    assert not case("non-contiguous", IMAGES.numpy()).inputs.flags.c_contiguous


def test_origin_says_which_rows_are_real() -> None:
    """For reordered rows, the row of the plain batch that each one equals."""
    for name in ("permuted", "repeated", "non-contiguous"):
        made = case(name, IMAGES)
        assert torch.equal(made.inputs, made.plain[torch.as_tensor(made.origin)])


def test_empty_batch_keeps_the_shape_of_a_row() -> None:
    """No rows, in every form of inputs."""
    assert case("empty-batch", IMAGES).inputs.shape == (0, 1, 4, 4)
    assert case("empty-batch", FRAME).inputs.shape == (0, 3)
    assert rows(case("empty-batch", TOKENS).inputs) == 0


@pytest.mark.parametrize(
    ("name", "ids", "mask"),
    [
        ("no-tokens", np.zeros((8, 0)), None),
        ("one-token", TOKENS["input_ids"][:8, :1], TOKENS["attention_mask"][:8, :1]),
        ("padding-only", np.zeros((8, 4)), np.zeros((8, 4))),
        ("lowest-id", np.zeros((8, 4)), TOKENS["attention_mask"][:8]),
        ("highest-id", np.full((8, 4), 9), TOKENS["attention_mask"][:8]),
        ("unseen-id", np.full((8, 4), 10), TOKENS["attention_mask"][:8]),
    ],
)
def test_tokens(name: str, ids: Any, mask: Any) -> None:
    """Ids are changed and stay integers; masks only where padding is what the case is about."""
    made = case(name, TOKENS).inputs
    assert made["input_ids"].dtype == torch.int64
    assert np.array_equal(as_array(made["input_ids"]), as_array(ids))
    assert mask is None or np.array_equal(as_array(made["attention_mask"]), as_array(mask))


def test_longest_sequences_have_no_padding() -> None:
    """The padding id, found under the mask, is replaced, and the mask is all ones."""
    made = case("longest", {**TOKENS, "input_ids": TOKENS["input_ids"] + 1}).inputs  # padding is 1 here
    assert not (made["input_ids"] == 1).any()
    assert made["attention_mask"].all()


def test_frames_keep_what_is_no_number() -> None:
    """Numeric columns are filled in their own dtypes, texts stay."""
    made = case("huge", FRAME).inputs
    assert list(made.dtypes) == list(FRAME.dtypes)
    assert made["pay"].tolist() == [50_000.0] * 8
    assert made["town"].tolist() == FRAME["town"].tolist()[:8]


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("one-token", IMAGES, "is for integer sequences, and the inputs are floating-point"),
        ("zeros", TOKENS, "is for numbers, and the inputs are token ids"),
        ("zeros", ["a text", "another"], "is for numbers, and the inputs are no numbers"),
        ("nan", (IMAGES * 9).to(torch.uint8), "is for floating-point inputs, and the inputs are integers"),
        ("negative", (IMAGES * 9).to(torch.uint8), "is for signed inputs"),
        ("non-contiguous", ["a text", "another"], "is for arrays and tensors"),
    ],
)
def test_case_that_makes_no_sense_says_why(name: str, inputs: Any, words: str) -> None:
    """It is not applicable, which skips its item."""
    with pytest.raises(NotApplicable, match=words):
        case(name, inputs)


def test_integers_stay_in_their_range() -> None:
    """A thousand times the brightest byte is the brightest byte."""
    made = case("huge", torch.randint(0, 255, (9, 3, 2, 2), dtype=torch.uint8)).inputs
    assert made.dtype == torch.uint8
    assert (made == 255).all()


def test_data_are_not_written_into() -> None:
    """Making every case leaves the inputs as they were."""
    before = IMAGES.clone()
    for name in GROUPS["numbers"]:
        case(name, IMAGES)
    assert torch.equal(IMAGES, before)


def test_every_built_in_case_is_in_a_group() -> None:
    """So that a marker can ask for all that fit."""
    assert set(GROUPS["numbers"]) | set(GROUPS["tokens"]) == set(BUILT_IN)


def test_own_case_that_raises_is_a_fault_of_the_data() -> None:
    """The message names the case."""
    with pytest.raises(DataError, match="edge case 'night': the function raised ZeroDivisionError"):
        case("night", IMAGES, own=lambda inputs: 1 / 0)


@pytest.mark.parametrize("name", ["zeros", "numbers", "", 3])
def test_registered_name_must_be_new(name: Any) -> None:
    """A name that a built-in case or group has, or none at all, is refused at once."""
    with pytest.raises(UsageMistake, match="register_edge_case"):
        register_edge_case(name)


def test_half_precision_has_its_own_limits() -> None:
    """Huge stays finite, denormal stays above zero, in the inputs' own dtype."""
    for dtype in (torch.float16, torch.bfloat16):
        huge, denormal = (case(name, (IMAGES * 1000).to(dtype)).inputs for name in ("huge", "denormal"))
        assert torch.isfinite(huge).all()
        assert (denormal > 0).all()
        assert (denormal < torch.finfo(dtype).tiny).all()


def test_columns_of_a_frame_keep_their_dtypes() -> None:
    """NaN goes into floating columns only; bytes stay bytes; a nullable column is left alone."""
    frame = FRAME.assign(
        byte=pd.Series([1, 2, 3] * 4, dtype="uint8"), maybe=pd.array([1, None, 3] * 4, dtype="Int64")
    )
    poisoned = case("nan", frame).inputs
    assert poisoned["pay"].isna().tolist() == [False, True] * 4
    assert poisoned["age"].tolist() == frame["age"].tolist()[:8]
    assert case("huge", frame).inputs["byte"].tolist() == [255] * 8
    negative = case("negative", frame).inputs
    assert (negative["age"] < 0).all()
    assert negative["byte"].tolist() == frame["byte"].tolist()[:8]
    assert list(negative.dtypes) == list(frame.dtypes)


@pytest.mark.parametrize("inputs", [{"words": [[1, 2], [3]] * 6}, {"ids": TOKENS["input_ids"], "text": ["a"] * 12}])
def test_inputs_that_are_not_all_numbers(inputs: Any) -> None:
    """Ragged lists and texts beside ids break no case that does not need them."""
    assert rows(case("odd-batch", inputs).inputs) == 7
    assert rows(case("repeated", inputs).inputs) == 8


def test_own_case_that_returns_nothing() -> None:
    """Told as a fault of the case, also where it has no docstring."""
    with pytest.raises(DataError, match="edge case 'night': the function raised TypeError"):
        case("night", IMAGES, own=lambda inputs: None)
