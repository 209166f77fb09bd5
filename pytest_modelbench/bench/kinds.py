"""Kinds of measurement with a custom function: those of extensions, and those that need one model and the data."""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.shelf import Job, Tell, Wire
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model, identity
from pytest_modelbench.probes.kinds import Measurement, Part, ProbeKind, Taking
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.file_names import file_name
from pytest_modelbench.store.recorded_kinds import RecordedKind


def taken_by_kind(asking: Asking, kind: ProbeKind[Measurement], role: str) -> Measurement:
    """Return a model's measurement of a kind that has a `take` function, taken once.

    Raises:
        MeasurementError: the kind has no such function, or it cannot be imported.
    """
    if kind.recordable and (contract := asking.contract_for(role)) is not None:
        return _recorded(asking, kind, contract)
    model, plan = asking.model(role), asking.plan
    options, told = (_that_count(kind, some) for some in (asking.gate.options, asking.gate.told_options))
    data = asking.data() if kind.needs_data else None
    take, wire = function_of(kind, "take"), None
    if kind.pack and kind.unpack and not any(map(callable, options.values())):  # one name may mean two functions
        wire = Wire[Measurement](function_of(kind, "pack"), function_of(kind, "unpack"))

    content: tuple[object, ...] = (model.name, asking.hash_of(model), None if data is None else data.key)
    recorded = kind.records is not None and asking.contract_for("teacher") is not None
    if kind.beside and (teacher := _other(asking, "teacher")) is not None:
        content = (*content, asking.hash_of(teacher))
    under = (str(asking.gate.options["under"]),) if kind.needs_data and "under" in asking.gate.options else ()
    by_name = repr(sorted(told.items()))
    by_value = tuple((name, value_key(value)) for name, value in sorted(options.items()))

    def measure(_: Tell) -> Measurement:
        taking = taking_of(model, data, options, plan.settings)
        shared = functools.partial(_shared, asking, (role, *content))
        measured: Measurement = take(
            replace(
                taking,
                role=role,
                other=functools.partial(_other, asking),
                shared=shared,
                of=functools.partial(taken_by_kind, asking),
                recorded=recorded,
            )
        )
        return _kept(asking, kind, model.name, by_name, measured)

    job = Job(
        kind="kind",
        same=(kind.name, *content, by_value, plan.settings),
        run=(kind.name, model.name, by_name, plan.home, plan.origin, plan.settings, *under),
        measure=measure,
        wire=wire,
        exclusive=kind.exclusive,
        watched=asking.watched(model.name),
        shown=f"measuring {kind.name} of {model.name}",
    )
    return asking.bench.shelf.take(job)


def recorded_of(asking: Asking, kind: ProbeKind[Any], data: int | None) -> RecordedKind:
    """Return the teacher's measurement as a contract holds it.

    Args:
        asking: a gate about it.
        kind: one that is recordable.
        data: the number of the evaluation set in the contract.

    Raises:
        MeasurementError: it cannot be packed.
    """
    options = _that_count(kind, asking.gate.told_options)
    try:
        arrays = function_of(kind, "pack")(taken_by_kind(asking, kind, "teacher"))
    except TypeError as error:
        raise MeasurementError(f"no contract can hold the teacher's {kind.name}: {error}") from error
    return RecordedKind(kind=kind.name, options=options, data=data, arrays=arrays)


def _recorded(asking: Asking, kind: ProbeKind[Measurement], contract: Contract) -> Measurement:
    """Return the teacher's measurement from its contract, read once."""
    options, unpack = _that_count(kind, asking.gate.told_options), function_of(kind, "unpack")
    data = asking.data() if kind.needs_data else None
    key = ("recorded kind", kind.name, repr(options), None if data is None else data.key)
    measured: Measurement = asking.bench.shelf.once(
        key, lambda: contract.measurement(kind.name, options, data, unpack)
    )
    return measured


def _that_count(kind: ProbeKind[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options that a measurement depends on."""
    return {name: value for name, value in options.items() if kind.depends_on is None or name in kind.depends_on}


def _kept(
    asking: Asking, kind: ProbeKind[Measurement], model: str, options: str, measured: Measurement
) -> Measurement:
    """Keep what is worth keeping of a measurement where the user names a folder, and return it."""
    folder = asking.bench.files.kept
    if folder is None or not kind.keep:
        return measured
    number = hashlib.blake2b(f"{options} {asking.data().key}".encode(), digest_size=4).hexdigest()
    kept: Measurement = function_of(kind, "keep")(measured, folder / file_name(model) / f"{kind.name}-{number}")
    return kept


def _shared(
    asking: Asking,
    content: tuple[object, ...],
    name: tuple[object, ...],
    options: tuple[str, ...],
    part: Callable[[], Part],
) -> Part:
    """Return a part of a measurement that others of the same content have in common, taken once."""
    values = tuple((option, value_key(asking.gate.options.get(option))) for option in options)
    return asking.bench.shelf.once(("part", *name, *content, values, asking.settings), part)


def _other(asking: Asking, role: str) -> Model | None:
    """Return another model for a kind that measures with its help; no recorded teacher takes its place."""
    return asking.model(role) if role != "teacher" or asking.sources.has(role) else None


def function_of(kind: ProbeKind[Any], field: str) -> Callable[..., Any]:
    """Import one of a kind's functions.

    Args:
        kind: the kind of measurement.
        field: `take`, `keep`, `pack` or `unpack`.

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
        attribute = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MeasurementError(
            f"{field}={path!r} of the kind of measurement {kind.name!r} cannot be imported: {error}"
        ) from error
    if not callable(attribute):
        raise MeasurementError(f"{field}={path!r} of the kind of measurement {kind.name!r} is not a function")
    function: Callable[..., Any] = attribute
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
