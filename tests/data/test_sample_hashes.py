"""The hash of each sample's id."""

from __future__ import annotations

import uuid

import numpy as np

from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.probes.answers.predictions import Outputs


def test_whole_numbers_of_64_bits_in_one_list() -> None:
    """Ids below and above 2**63 have no common type of numpy's; each keeps the hash that it has alone."""
    ids = [1, 2**63, 2**64 - 2]
    assert hashes_of(ids).tolist() == [int(hashes_of([one])[0]) for one in ids]
    assert (hashes_of(ids) == hashes_of(np.array(ids, dtype=np.uint64))).all()
    assert hashes_of([-3, 2**63]).tolist() == [*hashes_of([-3]).tolist(), *hashes_of([2**63]).tolist()]
    assert not len(hashes_of([]))


def test_ids_of_other_types_are_known_by_their_position() -> None:
    """Data in one piece may have any ids, such as UUIDs; intervals then follow from the order of samples."""
    outputs = Outputs(
        model="small",
        array=np.zeros(3),
        targets=None,
        ids=[uuid.uuid4() for _ in range(3)],
        nonfinite=np.zeros(3, dtype=np.int32),
        input_finite=np.ones(3, dtype=bool),
        classes=None,
        calls=1,
    )
    assert (outputs.hashes(slice(1, 3)) == hashes_of([1, 2])).all()
