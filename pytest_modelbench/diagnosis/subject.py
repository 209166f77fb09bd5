"""What a hypothesis gets: both models, a batch, and the stopwatch that times a variant beside the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_modelbench.models.base import Model
from pytest_modelbench.results import Estimate

Call = Callable[[], Any]


class Stopwatch(Protocol):
    """Times variants beside the student within the budget that is left."""

    def gives_back(self, variant: Call, *, process_time: bool = False) -> Estimate:
        """Return the share of the student's time that a variant of it saves, with a 95% interval.

        Negative if the variant is slower. Blocks of student and variant alternate; the clock is the processor time of
        the calling thread, or of all threads with `process_time`.

        Raises:
            MeasurementError: the budget is spent.
        """

    def ratio(self, numerator: Call, denominator: Call, *, process_time: bool = False) -> Estimate:
        """Return the ratio of the times of two calls, with a 95% interval, in the same way.

        Raises:
            MeasurementError: the budget is spent.
        """


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The student whose time is to be explained.

    Attributes:
        student: in its adapter; for most hypotheses a torch module's.
        teacher: the same; None if there is none.
        inputs: one batch that both take.
        call: runs the student on the batch, in the mode that it was timed in.
        watch: times variants.
        beat: call it after each call of a model.
    """

    student: Model
    teacher: Model | None
    inputs: Any
    call: Call
    watch: Stopwatch
    beat: Callable[[], None] = lambda: None

    @property
    def module(self) -> Any:
        """The student's torch module; None for a model that has none."""
        return getattr(self.student, "module", None)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One possible cause.

    Attributes:
        cause: its name, such as "masks_attached".
        title: the cause in a few words.
        test: the function that tests it, as "module:function" of `diagnosis.hypotheses`: it gets a `Subject`, returns
            a `Finding`, or None if there is no sign of the cause. It never changes the student: it works on copies,
            checks that a counterfactual's outputs are the student's, and restores every setting in `finally`.
        needs_module: whether it only makes sense for torch modules.
        in_fresh_state: whether it must come before those that allocate (the allocator's thresholds follow what was
            ever freed).
    """

    cause: str
    title: str
    test: str
    needs_module: bool = True
    in_fresh_state: bool = False
