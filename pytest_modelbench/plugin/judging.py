"""The hooks that judge items: only there with `--modelbench`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modelbench.errors import ModelbenchError, NotApplicable
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.plugin.collection import came_late, refuse
from pytest_modelbench.plugin.extensions import FINDER
from pytest_modelbench.plugin.fixture_lookup import place_of
from pytest_modelbench.plugin.item_results import (
    CASE_RIDER,
    RESULTS,
    RIDER,
    all_gates,
    left_out,
    set_up_failure,
)
from pytest_modelbench.plugin.items import plan_of, settings_of
from pytest_modelbench.plugin.misplaced import LATE
from pytest_modelbench.plugin.outcomes import VerdictFailure, conclude, properties, without_our_frames
from pytest_modelbench.plugin.sources import resolve
from pytest_modelbench.plugin.stash import CASE, GATES, LABEL
from pytest_modelbench.plugin.state import SessionState
from pytest_modelbench.plugin.timeouts import impatient
from pytest_modelbench.reports.gate_record import expected_gate, record_of
from pytest_modelbench.reports.record import Record
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.settings import differing_settings


class Judging:
    """Judges items, and lets the results ride on their reports.

    Args:
        config: of the session.
        state: what is settled.
        record: gathers what is known.
        items: takes the selected items by their node ids, for fresh processes.
    """

    def __init__(
        self, config: pytest.Config, state: SessionState, record: Record, items: dict[str, pytest.Item]
    ) -> None:
        self.config = config
        self.state = state
        self.record = record
        self.items = items

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse markers that came after the gates were read."""
        mistakes = [f"{place}: {LATE}" for place in sorted({place_of(item) for item in items if came_late(item)})]
        refuse(self.config, items, [*mistakes, *impatient(items)])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Gather the gates of all selected items, so that a measurement knows what it must decide."""
        self.items.update({item.nodeid: item for item in session.items})
        plans = [plan_of(item) for item in session.items if item.stash.get(GATES, ())]
        self.state.session.plan(plans)
        self.record.expect(
            [
                expected_gate(
                    plan.nodeid,
                    gate.kpi,
                    plan.student,
                    gate.targets,
                    plan.suite,
                    differing_settings(plan.settings, self.state.settings),
                )
                for plan in plans
                for gate in plan.gates
            ]
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Build what the command line or a file names, so that a test's body gets the model or data itself."""
        spec = getattr(request, "param", None)
        if type(spec) is not NamedSpec:
            return None
        key = fixturedef.cache_key(request)  # type: ignore[arg-type]
        try:
            built = resolve(self.config, spec)
            if request.fixturename == "eval_data":
                built = self.state.session.eval_data(built)
        except BaseException as error:
            fixturedef.cached_result = (None, key, (error, error.__traceback__))  # as pytest does for its own
            raise
        fixturedef.cached_result = (built, key, None)
        return built

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Leave the test's body out in a process that only measures."""
        if self.state.child is not None:
            return True
        records = any(gate.kpi.probe.recorded for gate in plan_of(pyfuncitem).gates)
        return True if self.state.session.recorder is not None and not records else None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the item's gates after its body, inside of the call phase: the verdict is the outcome."""
        if not item.stash.get(GATES, ()):
            return (yield from _without_gates(item))
        try:
            answer = yield
            refuse_late(item)
        except NotApplicable as reason:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_APPLICABLE, str(reason))
            pytest.skip(str(reason))
        except ModelbenchError as error:
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, str(error))
            raise
        results: list[GateResult] = item.funcargs["kpi"].judge_all(self.state.child)  # type: ignore[attr-defined]
        item.stash[RESULTS] = results
        for result in results if self.state.child is None else ():
            record = record_of(result, item.nodeid, plan_of(item).suite, {})
            self.config.stash[FINDER].tell("pytest_modelbench_verdict", item=item, result=record)
        item.user_properties += properties(results)
        conclude(item, results, settings_of(item))
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let results ride on the report, as plain JSON types."""
        report = yield
        if CASE in item.stash and type(report) is pytest.TestReport:
            vars(report)[CASE_RIDER] = {"edge_case": item.stash[CASE], "student": item.stash.get(LABEL, "student")}
        if call.when == "setup" and report.failed and call.excinfo is not None:
            if isinstance(call.excinfo.value, ModelbenchError):
                report.longrepr = without_our_frames(call.excinfo.value)
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, set_up_failure(call.excinfo.value))
        if call.when != "teardown" and RESULTS not in item.stash and call.excinfo is not None:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_RUN, left_out(call.excinfo.value))
        if call.when != "teardown" and RESULTS in item.stash and type(report) is pytest.TestReport:
            plan = plan_of(item)
            own = differing_settings(plan.settings, self.state.settings)
            vars(report)[RIDER] = [record_of(result, item.nodeid, plan.suite, own) for result in item.stash[RESULTS]]
            del item.stash[RESULTS]
        return report


def refuse_late(item: pytest.Item) -> None:
    """Refuse a marker that a fixture or the body has added, since its gate was never read.

    Raises:
        VerdictFailure: there is one.
    """
    if came_late(item):
        if item.stash.get(GATES, ()):
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, LATE)
        raise VerdictFailure(LATE)


def _without_gates(item: pytest.Item) -> Generator[None, object, object]:
    """Run the body of an item that judges nothing; what is not applicable to its models is skipped."""
    try:
        answer = yield
    except NotApplicable as reason:
        pytest.skip(str(reason))
    refuse_late(item)
    return answer
