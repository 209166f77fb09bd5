"""Tango's interval, McNemar's test, the paired bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, stats

from pytest_modelbench.stats.paired import (
    bias_corrected,
    expanded,
    mcnemar_p,
    paired_bootstrap,
    percentiles,
    tango_interval,
)


def score_by_likelihood(lost: int, gained: int, n: int, delta: float) -> float:
    """Tango's score statistic with the nuisance share found by maximising the multinomial likelihood."""

    def negative_log_likelihood(share: float) -> float:
        cells = (lost, share + delta), (gained, share), (n - lost - gained, 1 - 2 * share - delta)
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    found = optimize.minimize_scalar(
        negative_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
    )
    variance = n * (2 * found.x + delta - delta**2)
    return (lost - gained - n * delta) / math.sqrt(variance)


@pytest.mark.parametrize(("lost", "gained", "n"), [(9, 3, 100), (1, 0, 40), (25, 25, 400), (0, 6, 80), (60, 2, 90)])
def test_ends_have_the_normal_quantile_as_score(lost: int, gained: int, n: int) -> None:
    """At each end the score statistic, computed by an independent maximisation, equals the normal quantile."""
    interval = tango_interval(lost, gained, n, 0.05)
    assert interval.low is not None
    assert interval.high is not None
    z = stats.norm.ppf(0.95)
    assert score_by_likelihood(lost, gained, n, interval.low) == pytest.approx(z, abs=2e-3)
    assert score_by_likelihood(lost, gained, n, interval.high) == pytest.approx(-z, abs=2e-3)


def test_no_discordant_pair_has_a_closed_form() -> None:
    """With b = c = 0 the ends are z²/(n + z²) on either side, worked by hand."""
    interval = tango_interval(0, 0, 50, 0.05)
    z2 = stats.norm.ppf(0.95) ** 2
    assert interval.value == 0
    assert interval.high == pytest.approx(z2 / (50 + z2))
    assert interval.low == pytest.approx(-z2 / (50 + z2))


@pytest.mark.parametrize(
    ("lost", "gained", "n", "low", "high"),
    [(1, 7, 21, -0.517, -0.026)],
    ids=["airway hyper-responsiveness, Fagerland et al., Stat. Med. 33:2850 (2014), table V"],
)
def test_published_example(lost: int, gained: int, n: int, low: float, high: float) -> None:
    """The ends that are printed for Tango's interval, to the figures that are printed."""
    interval = tango_interval(lost, gained, n, 0.025)
    assert (round(interval.low or 0, 3), round(interval.high or 0, 3)) == (low, high)


@pytest.mark.parametrize(("lost_share", "gained_share"), [(0.1, 0.1), (0.2, 0.1), (0.05, 0.02), (0.3, 0.3)])
def test_interval_covers_nominally(lost_share: float, gained_share: float) -> None:
    """Over all tables of 60 pairs, each with its probability, the two-sided interval at 95% covers the truth."""
    n, covered = 60, 0.0
    for lost in range(n + 1):
        for gained in range(n + 1 - lost):
            shares = [lost_share, gained_share, 1 - lost_share - gained_share]
            probability = float(stats.multinomial.pmf([lost, gained, n - lost - gained], n, shares))
            if probability > 1e-9:
                interval = tango_interval(lost, gained, n, 0.025)
                covered += probability * ((interval.low or -1) <= lost_share - gained_share <= (interval.high or 1))
    assert 0.94 < covered < 0.975


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 200), st.sampled_from((0.005, 0.025, 0.05)))
def test_interval_is_ordered_and_mirrored(lost: int, gained: int, rest: int, alpha: float) -> None:
    """The point is inside, the ends are differences of shares, swapping the models mirrors everything."""
    n = lost + gained + rest
    here, there = tango_interval(lost, gained, n, alpha), tango_interval(gained, lost, n, alpha)
    assert here.low is not None
    assert here.high is not None
    assert -1 <= here.low <= here.value <= here.high <= 1
    assert there.low == pytest.approx(-here.high, abs=1e-6)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(lost: int, gained: int) -> None:
    """Exact p from first principles: twice the smaller binomial tail, at most 1."""
    assume(lost + gained > 0)
    tail = stats.binom.cdf(min(lost, gained), lost + gained, 0.5)
    assert mcnemar_p(lost, gained) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_without_discordant_pairs_is_one() -> None:
    """No evidence either way."""
    assert mcnemar_p(0, 0) == 1.0


