"""Variance by level: recovered from simulated processes, placements and rounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytest_modelbench.stats.intervals import FEWEST_RANKED, centre_interval, mean_interval, signed_rank_quantile
from pytest_modelbench.stats.levels import spread_by_level


@pytest.mark.parametrize("truth", [(0.01, 0.003, 0.002), (0.0, 0.0, 0.01), (0.002, 0.01, 0.001)])
def test_spread_of_every_level_is_found(truth: tuple[float, float, float]) -> None:
    """Each level's own standard deviation, not what the levels below add to its means."""
    rng = np.random.default_rng(0)
    process, placement, rounds = truth
    logs = [
        [list(p + rng.normal(0, placement) + rng.normal(0, rounds, 6)) for _ in range(8)]
        for p in rng.normal(0, process, 400)
    ]
    found = spread_by_level(logs)
    assert list(found.values()) == pytest.approx(truth, abs=0.0015)


def test_one_process_has_no_spread_of_its_own() -> None:
    """What was not repeated is not estimated."""
    assert spread_by_level([[[1.0, 2.0]]])["process"] == 0


@pytest.mark.parametrize("n", [8, 12, 30, 60, 90])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_interval_inverts_the_signed_rank_test(n: int, alpha: float) -> None:
    """Scipy's test refuses what lies outside of the interval, and nothing inside."""
    values = np.random.default_rng(n).normal(0.3, 1.0, n)
    found = centre_interval(values, alpha)
    assert found.low is not None
    assert found.high is not None
    for end, inside, side in ((found.low, 1e-6, "greater"), (found.high, -1e-6, "less")):
        outside_p, inside_p = (
            float(stats.wilcoxon(values - shifted, alternative=side, method="exact" if n <= 60 else "approx").pvalue)  # type: ignore[call-overload]
            for shifted in (end - inside, end + inside)
        )
        assert outside_p <= alpha * 1.02 < inside_p * 1.04


def test_outliers_do_not_widen_it() -> None:
    """One placement in a bad minute doubles Student's interval, and not this one."""
    values = np.random.default_rng(1).normal(0.0, 0.01, 20)
    spoilt = np.append(values, 0.5)

    def width(interval: object) -> float:
        return float(interval.high - interval.low)  # type: ignore[attr-defined]

    assert width(mean_interval(spoilt, 0.01)) > 3 * width(mean_interval(values, 0.01))
    assert width(centre_interval(spoilt, 0.01)) < 1.5 * width(centre_interval(values, 0.01))


def test_many_values_take_little_memory() -> None:
    """Thousands of placements are first averaged in groups; the interval stays as narrow."""
    values = np.random.default_rng(2).normal(1.0, 0.1, 5000)
    found = centre_interval(values, 0.01)
    students = mean_interval(values, 0.01)
    assert found.low is not None
    assert students.low is not None
    assert found.low == pytest.approx(students.low, abs=0.001)


def test_few_values_get_students_interval() -> None:
    """Ranks of seven values cannot prove anything at the error of a late look."""
    values = list(range(FEWEST_RANKED - 1))
    assert centre_interval(values, 0.01) == mean_interval(values, 0.01)
    assert signed_rank_quantile(FEWEST_RANKED, 0.05 / 12) == 1
    assert centre_interval([*values, 7.0], 0.001) == mean_interval(
        [*values, 7.0], 0.001
    )  # nor eight at a smaller one
