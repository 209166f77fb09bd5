"""Parity of outputs: each row is a trap, with what other tools make of it; hand-worked cases, numpy and properties."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.pairing import chosen
from pytest_modelbench.exports.parity import Parity, compare, join, scale_of

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 3))
TWO = {"logits": LOGITS, "aux": LOGITS[:, :2] + 5}
NAN_CLASS = np.where(np.arange(3) == 1, np.nan, LOGITS)
SWAPPED = "'score' holds the values of 'box', 'box' holds the values of 'score' (labelled by position)"
OUTLIER = np.array([1.0] * 9 + [1e6])


def rows(tree: Any) -> int:
    first = tree if isinstance(tree, np.ndarray) else next(iter(tree.values() if isinstance(tree, dict) else tree))
    return len(first)


def found(reference: Any, candidate: Any) -> Parity:
    return compare(reference, candidate, rows=rows(reference))


BROKEN = {
    "3: NaN in the export, where torch.onnx.export(verify=True) prints a tick, because nan >= 5e-3 is False": (
        LOGITS,
        NAN_CLASS,
        "the output 'output': 6 of 18 values are not finite, and are in the reference",
    ),
    "4: an output is missing, where verify=True zips it away and Polygraphy answers True": (
        TWO,
        {"logits": LOGITS},
        "the output 'aux' is missing: found 'logits', expected 'logits', 'aux'",
    ),
    "4: the same of tuples": (
        tuple(TWO.values()),
        {"logits": LOGITS},
        "the output '1' is missing: found 1 ('logits'), expected 2 ('0', '1')",
    ),
    "4: an extra output, where Polygraphy answers True": (
        {"logits": LOGITS},
        TWO,
        "there is an extra output 'aux': expected 'logits'",
    ),
    "4: an extra output beside one bare array": (
        LOGITS,
        TWO,
        (
            "there is an extra output 'aux': found 2 ('logits', 'aux'), expected 1 ('output'). To compare it alone, write "
            "outputs=['logits']"
        ),
    ),
    "5: renamed outputs, where Polygraphy compares by index, or takes 'logits' for a part of 'aux_logits'": (
        {"logits": LOGITS},
        {"aux_logits": LOGITS},
        "outputs are renamed: found 'aux_logits', expected 'logits'",
    ),
    "6: labelled by position, outputs of two shapes, where a comparison by position passes": (
        {"score": LOGITS[:, :1], "box": LOGITS},
        {"box": LOGITS[:, :1], "score": LOGITS},
        "the output 'score' has shape (6, 3), expected (6, 1); " + SWAPPED,
    ),
    "8: NaN in the reference alone, where model_navigator records the tolerance (0.0, 0.0)": (
        np.array([1.0, np.nan]),
        np.array([1.0, 5.0]),
        "the output 'output': 1 of 2 values are NaN or infinite in the reference, and differ",
    ),
    "8: another infinity, whose difference is infinite over infinite": (
        np.array([1.0, np.inf]),
        np.array([1.0, -np.inf]),
        "the output 'output': 1 of 2 values are NaN or infinite in the reference, and differ",
    ),
    "12: shapes that broadcast, where np.allclose answers True": (
        np.ones((2, 3)),
        np.ones((2, 1)),
        "the output 'output' has shape (2, 1), expected (2, 3)",
    ),
    "12: floats where labels were, where Polygraphy compares int64 with float32": (
        np.array([1, 2]),
        np.array([1.0, 2.0]),
        "the output 'output' is of floats, expected integers",
    ),
}


@pytest.mark.parametrize("trap", BROKEN)
def test_a_broken_rule_is_an_infinite_parity(trap: str) -> None:
    """Rules come before the number, and say what was found and expected."""
    reference, candidate, words = BROKEN[trap]
    parity = found(reference, candidate)
    assert parity.broken == parity.as_words()
    assert parity.broken == words
    assert parity.value == math.inf
    assert parity.to_json()["value"] is None
    assert parity.outside(1.0, 1.0) == 1.0
    assert not parity.nothing


def test_trap_6_names_beat_positions() -> None:
    """Outputs of one shape under each other's name differ by name, and are said to be labelled by position."""
    other = LOGITS * 3 + 1
    parity = found({"score": LOGITS, "box": other}, {"box": LOGITS, "score": other})
    assert parity.value > 1
    assert "'box' holds the values of 'score'" in parity.mislabelled
    assert not found({"score": LOGITS, "box": other}, {"box": other, "score": LOGITS}).mislabelled
    by_position = found((LOGITS, other), {"out": LOGITS, "linear_1": other})
    assert (by_position.value, by_position.by_position) == (0.0, True)
    assert found((LOGITS, other), {"out": other, "linear_1": LOGITS}).mislabelled


