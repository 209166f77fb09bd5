"""What a smaller model may not do to one sex or age group more than its teacher does."""

from __future__ import annotations

import pytest


@pytest.mark.kpi("top1_accuracy", "drop <= 3 pp")
def test_accuracy() -> None:
    """The student may be wrong about three more patients in a hundred."""


@pytest.mark.kpi("equalized_odds_drift", "<= 5 pp", feature="sex")
def test_odds_of_the_sexes() -> None:
    """Right and false alarms are shared out between the sexes as by the teacher."""


@pytest.mark.kpi("demographic_parity_drift", "<= 5 pp", feature="age")
def test_alarms_of_the_age_groups() -> None:
    """Alarms are shared out between the age groups as by the teacher."""


@pytest.mark.kpi("demographic_parity_difference", "<= 10 pp", feature="sex")
def test_alarms_of_the_sexes() -> None:
    """Whatever the teacher does, the sexes get alarms at rates that are at most ten points apart."""


@pytest.mark.kpi("group_accuracy_gap", "<= 5 pp", feature="each")
@pytest.mark.kpi("equal_opportunity_drift", feature=["sex", "age"])
def test_groups() -> None:
    """No group pays with its accuracy; intersections are reported."""
