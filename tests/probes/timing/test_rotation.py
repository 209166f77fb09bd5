"""Blocks begin with batches that are spread over all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pytest_modelbench.probes.timing.rotation import Called, Rotation


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 16, 85, 256])
def test_every_batch_is_begun_with_equally_often(batches: int) -> None:
    """Over a whole turn each is the first of a block once, so that all weigh the same."""
    rotation = Rotation(batches)
    assert Counter(rotation.next() for _ in range(3 * batches)) == dict.fromkeys(range(batches), 3)


def test_few_blocks_are_spread_over_all_batches() -> None:
    """Any eight in a row leave no gap of more than a third."""
    rotation = Rotation(256)
    begun = [rotation.next() for _ in range(64)]
    for at in range(56):
        places = np.sort(begun[at : at + 8])
        assert np.diff([*places, places[0] + 256]).max() <= 86


def test_called_batches_are_counted() -> None:
    """Blocks go round at the end, and what is called twice counts once."""
    called = Called([0] * 10)
    called.note(8, 4)
    assert len(called) == 4
    called.note(9, 3)
    assert len(called) == 4
    called.note(0, 500)
    assert len(called) == 10