def test_bootstrap_is_paired() -> None:
    """Two models that differ by nearly a constant have a narrow difference, however noisy each one is."""
    noise, shift = np.random.default_rng(0).normal((0, 1), (10, 1e-3), (300, 2)).T
    own, other, comparison = paired_bootstrap(
        lambda i: float((noise + shift)[i].mean()),
        lambda i: float(noise[i].mean()),
        300,
        alpha=0.05,
        seed=1,
        resamples=199,
    )
    assert other is not None
    assert own.low is not None
    assert own.high is not None
    assert comparison.difference is not None
    assert comparison.difference.low == pytest.approx(1.0, abs=1e-3)
    assert comparison.difference.high == pytest.approx(1.0, abs=1e-3)
    assert own.high - own.low > 1


def test_bootstrap_agrees_with_scipy() -> None:
    """The percentile interval of a mean is that of scipy.stats.bootstrap, up to the resampling error."""
    values = np.random.default_rng(2).exponential(1, 200)
    own, _, _ = paired_bootstrap(lambda i: float(values[i].mean()), None, 200, alpha=0.05, seed=3, resamples=999)
    reference = stats.bootstrap((values,), np.mean, confidence_level=0.9, method="percentile", rng=4)
    assert own.low == pytest.approx(reference.confidence_interval.low, rel=0.03)
    assert own.high == pytest.approx(reference.confidence_interval.high, rel=0.03)


def test_bootstrap_has_no_interval_where_the_metric_is_mostly_undefined() -> None:
    """More than a tenth of undefined resamples give a value without an interval, not a narrow one."""
    calls = iter(range(10_000))
    own, _, _ = paired_bootstrap(
        lambda i: math.nan if next(calls) % 3 == 1 else 1.0, None, 50, alpha=0.05, seed=0, resamples=199
    )
    assert own.low is None
    assert own.high is None


def test_models_that_agree_on_every_sample_have_no_interval() -> None:
    """Resampling ten equal answers claims no certainty: there is no interval of zero width."""
    values = np.arange(10.0)
    _, _, comparison = paired_bootstrap(
        lambda i: float(values[i].mean()), lambda i: float(values[i].mean()), 10, alpha=0.05, seed=0, resamples=199
    )
    assert comparison.difference is not None
    assert comparison.difference.value == 0
    assert comparison.difference.low is None


@pytest.mark.parametrize(("n", "most"), [(2, 0.09), (3, 0.09), (8, 0.08)])
def test_few_units_are_wrong_as_often_as_stated(n: int, most: float) -> None:
    """Sums of few documents of different sizes: the percentile interval of 2 is wrong in a quarter of cases."""
    rng, wrong = np.random.default_rng(0), np.zeros(2)
    for _ in range(1000):
        sizes = rng.integers(50, 200, n)
        sums, index = sizes * rng.normal(3, 0.3, n), rng.integers(0, n, (399, n))
        value = float(sums.sum() / sizes.sum())
        plain = percentiles(value, sums[index].sum(axis=1) / sizes[index].sum(axis=1), 0.05)
        wrong += [(estimate.high or 9) < 3 for estimate in (plain, expanded(plain, n, 0.05))]
    assert wrong[1] / 1000 <= most < wrong[0] / 1000
    assert expanded(plain, 1, 0.05) == plain


def test_same_seed_same_interval() -> None:
    """A verdict does not depend on when it was reached."""
    values = np.random.default_rng(5).normal(size=100)
    runs = [
        paired_bootstrap(lambda i: float(values[i].mean()), None, 100, alpha=0.05, seed=6, resamples=99)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_bias_corrected_percentiles_by_hand() -> None:
    """Resamples half a deviation above the value move both ends down by one; without a bias they stay."""
    normal = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    shifted = bias_corrected(0.0, normal + 0.5, 0.05)
    assert (shifted.low, shifted.high) == pytest.approx((-0.5 - 1.6449, -0.5 + 1.6449), abs=0.005)
    plain, usual = bias_corrected(0.0, normal, 0.05), percentiles(0.0, normal, 0.05)
    assert (plain.low, plain.high) == pytest.approx((usual.low, usual.high), abs=0.001)
    scaled = bias_corrected(1.0, np.exp(normal + 0.5), 0.05)  # the same on any scale
    assert scaled.high == pytest.approx(math.exp(-0.5 + 1.6449), rel=0.005)


def test_resamples_that_are_all_alike_have_no_corrected_interval() -> None:
    """As without the correction."""
    assert bias_corrected(1.0, np.ones(999), 0.05).low is None
