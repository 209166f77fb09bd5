"""One diagnosis: every hypothesis tested within a budget, and what they came to, ranked."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.catalogue import HYPOTHESES
from pytest_modelbench.diagnosis.finding import Diagnosis, Finding
from pytest_modelbench.diagnosis.promise import why_too_slow
from pytest_modelbench.diagnosis.ranking import rank
from pytest_modelbench.diagnosis.stopwatch import BlockStopwatch
from pytest_modelbench.diagnosis.subject import Hypothesis, Subject
from pytest_modelbench.errors import ModelbenchError, cause_of
from pytest_modelbench.models.base import Model, keep_interrupt
from pytest_modelbench.results import Estimate

if TYPE_CHECKING:
    from pytest_modelbench.diagnosis.waterfall import Waterfall

BUDGET_S = 30.0
"""What one student's diagnosis may take, in seconds."""
WATERFALL_S = 3.0
"""What the waterfall may take of it."""
IN_THIS_THREAD = 0.5
"""The least share of its work that a call does in its own thread, for its processor time to be that thread's."""
ROOM = "pytest_modelbench.diagnosis.hypotheses"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a diagnosis.

    Attributes:
        budget_s: seconds that it may take.
        reason: why the student is diagnosed; "" to diagnose it only if it breaks its promise (`why_too_slow`).
        only: names of the hypotheses to test; None for all.
        time_ratio: the student's time over the teacher's, if it is known.
        beat: called after each call of a model.
        hypotheses: those to test, in the order of the catalogue.
    """

    budget_s: float = BUDGET_S
    reason: str = ""
    only: Collection[str] | None = None
    time_ratio: Estimate | None = None
    beat: Callable[[], None] = lambda: None
    hypotheses: Sequence[Hypothesis] = field(default_factory=lambda: HYPOTHESES)


DEFAULT = Asked()


def diagnose(student: Model, teacher: Model | None, inputs: Any, asked: Asked = DEFAULT) -> Diagnosis:
    """Find out why a student is not as fast as its size promises.

    A hypothesis that fails is skipped with its reason. Models are left as they were.

    Args:
        student: in its adapter.
        teacher: the same; None if there is none.
        inputs: one batch that both take.
        asked: the budget, and what else is asked.

    Raises:
        KeyboardInterrupt: the user ended it.
    """
    started = time.monotonic()
    try:
        diagnosis = _diagnosed(student, teacher, inputs, asked)
    except BaseException as error:  # noqa: BLE001 - a model that cannot run has no diagnosis, and the run goes on
        keep_interrupt(error)
        diagnosis = Diagnosis(student=student.name, reason=f"not diagnosed: {_told(error)}")
    return replace(diagnosis, seconds=time.monotonic() - started)


def _diagnosed(student: Model, teacher: Model | None, inputs: Any, asked: Asked) -> Diagnosis:
    with student.running():
        call = _first_call(student, inputs)
        asked.beat()
        watch = _stopwatch(student, call, asked)
        subject = Subject(student=student, teacher=teacher, inputs=inputs, call=call, watch=watch, beat=asked.beat)
        ratio = asked.time_ratio or _time_ratio(subject)
        reason = asked.reason or _promise(subject, ratio)
        if not reason:
            why = "there is no teacher" if teacher is None else "the student is as fast as its size promises"
            return Diagnosis(student=student.name, reason=f"not diagnosed: {why}", time_ratio=ratio)
        in_order = sorted(asked.hypotheses, key=lambda hypothesis: not hypothesis.in_fresh_state)
        ranked = rank(list(_tested(in_order, subject, watch, asked)))
        steps, why_none = _waterfall(subject, watch, asked)
    return Diagnosis(
        student=student.name, reason=reason, time_ratio=ratio, waterfall=steps, no_waterfall=why_none, **vars(ranked)
    )


def _first_call(student: Model, inputs: Any) -> Callable[[], Any]:
    """Run the student once, and return its call.

    Raises:
        ModelError: the student raised.
    """
    try:
        call = student.bind(inputs)
        call()
    except BaseException as error:
        raise student.failure(inputs, error) from error
    return call


def _waterfall(subject: Subject, watch: BlockStopwatch, asked: Asked) -> tuple[Waterfall | None, str]:
    """Return the steps from the teacher's time to the student's, or why there are none; last, for it wraps layers."""
    if asked.only is not None:
        return None, "only some causes were asked for"
    if subject.teacher is None:
        return None, "there is no teacher"
    if subject.module is None:
        return None, f"{subject.student.name} is not a torch module"
    if watch.left_s <= 0:
        return None, _spent(asked)
    from pytest_modelbench.diagnosis.waterfall import measure_waterfall

    budget_s = min(WATERFALL_S, watch.left_s)
    try:
        steps = measure_waterfall(
            subject.teacher, subject.student, subject.inputs, budget_s=budget_s, beat=asked.beat
        )
    except BaseException as error:  # noqa: BLE001 - foreign modules; the causes are told all the same
        keep_interrupt(error)
        return None, _told(error)
    return steps, ""


def _spent(asked: Asked) -> str:
    return f"the budget of {asked.budget_s:g} s is spent"


def _stopwatch(student: Model, call: Callable[[], Any], asked: Asked) -> BlockStopwatch:
    """Return a stopwatch by processor time, or by the model's own clock if no processor does its work."""
    watch = BlockStopwatch(student=call, budget_s=asked.budget_s, beat=asked.beat)
    if student.clock_ns is not time.perf_counter_ns or not student.computes_here:
        return replace(watch, clock_ns=student.clock_ns, process_clock_ns=student.clock_ns)
    return replace(watch, clock_ns=watch.process_clock_ns) if _works_elsewhere(call) else watch


