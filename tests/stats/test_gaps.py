"""The largest difference, and how much it grew: bounded where resampling a maximum is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.gaps import drift_interval, gap_interval

FloatArray = npt.NDArray[np.float64]
SESSIONS, RESAMPLES, OWN = 150, 199, 0.3


def pairs(rates: FloatArray) -> FloatArray:
    """Return the differences of every two groups."""
    apart: FloatArray = (rates[..., :, None] - rates[..., None, :])[..., ~np.eye(rates.shape[-1], dtype=bool)]
    return apart


def sessions(groups: int, people: int, teacher_gap: float, student_gap: float) -> list[tuple[FloatArray, ...]]:
    """Return rates of teacher and student in simulated sessions, and of resamples: `(t, t_drawn, s, s_drawn)`."""
    rng = np.random.default_rng(0)
    teacher, student = np.full(groups, 0.5), np.full(groups, 0.5)
    for rates, gap in ((teacher, teacher_gap), (student, student_gap)):
        rates[:2] += -gap / 2, gap / 2
    own = (student - (1 - OWN) * teacher) / OWN  # the student repeats most answers, and draws its own for the rest
    both = teacher * (1 - OWN + OWN * own)
    cells = np.stack([both, teacher - both, student - both, 1 - teacher - student + both], axis=1)
    found = []
    for _ in range(SESSIONS):
        counts = np.stack([rng.multinomial(people, shares) for shares in cells]) / people
        again = np.stack([rng.multinomial(people, shares, size=RESAMPLES) for shares in counts], axis=1) / people
        found.append(
            tuple(part for one in (counts, again) for part in (one[..., 0] + one[..., 1], one[..., 0] + one[..., 2]))
        )
    return [(t, t_drawn, s, s_drawn) for t, s, t_drawn, s_drawn in found]


@pytest.mark.parametrize(
    ("groups", "people", "teacher_gap", "student_gap"),
    [(2, 500, 0, 0), (2, 500, 0, 0.1), (4, 500, 0, 0.1), (4, 500, 0.1, 0), (2, 500, 0.1, 0.2), (8, 200, 0, 0.1)],
    ids=["fair", "two groups", "four groups", "fairer than the teacher", "teacher unfair", "eight small groups"],
)
def test_drift_is_covered(groups: int, people: int, teacher_gap: float, student_gap: float) -> None:
    """Each side misses the truth in no more than its 5% of sessions; percentiles of four groups miss it in half."""
    misses = np.zeros(2)
    percentiles = 0
    for t, t_drawn, s, s_drawn in sessions(groups, people, teacher_gap, student_gap):
        found = drift_interval(pairs(s), pairs(s_drawn), pairs(t), pairs(t_drawn), 0.05)
        truth = student_gap - teacher_gap
        misses += ends_miss(found, truth)
        drawn = np.ptp(s_drawn, axis=1) - np.ptp(t_drawn, axis=1)
        percentiles += truth > np.quantile(drawn, 0.95)
    assert misses.max() <= 14  # of 150, at 5%: more in less than 1 of 100 runs
    if (groups, teacher_gap) == (4, 0):
        assert percentiles > 40


@pytest.mark.parametrize(
    ("teacher_gap", "student_gap"),
    [(0, 0), (0, 0.2), (0.2, 0), (0.3, 0.1)],
    ids=["fair", "less", "more", "far apart"],
)
def test_drift_of_ratios_is_covered(teacher_gap: float, student_gap: float) -> None:
    """Of two ratios of groups, which no pair lets be above 1."""

    def ratios(rates: FloatArray) -> FloatArray:
        apart = rates[..., :, None] / rates[..., None, :]
        return -np.minimum(apart[..., ~np.eye(rates.shape[-1], dtype=bool)], 2)

    misses = np.zeros(2)
    for t, t_drawn, s, s_drawn in sessions(4, 500, teacher_gap, student_gap):
        found = drift_interval(ratios(s), ratios(s_drawn), ratios(t), ratios(t_drawn), 0.05, least=-1)
        truth = [-(0.5 - gap / 2) / (0.5 + gap / 2) for gap in (student_gap, teacher_gap)]
        misses += ends_miss(found, truth[0] - truth[1])
    assert misses.max() <= 14


@pytest.mark.parametrize(("groups", "gap"), [(2, 0.0), (8, 0.0), (8, 0.2)])
def test_gap_is_covered(groups: int, gap: float) -> None:
    """Also where groups are alike, which the percentiles of a maximum hardly ever contain."""
    misses = np.zeros(2)
    for _, _, s, s_drawn in sessions(groups, 300, gap, gap):
        misses += ends_miss(gap_interval(pairs(s), pairs(s_drawn), 0.05), gap)
    assert misses.max() <= 14


def test_drift_that_is_there_is_seen() -> None:
    """Ten points more than the teacher's ten, of 1,000 people in two groups."""
    seen = 0
    for t, t_drawn, s, s_drawn in sessions(2, 500, 0.1, 0.2):
        found = drift_interval(pairs(s), pairs(s_drawn), pairs(t), pairs(t_drawn), 0.05)
        seen += (found.low or 0) > 0
    assert seen > 0.8 * SESSIONS


def ends_miss(found: Estimate, truth: float) -> tuple[bool, bool]:
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    return truth < found.low - 1e-12, truth > found.high + 1e-12


@pytest.mark.parametrize(
    ("student", "teacher"),
    [([0.5] * 6, [0.03] * 6), ([0.02] * 5 + [0.06], [0.5] * 6), ([0.05] * 3 + [0.09], [0.4] * 4)],
    ids=["noisier student", "noisier teacher", "less noisy student that is less fair"],
)
def test_models_of_unequal_noise(student: list[float], teacher: list[float]) -> None:
    """The gap of the noisier model looks larger, and its resamples' even more so: no bound may follow that."""
    rng, misses, percentiles = np.random.default_rng(0), np.zeros(2), np.zeros(2)
    truth = np.ptp(student) - np.ptp(teacher)
    for _ in range(SESSIONS):
        (s, s_drawn), (t, t_drawn) = (
            (seen, rng.binomial(200, seen, size=(RESAMPLES, len(seen))) / 200)
            for seen in (rng.binomial(200, np.array(rates)) / 200 for rates in (student, teacher))
        )
        misses += ends_miss(drift_interval(pairs(s), pairs(s_drawn), pairs(t), pairs(t_drawn), 0.05), truth)
        ends = np.quantile(np.ptp(s_drawn, axis=1) - np.ptp(t_drawn, axis=1), [0.05, 0.95])
        percentiles += truth < ends[0], truth > ends[1]
    assert misses.max() <= 14
    assert percentiles.max() > 75


def test_very_many_pairs() -> None:
    """Bounded by the ends of both gaps: in no more time, and as safely."""
    (s, s_drawn), (t, t_drawn) = (
        (seen, np.random.default_rng(1).binomial(200, seen, size=(RESAMPLES, 20)) / 200)
        for seen in (np.full(20, 0.5), np.full(20, 0.3))
    )
    found = drift_interval(pairs(s), pairs(s_drawn), pairs(t), pairs(t_drawn), 0.05)
    assert found.value == 0
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
