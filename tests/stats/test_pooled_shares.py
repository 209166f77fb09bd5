"""Shares of what comes in clusters: closed forms, symmetry, and how often the intervals miss."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, stdtrit

from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.pooled_shares import pooled_difference, pooled_ratio, pooled_share

FloatArray = npt.NDArray[np.float64]
ALPHA = 0.05


def images(rng: np.random.Generator, n: int, share: float, alike: float) -> tuple[FloatArray, FloatArray]:
    """Return how many boxes of each image count, and how many it has: some images have most, and are alike inside."""
    wholes = rng.negative_binomial(1.2, 1.2 / 9.2, n).astype(np.float64)
    chances = rng.beta(share * alike, (1 - share) * alike, n)
    return rng.binomial(wholes.astype(int), chances).astype(np.float64), wholes


def test_single_things_have_nearly_wilsons_interval() -> None:
    """Clusters of one thing each are independent trials: 80 of 100, with Student's quantile and half of one more."""
    parts = np.repeat([1.0, 0.0], [80, 20])
    made = pooled_share((parts, np.ones(100)), ALPHA)
    variance = 0.8 * 0.2 / 99 + 0.5 * (0.8 / 100) ** 2
    trials = 0.16 / variance
    by_hand = share_interval(0.8 * trials, trials, float(ndtr(-stdtrit(99, 1 - ALPHA))))
    assert (made.value, made.low, made.high) == pytest.approx((0.8, by_hand.low, by_hand.high))
    wilson = share_interval(80, 100, ALPHA)
    assert (made.low, made.high) == pytest.approx((wilson.low, wilson.high), abs=0.01)


def test_equal_clusters_are_as_many_trials_as_clusters() -> None:
    """50 images whose boxes all count say no more than 50 trials: none of them has a bad image."""
    made = pooled_share((np.full(50, 10.0), np.full(50, 10.0)), ALPHA)
    assert made.high == 1
    assert made.low == pytest.approx(share_interval(50, 50, float(ndtr(-stdtrit(49, 1 - ALPHA)))).low)
    one = pooled_share((np.array([7.0, 0.0]), np.array([10.0, 0.0])), ALPHA)
    assert (one.low, one.high) == (0, 1)
    alone = pooled_difference((np.array([7.0]), np.array([10.0])), (np.array([7.0]), np.array([10.0])), ALPHA)
    assert (alone.low, alone.high) == (-math.inf, math.inf)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_what_counts_and_what_does_not_mirror_each_other(clusters: list[tuple[int, int]]) -> None:
    """The interval of the share of misses is that of hits, mirrored, holds its value, and lies in 0..1."""
    hits, misses = np.array(clusters, dtype=np.float64).T
    if (hits + misses).sum() == 0:
        return
    made, mirrored = (pooled_share((parts, hits + misses), ALPHA) for parts in (hits, misses))
    assert made.low is not None
    assert made.high is not None
    assert 0 <= made.low <= made.value <= made.high <= 1
    assert (made.low, made.high) == pytest.approx((1 - (mirrored.high or 0), 1 - (mirrored.low or 0)))


def test_a_pair_cancels_what_both_share() -> None:
    """Two models that are wrong in the same images differ less than their own intervals say; equal ones hardly."""
    rng = np.random.default_rng(3)
    parts, wholes = images(rng, 200, 0.8, 2)
    fewer = parts - (rng.random(200) < 0.1) * (parts > 0)
    gap, own = pooled_difference((fewer, wholes), (parts, wholes), ALPHA), pooled_share((parts, wholes), ALPHA)
    assert gap.high is not None
    assert own.high is not None
    assert gap.high < 0
    assert gap.high - gap.value < 0.3 * (own.high - own.value)
    same = pooled_difference((parts, wholes), (parts, wholes), ALPHA)
    used = np.count_nonzero(wholes)
    assert same.high == pytest.approx(np.sqrt(0.5) / used * stdtrit(used - 1, 1 - ALPHA))
    ratio = pooled_ratio((fewer, wholes), (parts, wholes), ALPHA)
    assert ratio is not None
    assert ratio.value == pytest.approx(fewer.sum() / parts.sum())
    assert ratio.high is not None
    assert ratio.high < 1
    assert pooled_ratio((parts, wholes), (np.zeros(200), wholes), ALPHA) is None


