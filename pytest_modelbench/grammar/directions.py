"""Which way a limit points: one that a better student breaks is most often a slip of the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.limits import BoundLimit

TURNED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}
_MORE_IS_WORSE = {"drop_points", "drop_relative", "regression"}
_FALLS_AS_VALUE_RISES = {"reduction", "speedup"}


_OF_TEACHER: Mapping[str, Callable[[float, float], float]] = {
    "ratio": lambda teacher, threshold: teacher * threshold,
    "speedup": lambda teacher, threshold: teacher / threshold,
    "difference": lambda teacher, threshold: teacher + threshold,
    "drop_points": lambda teacher, threshold: teacher - threshold,
    "drop_relative": lambda teacher, threshold: teacher * (1 - threshold),
    "reduction": lambda teacher, threshold: teacher * (1 - threshold),
    "increase": lambda teacher, threshold: teacher * (1 + threshold),
}


def students_value(measure: str, teacher: float, threshold: float) -> float | None:
    """Return the student's value at which a limit that compares with the teacher is just met; None for other limits.

    >>> students_value("drop_relative", 200.0, 0.25)
    150.0
    """
    return _OF_TEACHER[measure](teacher, threshold) if measure in _OF_TEACHER else None


def is_reversed(bound: BoundLimit, better: str) -> bool:
    """Whether a better student is nearer to breaking a limit than a worse one; `==` has no direction.

    Args:
        bound: a limit.
        better: `higher` or `lower`: which values of its KPI are better.
    """
    if bound.limit.op not in TURNED:
        return False
    if bound.measure in _MORE_IS_WORSE:
        less_is_better = True
    else:
        less_is_better = (better == "lower") is not (bound.measure in _FALLS_AS_VALUE_RISES)
    return bound.is_upper is not less_is_better


def refuse_reversed(bound: BoundLimit, kpi: str, better: str) -> None:
    """Refuse a limit that a better student breaks.

    Raises:
        UsageMistake: it points the wrong way; the message shows the likely spelling.
    """
    if not is_reversed(bound, better):
        return
    written = bound.limit.text or str(bound.limit)
    turned = str(replace(bound.limit, op=TURNED[bound.limit.op]))
    raise UsageMistake(
        f"{written!r}: a better student would break this limit, for {better} is better for {kpi}. Write "
        f"'{turned}', or state allow_reversed=True if you mean it"
    )
