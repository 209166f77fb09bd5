"""What a student's size promises, and whether its time keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_modelbench.errors import ModelbenchError
from pytest_modelbench.models.base import Model
from pytest_modelbench.results import Estimate

SMALLER = 0.9
"""A student is smaller if one of its sizes is at most this share of the teacher's."""
KEPT = 0.5
"""A student is as fast as promised if its time shrinks by at least this share of what its size shrinks by."""


def why_too_slow(student: Model, teacher: Model, inputs: Any, time_ratio: Estimate | None) -> str:
    """Return how the student breaks its promise; "" if it does not.

    The sizes of a student that surely takes at most half of the teacher's time are not counted: none promises more.
    """
    if time_ratio is None or _most(time_ratio) <= 1.0 - KEPT:
        return ""
    return broken_promise(shrinkage(student, teacher, inputs), time_ratio)


def _most(ratio: Estimate) -> float:
    return ratio.value if ratio.high is None else ratio.high


def shrinkage(student: Model, teacher: Model, inputs: Any = None) -> dict[str, float]:
    """Return the student's sizes as shares of the teacher's: of parameters, non-zero ones, bytes, and FLOPs.

    A size that cannot be counted for both is left out; FLOPs also if there are no `inputs`, a batch of one sample or
    more.
    """
    sizes: dict[str, Callable[[Model], float]] = {
        "parameters": lambda model: model.count_parameters().total,
        "non-zero parameters": lambda model: model.count_parameters().nonzero,
        "bytes": lambda model: model.weight_bytes(),
    }
    if inputs is not None:
        sizes["FLOPs"] = lambda model: _flops(model, inputs)
    shares = {name: _share(size, student, teacher) for name, size in sizes.items()}
    return {name: share for name, share in shares.items() if share is not None}


def _flops(model: Model, inputs: Any) -> float:
    from pytest_modelbench.probes.cost.flops import count_flops

    return count_flops(model, inputs, 1).per_sample


def _share(size: Callable[[Model], float], student: Model, teacher: Model) -> float | None:
    try:
        of_student, of_teacher = size(student), size(teacher)
    except (ModelbenchError, ImportError):  # it has none that could be counted, or torch is not installed
        return None
    return of_student / of_teacher if of_student > 0 and of_teacher > 0 else None  # 0 bytes: not known


def broken_promise(shares: Mapping[str, float], time_ratio: Estimate | None) -> str:
    """Return what the student shrinks by and its time does not; "" if it is as fast as its size promises.

    The rule: one of the sizes is at most 0.9 of the teacher's, and the time may shrink by less than half as much: the
    upper end of the time ratio is above 1 - (1 - size) / 2.

    >>> broken_promise({"parameters": 0.2}, Estimate(value=0.9, low=0.8, high=1.0))
    "parameters are 20% of the teacher's"
    >>> broken_promise({"parameters": 0.2}, Estimate(value=0.5, low=0.4, high=0.55))
    ''
    """
    name = min(shares, key=shares.__getitem__, default="")
    if not name or time_ratio is None or shares[name] > SMALLER:
        return ""
    if _most(time_ratio) <= 1.0 - KEPT * (1.0 - shares[name]):
        return ""
    return f"{name} are {shares[name]:.0%} of the teacher's"