def _works_elsewhere(call: Callable[[], Any]) -> bool:
    """Whether threads other than the caller's do most of the work: not those of torch, which share it evenly."""
    torch = sys.modules.get("torch")
    threads = 1 if torch is None else torch.get_num_threads()
    own, every = time.thread_time_ns(), time.process_time_ns()
    call()
    own, every = time.thread_time_ns() - own, time.process_time_ns() - every
    return own * threads < IN_THIS_THREAD * every


def _promise(subject: Subject, ratio: Estimate | None) -> str:
    if subject.teacher is None:
        return ""
    return why_too_slow(subject.student, subject.teacher, subject.inputs, ratio)


def _time_ratio(subject: Subject) -> Estimate | None:
    """Return the student's time over the teacher's, by the clock of all threads: a model may have a pool of them."""
    if subject.teacher is None:
        return None
    with subject.teacher.running():
        return subject.watch.ratio(subject.call, subject.teacher.bind(subject.inputs), process_time=True)


def _tested(
    hypotheses: Sequence[Hypothesis], subject: Subject, watch: BlockStopwatch, asked: Asked
) -> Iterator[Finding]:
    """Test hypotheses in turn and yield those that have any sign; one that fails is skipped with its reason."""
    for hypothesis in hypotheses:
        if asked.only is not None and hypothesis.cause not in asked.only:
            continue
        if hypothesis.needs_module and subject.module is None:
            continue
        if watch.left_s <= 0:
            yield Finding(cause=hypothesis.cause, text=hypothesis.title).because(_spent(asked))
            continue
        finding = _outcome(hypothesis, subject)
        if finding is not None:
            yield finding


def _outcome(hypothesis: Hypothesis, subject: Subject) -> Finding | None:
    try:
        with _settings_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the variants; a suite may have turned them into errors
            return _function_of(hypothesis)(subject)
    except BaseException as error:  # noqa: BLE001 - any failure of a variant means: this cannot be tested
        keep_interrupt(error)
        return Finding(cause=hypothesis.cause, text=hypothesis.title).because(_told(error))


def _function_of(hypothesis: Hypothesis) -> Callable[[Subject], Finding | None]:
    file, _, name = hypothesis.test.partition(":")
    function: Callable[[Subject], Finding | None] = getattr(importlib.import_module(f"{ROOM}.{file}"), name)
    return function


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Give torch's number of threads and its type for new tensors back as they were."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(kind)


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, ModelbenchError) else f"{cause_of(error):.250}"