@pytest.mark.parametrize(("share", "alike"), [(0.98, 5), (0.8, 5), (0.98, 50)])
def test_intervals_miss_as_rarely_as_stated(share: float, alike: float) -> None:
    """At 5% a side, of 100 images with boxes in heavy-tailed numbers, at most 7% of sets miss on either side.

    Percentiles of resampled images miss 17% from above where the share is 98% (`docs/detection.md`).
    """
    rng = np.random.default_rng(8)
    parts, wholes = images(rng, 300_000, share, alike)
    truth, missed = parts.sum() / wholes.sum(), np.zeros(2)
    for _ in range(600):
        made = pooled_share(images(rng, 100, share, alike), ALPHA)
        missed += [truth < (made.low or 0), truth > (made.high or 1)]
    assert missed.max() / 600 < 0.07


def pair(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what student and teacher find in each image, of how many: the student loses 5%, most in few images."""
    wholes = rng.negative_binomial(1.2, 1.2 / 9.2, n)
    teacher = rng.binomial(wholes, rng.beta(4.25, 0.75, n))
    lost = rng.binomial(teacher, rng.beta(0.25, 4.75, n))
    return (teacher - lost).astype(np.float64), teacher.astype(np.float64), wholes.astype(np.float64)


def test_differences_miss_as_rarely_as_stated() -> None:
    """A loss in few images is a skewed difference: at 5% a side, at most 7% of sets miss it."""
    rng = np.random.default_rng(9)
    student, teacher, wholes = pair(rng, 300_000)
    truth, missed = (student.sum() - teacher.sum()) / wholes.sum(), np.zeros(2)
    for _ in range(1000):
        student, teacher, wholes = pair(rng, 100)
        made = pooled_difference((student, wholes), (teacher, wholes), ALPHA)
        missed += [truth < (made.low or 0), truth > (made.high or 0)]
    assert missed.max() / 1000 < 0.07


def test_a_skewed_difference_is_moved_towards_its_longer_tail() -> None:
    """Johnson's interval by hand: one of 20 images of one box each is lost, and half of one more that would be."""
    student, teacher = np.ones(20), np.ones(20)
    student[0] = 0
    influence = (student - teacher + 0.05) / 20
    variance = 20 / 19 * (influence**2).sum() + 0.5 / 20**2
    quantile = float(stdtrit(19, 1 - ALPHA))
    centre = -0.05 + (influence**3).sum() / variance * (1 + 2 * quantile**2) / 6
    made = pooled_difference((student, np.ones(20)), (teacher, np.ones(20)), ALPHA)
    ends = centre - quantile * math.sqrt(variance), max(centre + quantile * math.sqrt(variance), -0.05)
    assert (made.low, made.high) == pytest.approx(ends)


def test_the_least_share_bounds_what_one_more_cluster_can_do() -> None:
    """Overlaps of matched boxes are 0.5 at least: an unseen image moves 0.9 by 0.4 at most, not by 0.9."""
    parts = np.repeat([0.8, 1.0], 25)
    variance = 50 / 49 * ((parts - 0.9) ** 2).sum() / 50**2 + 0.5 * (0.4 / 50) ** 2
    trials = 0.09 / variance
    by_hand = share_interval(0.9 * trials, trials, float(ndtr(-stdtrit(49, 1 - ALPHA))))
    assert pooled_share((parts, np.ones(50)), ALPHA, 0.5).low == pytest.approx(by_hand.low)
