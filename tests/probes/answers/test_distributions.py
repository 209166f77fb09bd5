"""How answers are distributed, and what a later session counts of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.probes.answers.distributions import Distribution, drifted, of_numbers

CLASSES = Distribution(names=("0", "1"), counts=(3, 4))


def test_numbers_are_counted_between_deciles() -> None:
    """Ten intervals of equal counts, the last without an upper end."""
    distribution = of_numbers(np.random.default_rng(0).normal(size=1000))
    assert distribution.counts == (100,) * 10
    counted = drifted(distribution, np.array([-99.0, 99.0, 99.0]), 2)
    assert counted.clusters.sum(axis=0).tolist() == [1, *[0] * 8, 2]


def test_a_value_that_many_have_is_apart() -> None:
    """Less than a value that is several deciles is not that value."""
    distribution = of_numbers(np.array([1.0] * 90 + [0.5] * 10))
    counted = drifted(distribution, np.array([0.9, 1.0]), 1)
    assert len(set(np.flatnonzero(counted.clusters[0]))) == 2


def test_classes_are_compared_as_texts() -> None:
    """1 and '1' are one class; new ones are counted after the known ones."""
    counted = drifted(CLASSES, np.array(["1", "2", "1"]), 1)
    assert counted.clusters.tolist() == [[0, 2, 1]]
    assert counted.reference.tolist() == [3, 4, 0]
    assert counted.new == ("2",)
    assert drifted(CLASSES, np.array([1, 0]), 5).clusters.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(("distribution", "values"), [(CLASSES, ["cat"]), (of_numbers(np.arange(9)), ["cat"])])
def test_nothing_in_common(distribution: Distribution, values: list[str]) -> None:
    """Other classes, or labels against numbers: no distance means anything."""
    with pytest.raises(NotApplicable):
        drifted(distribution, np.array(values), 1)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"names": ["a"], "counts": [1, 2]},
        {"names": ["a", "a"], "counts": [1, 2]},
        {"names": ["a"], "edges": [1.0], "counts": [1]},
        {"edges": [2.0, 1.0], "counts": [1, 2, 3]},
        {"edges": [1.0], "counts": [1]},
        {"names": ["a"], "counts": [-1]},
        {"names": ["a"], "counts": [0]},
        {"names": ["a"], "counts": [True]},
        {"names": "a", "counts": [1]},
    ],
)
def test_what_was_altered_is_refused(content: dict[str, object]) -> None:
    """Names and counts that do not fit, edges out of order, counts that are none."""
    with pytest.raises(ValueError, match="a distribution has"):
        Distribution.from_json(content)


def test_through_json() -> None:
    """Floats come back as they were."""
    distribution = of_numbers(np.random.default_rng(0).normal(size=100).astype(np.float32))
    assert Distribution.from_json(json.loads(json.dumps(distribution.to_json()))) == distribution
