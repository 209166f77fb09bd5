"""Loads as arrays, so that a worker can take what another one has measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Batching, Served
from pytest_modelbench.probes.load.measure import LoadMeasurement, LoadSettings, Lone

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
OF_REQUESTS = ("arrivals", "starts", "ends", "failed")
OF_CALLS = ("late_s", "service_s", "sizes", "backlog")


def pack_load(measurement: LoadMeasurement, prefix: str = "") -> Arrays:
    """Return a load as arrays: everything of a model in a row, and how it falls into segments."""
    arrays: Arrays = {}
    for role, served in measurement.served.items():
        for name in (*OF_REQUESTS, *OF_CALLS):
            arrays[f"{prefix}{role}_{name}"] = np.concatenate([getattr(segment, name) for segment in served])
        arrays[f"{prefix}{role}_requests"] = np.array([len(segment.arrivals) for segment in served])
        arrays[f"{prefix}{role}_calls"] = np.array([len(segment.sizes) for segment in served])
        arrays[f"{prefix}{role}_processor_s"] = np.array([segment.processor_s for segment in served])
    rest = {
        "errors": {role: [segment.error for segment in served] for role, served in measurement.served.items()},
        "settings": asdict(measurement.settings),
        "looks": measurement.looks,
        "elapsed_s": measurement.elapsed_s,
        "planned": measurement.planned,
        "overloaded": dict(measurement.overloaded),
    }
    return {**arrays, f"{prefix}text": np.array(json.dumps(rest))}


def unpack_load(arrays: Mapping[str, Any], prefix: str = "") -> LoadMeasurement:
    """Return what `pack_load` packed."""
    content = json.loads(str(arrays[f"{prefix}text"]))
    errors, settings = content.pop("errors"), content.pop("settings")
    arrivals, batching = settings.pop("arrivals"), settings.pop("batching")
    arrivals["recorded"] = tuple(arrivals["recorded"])
    if (lone := settings.pop("lone")) is not None:
        settings["lone"] = Lone(service_s=tuple(lone["service_s"]), servers=lone["servers"])
    content |= {name: tuple(content[name]) for name in ("looks", "elapsed_s")}
    return LoadMeasurement(
        served={role: _segments(arrays, f"{prefix}{role}_", texts) for role, texts in errors.items()},
        settings=LoadSettings(arrivals=Arrivals(**arrivals), batching=Batching(**batching), **settings),
        **content,
    )


def _segments(arrays: Mapping[str, Any], prefix: str, errors: list[str]) -> list[Served]:
    parts = {}
    for names, counts in ((OF_REQUESTS, "requests"), (OF_CALLS, "calls")):
        ends = np.cumsum(arrays[f"{prefix}{counts}"])[:-1]
        parts.update({name: np.split(arrays[f"{prefix}{name}"], ends) for name in names})
    spent = arrays[f"{prefix}processor_s"].tolist()
    return [
        Served(**{name: split[at] for name, split in parts.items()}, error=error, processor_s=spent[at])
        for at, error in enumerate(errors)
    ]


def pack_capacity(runs: Mapping[float, LoadMeasurement]) -> Arrays:
    """Return the loads at several rates as arrays."""
    arrays: Arrays = {"rates": np.array(list(runs))}
    for at, run in enumerate(runs.values()):
        arrays |= pack_load(run, f"{at}_")
    return arrays


def unpack_capacity(arrays: Mapping[str, Any]) -> dict[float, LoadMeasurement]:
    """Return what `pack_capacity` packed."""
    return {rate: unpack_load(arrays, f"{at}_") for at, rate in enumerate(arrays["rates"].tolist())}