@pytest.mark.parametrize("empty", [np.zeros((0, 3)), np.zeros((4, 0)), np.full((2, 2), np.nan)])
def test_trap_7_nothing_compared_is_no_agreement(empty: np.ndarray[Any, Any]) -> None:
    """Polygraphy and np.allclose answer True for zero elements."""
    assert np.allclose(empty, empty, equal_nan=True)
    parity = found(empty, empty.copy())
    assert parity.nothing
    assert not parity.broken
    assert parity.as_words() == "nothing was compared: the outputs have no finite elements"


def test_trap_8_equal_infinities_are_equal() -> None:
    """Polygraphy fails them: their difference is NaN."""
    values = np.array([1.0, np.inf, -np.inf, np.nan])
    parity = found(values, values.copy())
    assert (parity.value, parity.elements, parity.broken) == (0.0, 1, "")


def test_trap_9_zero_over_zero_hides_nothing() -> None:
    """model_navigator's relative tolerance is NaN for one zero in both, and 0.0 is recorded for an error of 300%."""
    parity = found(np.array([0.0, 1.0]), np.array([0.0, 4.0]))
    assert parity.value == 3 / (0.5 + 1)
    assert (parity.rtol, parity.max_abs, parity.worst_sample) == (3.0, 3.0, 1)


def test_trap_10_an_outlier_hides_no_error() -> None:
    """Allclose takes 9.0 at 1e6 by its rtol; a scale by the root mean square hides a 1 that became 4."""
    wrong = OUTLIER.copy()
    wrong[0] = 4.0
    assert found(OUTLIER, wrong).value == 1.5
    large = found(np.array([1.0, 1e6]), np.array([1.0, 1e6 + 9]))
    assert np.allclose([1.0, 1e6 + 9], [1.0, 1e6], atol=1e-5)
    assert large.max_abs == 9.0
    assert large.rtol == pytest.approx(9e-6)
    assert large.atol == 0.0
    root_mean_square = float(np.sqrt(np.mean(OUTLIER**2)))
    assert 3 / (root_mean_square + 1) < 1e-5


def test_trap_11_the_unit_of_logits_does_not_matter() -> None:
    """Optimum says "not close enough, max diff 0.003 (atol: 1e-05)" of logits of 300."""
    parity = found(np.array([300.0, 299.0, -301.0]), np.array([300.003, 299.0, -301.0]))
    assert parity.value == pytest.approx(5e-6)
    assert parity.as_words() == "as expected of float32 (<= 1e-05)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2e-7, "float32"), (3e-4, "float16"), (7e-3, "bfloat16"), (4e-2, "int8"),
        (0.4, "more than rounding explains (> 0.05)"), (1e31, "more than rounding explains"),
    ],
)  # fmt: skip
def test_words(value: float, words: str) -> None:
    """The smallest number type whose rounding explains it."""
    assert words in Parity(value=value).as_words()


@pytest.mark.parametrize(
    ("r", "scale"),
    [([1.0, -2.0, 4.0], 2.0), ([0.0, 0.0, 3.0], math.sqrt(3)), ([0.0, 0.0], 1.0), ([0.0, 0.0, 1e300], 1e300 / math.sqrt(3))],
)  # fmt: skip
def test_scale(r: list[float], scale: float) -> None:
    """The median; the root mean square of sparse outputs; 1 for those that are 0 everywhere: absolute differences."""
    assert scale_of(np.array(r)) == pytest.approx(scale)
    assert found(np.array(r), np.array(r)).value == 0.0


def test_an_output_of_zeros_is_compared_by_absolute_differences() -> None:
    """Nothing else says how large 1e-3 is."""
    assert found(np.zeros(4), np.array([0.0, 0.0, 1e-3, 0.0])).value == pytest.approx(1e-3)


def test_numbers_that_float64_cannot_subtract() -> None:
    """A difference that overflows does not become 0."""
    assert found(np.array([1e308]), np.array([-1e308])).value == pytest.approx(1.0)


def test_labels_are_equal_or_not() -> None:
    """Integers, truth values and texts: the share that differs, whatever their width."""
    labels = np.array([3, 1, 2, 0])
    parity = found(labels, np.array([3, 1, 2, 9], dtype=np.int32))
    assert (parity.value, parity.worst_sample, parity.max_abs) == (0.25, 3, 9.0)
    assert found(labels > 1, np.array([True, False, True, True])).value == 0.25
    assert found(np.array(["a", "b"]), np.array(["a", "c"], dtype=object)).value == 0.5
    assert found(labels, labels).as_words().startswith("as expected of float32")


