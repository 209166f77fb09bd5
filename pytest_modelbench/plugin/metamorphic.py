"""Metamorphic tests in one line each: what must happen to an answer when its input changes in a known way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest


def invariance(
    transform: Callable[[Any], Any], tolerance: float | None = None, *, at_most: str = "0%", **options: Any
) -> FunctionType:
    """Return a test that a change of the inputs changes no answer.

    `test_noise = invariance(add_noise)`

    One item for each student, judged as the KPI `invariance`.

    Args:
        transform: takes the inputs of a batch and returns as many others.
        tolerance: how far a probability (or a regression's value) may move; without it the label may not change.
        at_most: the share of samples that may break the rule.
        options: other measurement options, such as `confidence=`.
    """
    if tolerance is not None:
        options["tolerance"] = tolerance
    return _test("invariance", f"<= {at_most}", {"transform": transform, **options})


def directional(
    transform: Callable[[Any], Any],
    sign: int,
    output: Any = None,
    tolerance: float = 0.0,
    *,
    at_most: str = "0%",
    **options: Any,
) -> FunctionType:
    """Return a test that a change of the inputs moves answers one way only.

    `test_income = directional(raise_income, +1)`

    One item for each student, judged as the KPI `directional`.

    Args:
        transform: takes the inputs of a batch and returns as many others.
        sign: 1 if the value may only rise, -1 if it may only fall.
        output: the class whose probability is the value; the second of two by default, none for regression.
        tolerance: how far the value may still move the wrong way.
        at_most: the share of samples that may break the rule.
        options: other measurement options, such as `confidence=`.
    """
    if output is not None:
        options["output"] = output
    return _test(
        "directional", f"<= {at_most}", {"transform": transform, "sign": sign, "tolerance": tolerance, **options}
    )


def _test(kpi: str, limit: str, options: dict[str, Any]) -> FunctionType:
    """Return a function that stands where the caller wrote it and carries the KPI's marker."""

    def judged_by_its_marker(*_: object) -> None:  # a class's test is given the instance
        """Nothing: the marker is enough."""

    caller = sys._getframe(2)  # noqa: SLF001 - the line that reports and rerun commands name
    code = judged_by_its_marker.__code__.replace(
        co_filename=caller.f_code.co_filename, co_firstlineno=caller.f_lineno, co_name=kpi, co_qualname=kpi
    )
    function = FunctionType(code, {"__name__": caller.f_globals.get("__name__", kpi)}, kpi)
    pytest.mark.kpi(kpi, limit, **options)(function)
    return function
