"""Outputs of another model are told by an agreement that chance explains, and by nothing less."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_modelbench.exports.parity import compare, join
from pytest_modelbench.exports.unrelated import LEAST_ROWS

RANDOM = np.random.default_rng(0)
OURS, OTHERS = RANDOM.normal(size=(2, 256, 10))


def test_another_model_is_named() -> None:
    """Its argmax agrees as often as by chance; all batches count together."""
    parts = [compare(OURS[at : at + 32], OTHERS[at : at + 32], rows=32) for at in range(0, 256, 32)]
    assert not any(part.unrelated for part in parts)
    words = join(parts).unrelated
    assert words.startswith("the outputs 'output' are those of another model: their argmax agrees in ")
    agreement = 100 * np.mean(OURS.argmax(1) == OTHERS.argmax(1))
    assert f"agrees in {agreement:.3g}% of 256 rows, and chance gives " in words


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(OURS, OURS, id="the same"),
        pytest.param(OURS, OURS + 0.7 * OTHERS, id="a model that is often wrong"),
        pytest.param(OURS[: LEAST_ROWS - 1], OTHERS[: LEAST_ROWS - 1], id="too few rows"),
        pytest.param(OURS, np.eye(10)[np.zeros(256, dtype=int)], id="one class only"),
        pytest.param(OURS[:, :1], OTHERS[:, :1], id="one column"),
        pytest.param(OURS[:, 0], OTHERS[:, 0], id="no columns"),
    ],
)
def test_what_cannot_be_known_is_not_said(ours: np.ndarray, theirs: np.ndarray) -> None:
    """A worse model, too little data, a collapsed model and a regression are not another model."""
    assert not compare(ours, theirs, rows=len(ours)).unrelated


def test_permuted_outputs_are_mislabelled_only() -> None:
    """Two outputs with each other's names are one model's."""
    parity = compare({"a": OURS, "b": OTHERS}, {"a": OTHERS, "b": OURS}, rows=256)
    assert parity.mislabelled
    assert not parity.unrelated


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_agrees_in_part_is_never_another(seed: int) -> None:
    """With as many rows as parity compares by default, an agreement of 35% is not taken for chance."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, 256)
    kept = random.random(256) < 0.35
    other = np.where(kept, labels, random.integers(0, 10, 256))
    assert not compare(np.eye(10)[labels], np.eye(10)[other] * 1.5, rows=256).unrelated
