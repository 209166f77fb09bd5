"""Names of metrics and parameters: what a tracker accepts, no two equal, the same from run to run."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_modelbench.reports.trackers import mlflow_runs, tensorboard_events, wandb_runs
from pytest_modelbench.reports.trackers.names import NameRule

RULES = {"mlflow": mlflow_runs.NAMES, "wandb": wandb_runs.NAMES, "tensorboard": tensorboard_events.NAMES}
ACCEPTED = {
    "mlflow": re.compile(r"\w[\w.\- ]*", re.DOTALL),
    "wandb": re.compile(r"[A-Za-z][A-Za-z0-9_]*"),
    "tensorboard": re.compile(r"\w[-/\w.]*"),
}
PART = st.one_of(st.text(min_size=1, max_size=300), st.sampled_from(["a", "b", "a_b", "a.b", "a/b", "_a", "ci_low"]))


@pytest.mark.parametrize("tracker", RULES)
@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # the first text takes seconds on a busy machine
@given(keys=st.sets(st.lists(PART, min_size=1, max_size=3).map(tuple), min_size=1, max_size=12))
def test_any_keys_have_valid_names_of_their_own(tracker: str, keys: set[tuple[str, ...]]) -> None:
    """Characters, length and the start are as the tracker wants them, and no value takes the place of another."""
    names = RULES[tracker].names(keys)
    assert set(names) == keys
    assert len(set(names.values())) == len(keys)
    for name in names.values():
        assert ACCEPTED[tracker].fullmatch(name), name
        assert len(name) <= RULES[tracker].most


@pytest.mark.parametrize(
    ("tracker", "name"),
    [("mlflow", "latency_p50.ci_low"), ("wandb", "latency_p50_ci_low"), ("tensorboard", "latency_p50/ci_low")],
)
def test_parts_are_joined_as_the_tracker_does(tracker: str, name: str) -> None:
    """A plain name stays as it is."""
    key = ("latency_p50", "ci_low")
    assert RULES[tracker].names([key]) == {key: name}


def test_name_that_is_its_own_stays_beside_one_that_was_altered() -> None:
    """A KPI with an unusual name changes the name of no other KPI, and has the same name in every order."""
    rule = NameRule(refused=re.compile(r"\W"), most=20)
    names = rule.names([("a_b",), ("a b",)])
    assert names["a_b",] == "a_b"
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", names["a b",])
    assert rule.names([("a b",), ("a_b",)]) == names
