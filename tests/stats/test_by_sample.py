"""Means by sample: against scipy without the added samples, at the edges, and their coverage when answers are alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytest_modelbench.stats.by_sample import difference_by_sample, lost_p_by_sample, share_by_sample

CELLS, ALPHA = 30, 0.05


def test_of_many_samples_it_is_students_interval() -> None:
    """The few added samples vanish: scipy's t interval of the means."""
    means = np.random.default_rng(0).beta(3, 1, 200_000)
    expected = stats.t.interval(0.9, len(means) - 1, means.mean(), stats.sem(means))
    share = share_by_sample(means, ALPHA)
    assert (share.low, share.high) == pytest.approx(expected, abs=1e-5)
    differences = means - means[::-1]
    expected = stats.t.interval(0.9, len(means) - 1, differences.mean(), stats.sem(differences))
    difference = difference_by_sample(differences, ALPHA)
    assert (difference.low, difference.high) == pytest.approx(expected, abs=1e-5)


def test_all_alike_is_not_certain() -> None:
    """All right, or no difference at all, in 20 samples proves neither 100% nor 0 points; the value stays the plain one."""
    share = share_by_sample(np.ones(20), ALPHA)
    assert share.value == share.high == 1
    assert share.low == pytest.approx(0.87, abs=0.01)  # Wilson's of 20 single answers
    difference = difference_by_sample(np.zeros(20), ALPHA)
    assert difference.value == 0
    assert difference.high == -(difference.low or 0) > 0.05


def test_p_of_a_loss() -> None:
    """Scipy's paired test of many samples; 0.5 of none that differ; small for a clear loss."""
    differences = np.random.default_rng(1).normal(0.01, 0.2, 3000)
    expected = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert lost_p_by_sample(differences) == pytest.approx(expected, rel=0.05)
    assert lost_p_by_sample(np.zeros(30)) == 0.5
    assert lost_p_by_sample(np.full(30, 0.5)) < 1e-4


def answers(rng: np.random.Generator, n: int, right: float, alike: float) -> np.ndarray:
    """Return right answers (n, cells) of which the share `right` is; those to one sample are correlated by `alike`."""
    total = 1 / alike - 1
    chances = rng.beta(right * total, (1 - right) * total, n)
    return rng.random((n, CELLS)) < chances[:, None]


@pytest.mark.parametrize(("right", "alike"), [(0.9, 0.3), (0.97, 0.3), (0.995, 0.5), (0.6, 0.6), (0.9, 0.01)])
@pytest.mark.parametrize("n", [50, 300])
def test_each_side_of_a_share_errs_as_often_as_it_may(n: int, right: float, alike: float) -> None:
    """In 1,500 simulated data sets at most 5% on each side, within the noise of the simulation."""
    rng = np.random.default_rng(7)
    below = above = 0
    for _ in range(1500):
        estimate = share_by_sample(answers(rng, n, right, alike).mean(axis=1), ALPHA)
        below += right < (estimate.low or 0)
        above += right > (estimate.high or 0)
    assert below / 1500 <= 0.07
    assert above / 1500 <= 0.07


@pytest.mark.parametrize(("right", "alike"), [(0.9, 0.3), (0.99, 0.5), (0.6, 0.6)])
def test_answers_as_independent_err_far_more_often(right: float, alike: float) -> None:
    """What clustering is for (trap 18): an interval of single answers misses the truth several times as often."""
    rng = np.random.default_rng(8)
    own = single = 0
    for _ in range(600):
        table = answers(rng, 300, right, alike)
        estimate = share_by_sample(table.mean(axis=1), ALPHA)
        own += not (estimate.low or 0) <= right <= (estimate.high or 0)
        low, high = stats.binomtest(int(table.sum()), table.size).proportion_ci(0.9, "wilson")
        single += not low <= right <= high
    assert own / 600 <= 0.13
    assert single / 600 > 0.3


@pytest.mark.parametrize(("drop", "n"), [(0.0, 50), (0.0, 300), (0.04, 300), (0.2, 100)])
def test_each_side_of_a_paired_difference(drop: float, n: int) -> None:
    """Two models that share most of what makes a sample hard; the student is worse by `drop`."""
    rng = np.random.default_rng(9)
    below = above = 0
    for _ in range(1500):
        chances = rng.beta(2.1, 0.9, n)[:, None]
        noise = rng.random((n, CELLS))
        teacher = noise < chances
        student = np.where(rng.random((n, CELLS)) < 0.8, noise, rng.random((n, CELLS))) < chances
        student &= rng.random((n, CELLS)) >= drop / 0.7
        estimate = difference_by_sample(teacher.mean(axis=1) - student.mean(axis=1), ALPHA)
        below += drop < (estimate.low or 0) - 1e-12
        above += drop > (estimate.high or 0) + 1e-12
    assert below / 1500 <= 0.07
    assert above / 1500 <= 0.07
