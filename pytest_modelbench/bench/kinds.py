"""Kinds of measurement that bring their own function: an extension's, and whatever needs one model and the data."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model, identity
from pytest_modelbench.probes.kinds import ProbeKind, Taking
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.settings import Settings


def function_of(kind: ProbeKind[Any], field: str) -> Callable[..., Any]:
    """Import one of a kind's functions.

    Args:
        kind: the kind of measurement.
        field: `take`, `pack` or `unpack`.

    Raises:
        MeasurementError: the kind names none, or it cannot be imported.
    """
    path: str = getattr(kind, field)
    module, _, name = path.partition(":")
    if not module or not name:
        raise MeasurementError(
            f"the kind of measurement {kind.name!r} has {field}={path!r}. Write {field}='module:function'"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MeasurementError(
            f"{field}={path!r} of the kind of measurement {kind.name!r} cannot be imported: {error}"
        ) from error
    if not callable(found):
        raise MeasurementError(f"{field}={path!r} of the kind of measurement {kind.name!r} is not a function")
    function: Callable[..., Any] = found
    return function


def taking_of(model: Model, data: EvalData | None, options: Mapping[str, Any], settings: Settings) -> Taking:
    """Return what a kind's `take` function gets."""
    return Taking(
        model=model,
        data=data,
        options=options,
        seed=settings.seed,
        budget_s=settings.budget_s,
        device=settings.device,
        beat=beat,
    )


def value_key(value: object) -> str:
    """Return a text that is equal for equal values of an option; a function is itself alone."""
    return identity(value) if callable(value) else repr(value)
