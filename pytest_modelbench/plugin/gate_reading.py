"""From a kpi marker on an item to a gate: the marker is read once, and what it names is found."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.errors import UsageMistake

if TYPE_CHECKING:
    from pytest_modelbench.gates.gate import Gate
    from pytest_modelbench.kpis.kpi import Kpi
    from pytest_modelbench.settings import Settings

MARKER = "marker"
_Read = dict[tuple[int, str], tuple[pytest.Mark, "Gate | UsageMistake"]]
_READ: pytest.StashKey[_Read] = pytest.StashKey()
"""On the config: what each marker says, or the mistake in it; the markers are kept, so that no id is used again."""


def needed(mark: pytest.Mark, config: pytest.Config, source: str) -> tuple[bool, bool]:
    """Return whether a marker needs evaluation data and the teacher, without refusing anything.

    Fixtures are asked for before mistakes are reported; a marker that cannot be read needs neither.
    """
    from pytest_modelbench.gates.assignment import needs

    gate = _read(mark, config, source)
    return (False, False) if isinstance(gate, UsageMistake) else needs(gate)


def gate_of(mark: pytest.Mark, item: pytest.Item, own: Settings, source: str, *, ready_made: bool) -> Gate:
    """Return the gate that a marker means on an item, with the functions that it names.

    Args:
        mark: as written.
        item: that carries it.
        own: the settings that hold for the item.
        source: where the marker is written: `MARKER`, or the name of a modelbench.toml.
        ready_made: whether the item comes from a suite.

    Raises:
        UsageMistake: something in it cannot be understood, or needs what the session does not state.
    """
    gate, folder = _read(mark, item.config, source), item.path.parent
    if isinstance(gate, UsageMistake):
        raise gate.with_traceback(None)
    kpi = _with_located_metric(gate.kpi, folder)
    _check_attack(gate, ready_made=ready_made)
    options = _with_located_models(gate, _with_located_functions(gate, folder), folder)
    options = _with_located_corruptions(gate, options, item)
    if kpi.needs_grid:
        from pytest_modelbench.probes.cost.carbon import grid

        grid(own.country, own.grid_intensity)
    if kpi.probe.recorded and source != MARKER:
        raise UsageMistake(
            f"kpi {kpi.name!r}: a custom KPI in this file needs metric=, because there is no test "
            'to record it. Write metric = "module:function"'
        )
    if _times_itself(item) and kpi.timed:
        kpi = _benchmarked(gate)
    fallback = own.confidence if "confidence" in kpi.options else None
    confidence = fallback if gate.confidence is None else gate.confidence
    return replace(gate, kpi=kpi, options=options, confidence=confidence, ready_made=ready_made)


def _read(mark: pytest.Mark, config: pytest.Config, source: str) -> Gate | UsageMistake:
    """Read a marker, once for the session: what it says or the mistake in it."""
    cache = config.stash.setdefault(_READ, {})
    key = (id(mark), source)
    if key not in cache:
        from pytest_modelbench.gates.reading import read_gate

        try:
            cache[key] = mark, read_gate(mark.args, mark.kwargs, source=source)
        except UsageMistake as mistake:
            cache[key] = mark, mistake
    return cache[key][1]


def _times_itself(item: pytest.Item) -> bool:
    """Whether a test asks for the fixture of pytest-benchmark, which times what the test calls."""
    return "benchmark" in getattr(item, "fixturenames", ()) and item.config.pluginmanager.hasplugin("benchmark")


def _benchmarked(gate: Gate) -> Kpi:
    """Return a latency that comes from what pytest-benchmark times in the test's body.

    Raises:
        UsageMistake: a timed KPI that such rounds cannot give, or a limit that needs another model.
    """
    if not gate.kpi.from_rounds:
        raise UsageMistake(
            f"kpi {gate.kpi.name!r}: this test's rounds come from pytest-benchmark, which gives latency_mean, "
            "latency_p50 and other percentiles. Take one of these, or remove the fixture benchmark"
        )
    compares = next((limit for limit in gate.limits if limit.needs_teacher or limit.regresses), None)
    if compares is not None:
        raise UsageMistake(
            f"kpi {gate.kpi.name!r}: '{compares}' needs another model, and pytest-benchmark times this test's "
            "function alone. Write '<= 120 ms', or remove the fixture benchmark"
        )
    from pytest_modelbench.probes.kinds import BENCHMARK

    return replace(gate.kpi, probe=BENCHMARK)


def _check_attack(gate: Gate, *, ready_made: bool) -> None:
    """Refuse a gate that attacks and does not say how far, or not in a way that can be read.

    Raises:
        UsageMistake: saying what to write.
    """
    if "eps" not in gate.kpi.options:
        return
    from pytest_modelbench.grammar.radius import EXPECTED, read_radius

    what, options = f"kpi {gate.kpi.name!r}", gate.options
    eps = options["eps"]
    if (options["mean"] is None) is not (options["std"] is None):
        raise UsageMistake(
            f"{what}: mean= and std= say together how inputs were normalised, and one of them is missing. Write both"
        )
    sizes = {len(value) for value in (options["mean"], options["std"]) if isinstance(value, Sequence)} - {1}
    if len(sizes) > 1:
        raise UsageMistake(
            f"{what}: mean= has {len(options['mean'])} numbers and std= has {len(options['std'])}. Write one number, "
            "or one for each channel"
        )
    if eps is None and ready_made:
        return  # left out when it is measured, with what to write
    if eps is None:
        raise UsageMistake(f"{what}: eps= is missing: how far an attack may go. Write {EXPECTED}")
    try:
        read_radius(eps, options["norm"])
    except ValueError as error:
        raise UsageMistake(f"{what}: eps={eps!r}, expected {error}") from error


def _with_located_functions(gate: Gate, folder: Path) -> dict[str, Any]:
    """Return a gate's options with the functions that it names as `module:function`.

    Raises:
        UsageMistake: a transform is missing, or there is no such function.
    """
    options = dict(gate.options)
    if options.get("transform", "") is None:
        raise UsageMistake(
            f"kpi {gate.kpi.name!r}: transform= is missing: what changes the inputs. Write transform=..."
        )
    for name in ("transform", "attack", "ood"):
        named = options.get(name)
        if not isinstance(named, str) or (name == "ood" and ":" not in named):
            continue
        from pytest_modelbench.models.locate import locate
        from pytest_modelbench.models.named import NamedSpec

        try:
            function = locate(NamedSpec(spec=named), folder, saved=False).target
        except UsageMistake as mistake:
            raise UsageMistake(f"kpi {gate.kpi.name!r}: {name} {mistake}") from mistake
        if not callable(function):
            raise UsageMistake(f"kpi {gate.kpi.name!r}: {name} {named!r} is not a function")
        options[name] = function
    return options


def _with_located_corruptions(gate: Gate, options: dict[str, Any], item: pytest.Item) -> dict[str, Any]:
    """Return a gate's options with the corruptions that it names: built-in, registered above it, module:function.

    Raises:
        UsageMistake: there is no such corruption.
    """
    if not {"corruptions", "under"} & set(options):
        return options
    from pytest_modelbench.data.corruptions.names import cell_of, find
    from pytest_modelbench.plugin.corrupted_cases import located, registered_for

    locate = functools.partial(located, folder=item.path.parent)
    try:
        registered = registered_for(item)
        if "under" in options:
            return {**options, "under": cell_of(options["under"], registered, locate, what="under=")}
        named = find(options["corruptions"], registered, locate)
        return {**options, "corruptions": named, "severities": tuple(options["severities"])}
    except UsageMistake as mistake:
        raise UsageMistake(f"kpi {gate.kpi.name.partition(' under ')[0]!r}: {mistake}") from mistake


def _with_located_models(gate: Gate, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a gate's options with the models that it names found, but neither called nor loaded.

    Raises:
        UsageMistake: there is no such file, module or attribute.
    """
    for name in ("source", "surrogate"):
        if not isinstance(named := options.get(name), str) or name not in gate.kpi.options:
            continue
        from pytest_modelbench.models.locate import locate
        from pytest_modelbench.models.named import NamedSpec

        spec = NamedSpec(spec=named, folder=str(folder), where=f"{name}=")
        try:
            locate(spec, folder)
        except UsageMistake as mistake:
            raise UsageMistake(f"kpi {gate.kpi.name!r}: {name} {mistake}") from mistake
        options = {**options, name: spec}
    return options


def _with_located_metric(kpi: Kpi, folder: Path) -> Kpi:
    """Return a KPI with the metric that it names: a scorer of scikit-learn, or `module:attribute`.

    Raises:
        UsageMistake: there is no such thing.
    """
    metric = kpi.metric
    if not isinstance(metric, str):
        return kpi
    from pytest_modelbench.kpis.catalogue import check_metric

    if ":" not in metric:
        from sklearn.metrics import get_scorer_names

        if metric not in get_scorer_names():
            near = difflib.get_close_matches(metric, get_scorer_names(), n=1)
            nearest = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageMistake(f"kpi {kpi.name!r}: scikit-learn has no scorer {metric!r}{nearest}")
        return kpi
    from pytest_modelbench.models.locate import locate
    from pytest_modelbench.models.named import NamedSpec

    try:
        target = locate(NamedSpec(spec=metric), folder).target
    except UsageMistake as mistake:
        raise UsageMistake(f"kpi {kpi.name!r}: metric {mistake}") from mistake
    check_metric(kpi.name, target)
    return replace(kpi, metric=target)
