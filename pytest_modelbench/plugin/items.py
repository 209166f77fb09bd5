"""What the session knows of one item: what it asks for, its settings, and the bench that serves it."""

from __future__ import annotations

import pytest

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.plugin.deploying import target_of
from pytest_modelbench.plugin.fixture_lookup import home_of, place_of
from pytest_modelbench.plugin.parametrisation import brings_models, named_for, student_label
from pytest_modelbench.plugin.stash import GATES, LABEL, PLAN, SETTINGS, STATE
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.baseline import without_student


def plan_of(item: pytest.Item) -> ItemPlan:
    """Return what an item asks for, as collection read it; found once, for every hook asks."""
    plan = item.stash.get(PLAN, None)
    if plan is None or plan.gates is not item.stash[GATES]:
        plan = item.stash[PLAN] = _plan_of(item)
    return plan


def _plan_of(item: pytest.Item) -> ItemPlan:
    return ItemPlan(
        nodeid=item.nodeid,
        student=item.stash[LABEL],
        gates=item.stash[GATES],
        settings=settings_of(item),
        home=home_of(item, named_for(item, item.config.stash[STATE].settings)),
        origin=place_of(item) if brings_models(item) else "",
        test=without_student(item.nodeid, student_label(item)),
        target=target_of(item),
    )


def settings_of(item: pytest.Item) -> Settings:
    """Return the settings that hold for an item: those of its modelbench.toml, or the session's."""
    return item.stash.get(SETTINGS, item.config.stash[STATE].settings)


def session_of(config: pytest.Config) -> BenchSession:
    """Return the session that `--modelbench` started."""
    return config.stash[STATE].session
