"""One diagnosis: whom it is for, what hypotheses it tests, how it ranks them, and that nothing makes it raise."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_modelbench.diagnosis import run
from pytest_modelbench.diagnosis.finding import Diagnosis, Finding
from pytest_modelbench.diagnosis.promise import broken_promise, shrinkage, why_too_slow
from pytest_modelbench.diagnosis.ranking import rank
from pytest_modelbench.diagnosis.run import Asked, diagnose
from pytest_modelbench.diagnosis.subject import Hypothesis, Subject
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.fake import FakeClock, FakeModel
from pytest_modelbench.results import Estimate

Test = Callable[[Subject], Finding | None]


@pytest.fixture
def hypotheses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Hypothesis, ...]]:
    """Make hypotheses of functions by their names, in a file that is only there for the test."""

    def make(**tests: Test) -> tuple[Hypothesis, ...]:
        file = types.ModuleType(f"{run.ROOM}.planted")
        vars(file).update(tests)
        monkeypatch.setitem(sys.modules, file.__name__, file)
        return tuple(
            Hypothesis(cause=name, title=f"title of {name}", test=f"planted:{name}", needs_module=False)
            for name in tests
        )

    return make


def pair(student_ns: float, **changes: Any) -> tuple[FakeModel, FakeModel]:
    """Return a student of a tenth of the parameters, and its teacher of 10 ms, on one clock."""
    clock = FakeClock()
    teacher = FakeModel(cost_ns=1e7, clock=clock, parameters=1000, name="teacher")
    return FakeModel(cost_ns=student_ns, clock=clock, parameters=100, name="small", **changes), teacher


def removable(share: float, cause: str = "removable", **more: Any) -> Test:
    """Return a hypothesis whose counterfactual costs as much less on the student's clock."""

    def test(subject: Subject) -> Finding:
        student = subject.student
        assert isinstance(student, FakeModel)
        variant = FakeModel(cost_ns=(1 - share) * 1e7, clock=student.clock).bind(subject.inputs)
        return Finding(cause=cause, gives_back=subject.watch.gives_back(variant), **more)

    return test


def names(findings: tuple[Finding, ...]) -> list[str]:
    return [one.cause for one in findings]


def test_cause_is_found_with_the_time_that_it_gives_back(hypotheses: Any) -> None:
    """A refuted one is listed with its number, one without any sign is not listed."""
    student, teacher = pair(1e7)
    planted = hypotheses(removable=removable(0.6), harmless=removable(0.0, "harmless"), absent=lambda _: None)
    found = diagnose(student, teacher, [1.0], Asked(hypotheses=planted))
    assert (names(found.causes), names(found.refuted), found.skipped) == (["removable"], ["harmless"], ())
    assert found.causes[0].gives_back is not None
    assert found.causes[0].gives_back.value == pytest.approx(0.6, abs=1e-3)
    assert found.time_ratio is not None
    assert found.time_ratio.value == pytest.approx(1.0, abs=1e-3)
    assert found.reason == "parameters are 10% of the teacher's"
    assert found.seconds > 0


def test_fast_student_is_not_diagnosed(hypotheses: Any) -> None:
    """A tenth of the parameters and a fifth of the time: no hypothesis is tested."""
    student, teacher = pair(2e6)
    planted = hypotheses(never=lambda _: pytest.fail("tested"))
    found = diagnose(student, teacher, [1.0], Asked(hypotheses=planted))
    assert found.reason == "not diagnosed: the student is as fast as its size promises"
    assert (found.causes, found.skipped) == ((), ())


@pytest.mark.parametrize("with_teacher", [True, False])
def test_stated_reason_is_reason_enough(hypotheses: Any, with_teacher: bool) -> None:
    """A gate that failed, with a teacher or without one."""
    student, teacher = pair(2e6)
    asked = Asked(hypotheses=hypotheses(removable=removable(0.9)), reason="latency_p50 failed")
    found = diagnose(student, teacher if with_teacher else None, [1.0], asked)
    assert (names(found.causes), found.reason) == (["removable"], "latency_p50 failed")


def test_without_a_teacher_and_a_reason_there_is_nothing_to_explain() -> None:
    """There is nothing that the student could be smaller than."""
    assert diagnose(pair(1e7)[0], None, [1.0]).reason == "not diagnosed: there is no teacher"


def test_only_some_hypotheses(hypotheses: Any) -> None:
    """By their names."""
    student, teacher = pair(1e7)
    planted = hypotheses(one=removable(0.5, "one"), other=removable(0.6, "other"))
    assert names(diagnose(student, teacher, [1.0], Asked(hypotheses=planted, only={"one"})).causes) == ["one"]


def test_hypothesis_for_modules_is_left_out_for_other_models(hypotheses: Any) -> None:
    """A fake has no module."""
    student, teacher = pair(1e7)
    planted = tuple(replace(one, needs_module=True) for one in hypotheses(removable=removable(0.6)))
    assert diagnose(student, teacher, [1.0], Asked(hypotheses=planted)).causes == ()


