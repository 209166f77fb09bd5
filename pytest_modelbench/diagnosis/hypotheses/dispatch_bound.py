"""Many small operators: the time is their number times the cost of calling one."""

from __future__ import annotations

from pytest_modelbench.data.arrays import join
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.operators import at_few_elements, trace
from pytest_modelbench.diagnosis.subject import Subject
from pytest_modelbench.results import Estimate

DOMINATES = 0.4
"""The share of the time below which calling operators is what every model does."""
BATCHES = 4


def dispatch_bound(subject: Subject) -> Finding | None:
    """Time the same operators on tensors of a few elements, and the student on four times the batch.

    What neither the size of the tensors nor that of the batch changes is the cost of calling operators. The smaller
    of both shares counts: the first includes the calls from Python, the second reading the weights.
    """
    operators = trace(subject)
    run, kept = at_few_elements(operators)
    if not kept:
        return None
    empty = subject.watch.ratio(run, subject.call)
    if empty.value < DOMINATES:  # the smaller share counts
        return None
    fixed = _fixed_share(subject)
    share = empty if fixed is None or empty.value < fixed.value else fixed
    if (share.low or 0.0) < DOMINATES:
        return None
    capped = share.map(lambda value: min(value, 1.0))
    count, other = len(operators), _teachers_count(subject)
    beside = f", the teacher {other}" if other else ""
    return Finding(
        cause="dispatch_bound",
        text=f"a call runs {count} operators{beside}; on tensors of four elements a side they take "
        f"{100 * min(empty.value, 1.0):.0f}% of the time",
        evidence={
            "operators": count,
            "teacher_operators": other,
            "share_at_few_elements": empty.value,
            "share_that_batch_does_not_change": None if fixed is None else fixed.value,
        },
        counterfactual="the same operators on tensors of at most four elements a side",
        gives_back=capped,
        remedy="Use fewer and wider layers, serve larger batches, or fuse operators by torch.compile or by a runtime "
        "such as ONNX Runtime",
    )


def _fixed_share(subject: Subject) -> Estimate | None:
    """Return the share of the time that a batch of four times as many samples does not need more of.

    By t(n) = fixed + n * each: fixed / t(n) = (4 - t(4n) / t(n)) / 3. None if the batch cannot be repeated.
    """
    try:
        larger = subject.student.bind(join([subject.inputs] * BATCHES))
        larger()
        subject.beat()
    except Exception:  # noqa: BLE001 - a model of one fixed batch size refuses by any exception
        return None
    ratio = subject.watch.ratio(larger, subject.call)
    return ratio.map(lambda value: (BATCHES - value) / (BATCHES - 1))


def _teachers_count(subject: Subject) -> int | None:
    teacher = subject.teacher
    if teacher is None or getattr(teacher, "module", None) is None:
        return None
    with teacher.running():
        return len(trace(subject, teacher.bind(subject.inputs)))
