"""Points at which the processor waits for the GPU: values that are copied back in the middle of a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.operators import Operator, trace
from pytest_modelbench.diagnosis.subject import Subject

READS_A_VALUE = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "unique2", "_unique2", "equal"})
"""Operators whose result, or its size, the processor must know before it goes on."""
REWRITE = "what waits is the model's own code: no variant of it can be timed"


def synchronisation(subject: Subject) -> Finding | None:
    """Count the operators that make the processor wait for the GPU; None on a processor, or if there are none."""
    if getattr(getattr(subject.student, "device", None), "type", "cpu") == "cpu":
        return None
    waits = points_of_waiting(trace(subject))
    if not waits:
        return None
    finding = Finding(
        cause="synchronisation",
        text=f"the processor waits for the GPU {sum(waits.values())} times in a call",
        evidence={"operators": dict(waits.most_common(10))},
        remedy="Leave out .item(), .cpu(), boolean masks and nonzero() in forward: use torch.where, and copy results "
        "once after the call",
    )
    return finding.because(REWRITE)


def points_of_waiting(operators: Iterable[Operator]) -> Counter[str]:
    """Return how often each operator waits: those that read a value, and copies from a GPU to the processor."""
    return Counter(
        operator.name for operator in operators if operator.name in READS_A_VALUE or _is_copied_back(operator)
    )


def _is_copied_back(operator: Operator) -> bool:
    if operator.name not in {"_to_copy", "copy_"} or not any(tensor.is_cuda for tensor in operator.inputs):
        return False
    target = operator.kwargs.get("device") if operator.name == "_to_copy" else operator.inputs[0].device
    return getattr(target, "type", str(target)) == "cpu"