@pytest.mark.parametrize(
    ("error", "told"),
    [(ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"), (NotApplicable("no copy"), "no copy")],
)
def test_failing_hypothesis_is_skipped_with_its_reason(hypotheses: Any, error: Exception, told: str) -> None:
    """The others are tested."""

    def failing(_: Subject) -> Finding:
        raise error

    student, teacher = pair(1e7)
    found = diagnose(student, teacher, [1.0], Asked(hypotheses=hypotheses(failing=failing, removable=removable(0.6))))
    assert names(found.causes) == ["removable"]
    assert [(one.cause, one.text, one.skipped) for one in found.skipped] == [("failing", "title of failing", told)]


def test_interrupt_of_the_user_goes_through(hypotheses: Any) -> None:
    """Ctrl-C is not a failure of a hypothesis."""

    def interrupted(_: Subject) -> Finding:
        raise KeyboardInterrupt

    student, teacher = pair(1e7)
    with pytest.raises(KeyboardInterrupt):
        diagnose(student, teacher, [1.0], Asked(hypotheses=hypotheses(interrupted=interrupted)))


def test_student_that_cannot_run_is_not_diagnosed() -> None:
    """The diagnosis of a broken model is that it is broken."""

    def broken(_: object) -> object:
        raise RuntimeError("no such layer")

    student, teacher = pair(1e7, outputs=broken)
    reason = diagnose(student, teacher, [1.0]).reason
    assert reason == "not diagnosed: small raised RuntimeError on inputs of shape [1 items]: no such layer"


def test_spent_budget_skips_the_rest(hypotheses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hypothesis that was not tested is listed with the reason."""
    student, teacher = pair(1e7)
    monkeypatch.setattr("pytest_modelbench.diagnosis.stopwatch.BlockStopwatch.left_s", 0.0)
    planted = hypotheses(one=removable(0.5, "one"), other=removable(0.6, "other"))
    asked = Asked(hypotheses=planted, reason="asked", time_ratio=Estimate.exact(1.0), budget_s=7)
    found = diagnose(student, teacher, [1.0], asked)
    assert [(one.cause, one.skipped) for one in found.skipped] == [
        ("one", "the budget of 7 s is spent"),
        ("other", "the budget of 7 s is spent"),
    ]


def test_hypotheses_for_a_fresh_state_come_first(hypotheses: Any) -> None:
    """Those after them may allocate."""
    order: list[str] = []

    def noting(name: str) -> Test:
        return lambda _: order.append(name)

    late, early = hypotheses(late=noting("late"), early=noting("early"))
    student, teacher = pair(1e7)
    diagnose(student, teacher, [1.0], Asked(hypotheses=(late, replace(early, in_fresh_state=True))))
    assert order == ["early", "late"]


def test_threads_and_types_come_back(hypotheses: Any) -> None:
    """Also from a hypothesis that raises."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads(), torch.get_default_dtype()

    def careless(_: Subject) -> Finding:
        torch.set_num_threads(before[0] + 1)
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError

    student, teacher = pair(1e7)
    found = diagnose(student, teacher, [1.0], Asked(hypotheses=hypotheses(careless=careless)))
    assert names(found.skipped) == ["careless"]
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before


def test_modules_are_diagnosed_in_the_mode_that_they_are_timed_in(hypotheses: Any) -> None:
    """In evaluation and inference mode; a module in training is in training again after it."""
    torch = pytest.importorskip("torch")
    from pytest_modelbench.models.adapters.torch_module import TorchModel

    seen: list[bool] = []

    def looking(subject: Subject) -> None:
        seen.extend([subject.module.training, torch.is_inference_mode_enabled()])

    modules = torch.nn.Linear(8, 8), torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Linear(64, 8))
    student, teacher = TorchModel(modules[0], "student"), TorchModel(modules[1], "teacher")
    diagnose(student, teacher, torch.zeros(2, 8), Asked(hypotheses=hypotheses(looking=looking), reason="asked"))
    assert seen == [False, True]
    assert all(module.training for module in modules)


def test_work_of_another_thread_counts() -> None:
    """A student whose forward runs in a thread of its own, as a server's may: that thread's time is the student's."""
    torch = pytest.importorskip("torch")
    from pytest_modelbench.models.adapters.torch_module import TorchModel

    class Threaded(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, times: int) -> None:
            super().__init__()
            self.times = times
            self.layer = torch.nn.Linear(8, 8)

        def forward(self, batch: Any) -> Any:
            worker = threading.Thread(target=lambda: sum(range(self.times)))
            worker.start()
            worker.join()
            return self.layer(batch)

    student, teacher = TorchModel(Threaded(400_000), "student"), TorchModel(Threaded(100_000), "teacher")
    found = diagnose(student, teacher, torch.zeros(2, 8), Asked(hypotheses=(), reason="asked"))
    assert found.time_ratio is not None
    assert 2.0 < found.time_ratio.value < 8.0


def finding(cause: str, low: float, value: float, *, explains: tuple[str, ...] = ()) -> Finding:
    return Finding(cause=cause, gives_back=Estimate(value=value, low=low, high=2 * value - low), explains=explains)


def test_rank_is_by_the_lower_end() -> None:
    """A wide interval promises less than a narrow one."""
    ranked = rank([finding("wide", 0.1, 0.8), finding("narrow", 0.4, 0.5), finding("nothing", -0.1, 0.1)])
    assert (names(ranked.causes), names(ranked.refuted)) == (["narrow", "wide"], ["nothing"])


def test_specific_cause_explains_the_general_one_away() -> None:
    """Hooks make the operators of which there are many; the general one is listed with that."""
    ranked = rank([finding("dispatch_bound", 0.85, 0.9), finding("hooks", 0.7, 0.75, explains=("dispatch_bound",))])
    assert names(ranked.causes) == ["hooks"]
    assert [(one.cause, one.skipped) for one in ranked.skipped] == [("dispatch_bound", "hooks explains it")]


def test_small_specific_cause_explains_nothing_away() -> None:
    """It gives back less than half of what the general one does: both are causes."""
    ranked = rank([finding("dispatch_bound", 0.8, 0.9), finding("hooks", 0.06, 0.1, explains=("dispatch_bound",))])
    assert names(ranked.causes) == ["dispatch_bound", "hooks"]


def test_specific_cause_stands_before_the_general_one() -> None:
    """From a quarter of what the general one gives back on: it is what can be removed, and both are causes."""
    ranked = rank(
        [
            finding("other", 0.85, 0.9),
            finding("dispatch_bound", 0.8, 0.9),
            finding("hooks", 0.25, 0.3, explains=("dispatch_bound",)),
        ]
    )
    assert names(ranked.causes) == ["other", "hooks", "dispatch_bound"]


def test_refuted_cause_explains_nothing_away() -> None:
    """What gives nothing back produces nothing."""
    ranked = rank([finding("dispatch_bound", 0.8, 0.9), finding("hooks", -0.1, 0.6, explains=("dispatch_bound",))])
    assert names(ranked.causes) == ["dispatch_bound"]


def test_evidence_without_a_timed_counterfactual_is_not_a_cause() -> None:
    """It is listed as not tested."""
    ranked = rank([Finding(cause="evident")])
    assert [(one.cause, one.skipped) for one in ranked.skipped] == [
        ("evident", "nothing could be timed beside the student")
    ]
    assert (ranked.causes, ranked.refuted) == ((), ())


def test_fast_students_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No size promises more than half of the time, and counting FLOPs would load half of torch."""
    student, teacher = pair(1e6)
    counted: list[str] = []
    count = FakeModel.count_parameters

    def counting(model: FakeModel) -> Any:
        counted.append(model.name)
        return count(model)

    monkeypatch.setattr(FakeModel, "count_parameters", counting)
    assert why_too_slow(student, teacher, [1.0], Estimate(value=0.4, low=0.3, high=0.5)) == ""
    assert not counted
    reason = why_too_slow(student, teacher, [1.0], Estimate(value=0.9, low=0.8, high=1.0))
    assert reason == "parameters are 10% of the teacher's"
    assert counted


@pytest.mark.parametrize(
    ("share", "high", "broken"),
    [
        (0.1, 0.56, True),  # 90% fewer parameters, 44% less time: less than half as much
        (0.1, 0.54, False),
        (0.9, 0.96, True),
        (0.91, 2.0, False),  # not smaller
        (0.5, 0.75, False),
    ],
)
def test_rule_of_the_broken_promise(share: float, high: float, broken: bool) -> None:
    """The time may shrink by less than half of what the size shrinks by."""
    found = broken_promise({"parameters": 1.0, "bytes": share}, Estimate(value=high - 0.02, low=0.0, high=high))
    assert bool(found) is broken


def test_without_sizes_or_times_nothing_is_promised() -> None:
    """A callable has neither."""
    assert broken_promise({}, Estimate.exact(1.0)) == broken_promise({"parameters": 0.1}, None) == ""


def test_sizes_are_shares_of_the_teachers() -> None:
    """Each that can be counted for both; FLOPs of modules, at the batch."""
    torch = pytest.importorskip("torch")
    from pytest_modelbench.models.adapters.torch_module import TorchModel

    layers = [torch.nn.Linear(10, width, bias=False) for width in (2, 8)]
    with torch.no_grad():
        layers[0].weight[0] = 0.0
    student, teacher = (TorchModel(layer, "some") for layer in layers)
    shares = shrinkage(student, teacher, torch.ones(3, 10))
    assert shares == {"parameters": 0.25, "non-zero parameters": 0.125, "bytes": 0.25, "FLOPs": 0.25}
    assert shrinkage(FakeModel(), teacher, torch.ones(3, 10)) == {}


def test_json_form_has_plain_types() -> None:
    """With the reason."""
    told = Diagnosis(student="small", reason="asked", causes=(finding("hooks", 0.4, 0.5),)).to_json()
    assert told["reason"] == "asked"
    assert told["causes"][0]["gives_back_low"] == 0.4