def test_the_worst_output_and_sample_are_named() -> None:
    """Also if an output has not one row for each sample."""
    wrong = {"logits": LOGITS.copy(), "aux": TWO["aux"].copy()}
    wrong["aux"][4, 1] += 1
    parity = found(TWO, wrong)
    assert (parity.worst_output, parity.worst_sample) == ("aux", 4)
    assert [one.name for one in parity.outputs] == ["logits", "aux"]
    assert compare({"loss": np.array(1.0)}, {"loss": np.array(2.0)}, rows=3).worst_sample == -1


def test_argmax_agreement_is_the_least_of_all_outputs() -> None:
    """By rows of several values; none for vectors."""
    swapped = LOGITS.copy()
    swapped[0] = np.roll(swapped[0], 1)
    assert found(TWO, {**TWO, "logits": swapped}).argmax_agreement == pytest.approx(5 / 6)
    assert found(LOGITS[:, 0], LOGITS[:, 0]).argmax_agreement is None


def test_batches_are_joined_with_one_scale() -> None:
    """A batch of small values alone would make rounding look large; samples are counted through."""
    small, large = np.array([[1e-6], [1e-6]]), np.array([[1.0], [2.0], [3.0]])
    parts = [compare(small, small + 1e-7, rows=2), compare(large, large, rows=3)]
    whole = join(parts)
    assert max(part.value for part in parts) == pytest.approx(0.05)
    assert whole.value == pytest.approx(1e-7, rel=1e-3)
    assert (whole.samples, whole.elements) == (5, 5)
    assert (
        join([compare(large, large, rows=3), compare(large, large + np.array([[0], [5], [0]]), rows=3)]).worst_sample
        == 4
    )


def test_a_batch_that_breaks_a_rule_breaks_the_whole() -> None:
    """NaNs of all batches are counted; lengths that vary with the batch are joined."""
    parts = [compare(LOGITS, LOGITS, rows=6), compare(LOGITS, NAN_CLASS, rows=6)]
    assert join(parts).broken == "the output 'output': 6 of 36 values are not finite, and are in the reference"
    missing = [compare(TWO, TWO, rows=6), compare(TWO, {"aux": TWO["aux"]}, rows=6)]
    assert join(missing).broken.startswith("the output 'logits' is missing")
    assert join([compare(np.ones((2, n)), np.ones((2, n)), rows=2) for n in (3, 5)]).elements == 16
    changing = [compare({name: LOGITS}, {name: LOGITS}, rows=6) for name in "ab"]
    assert "the outputs change with the batch" in join(changing).broken


def test_forms_of_outputs() -> None:
    """Tensors, named tuples, lists of tensors, outputs of no value and inner trees."""
    Heads = namedtuple("Heads", "logits aux")  # noqa: PYI024 - as torch models have it
    tensor = torch.tensor(LOGITS)
    assert found({"logits": LOGITS}, Heads(tensor, None)).value == 0.0
    assert compare([tensor, tensor], {"a": LOGITS, "b": LOGITS}, rows=6).value == 0.0
    deep = compare({"h": (tensor, tensor)}, {"h.0": LOGITS, "h.1": LOGITS}, rows=6)
    assert deep.value == 0.0
    assert compare(tensor.half(), LOGITS, rows=6).as_words().startswith("as expected of float16")
    with pytest.raises(ModelError, match="the output 'cache' cannot be compared: .* outputs="):
        compare({"logits": tensor, "cache": object()}, {"logits": tensor}, rows=6)


def test_chosen_outputs() -> None:
    """Some of a mapping by name, of a tuple by position; others are not looked at, and a wrong name lists all."""
    assert list(chosen({"a": 1, "cache": object()}, ["a"], "m")) == ["a"]
    assert chosen((LOGITS, None, TWO), ["0"], "m") == (LOGITS,)
    assert chosen(LOGITS, ["probabilities"], "m") is LOGITS
    with pytest.raises(ModelError, match="m has no output 'b'. Its outputs are 'a', 'c'"):
        chosen({"a": 1, "c": 2}, ["b"], "m")


NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=1, max_size=20)


@settings(max_examples=50, deadline=None)
@given(NUMBERS, NUMBERS, st.floats(0.001, 1000))
def test_properties(r: list[float], g: list[float], factor: float) -> None:
    """The unit does not matter; the least tolerances are those that numpy.allclose takes; `outside` is numpy's rule."""
    size = min(len(r), len(g))
    a, b = np.array(r[:size]), np.array(g[:size])
    parity = compare(a, b, rows=size)
    if a.any():
        assert compare(a * factor, b * factor, rows=size).value == pytest.approx(parity.value, rel=1e-9)
    assert np.allclose(b, a, rtol=1e-5, atol=parity.atol * (1 + 1e-9) + 1e-12)
    if math.isfinite(parity.rtol):
        assert np.allclose(b, a, rtol=parity.rtol * (1 + 1e-9), atol=0)
    assert parity.outside(1e-3, 1e-3) == np.mean(~np.isclose(b, a, rtol=1e-3, atol=1e-3))
