"""What reads energy on this machine, through CodeCarbon, and what each of its numbers is worth."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pytest_modelbench.errors import MeasurementError, cause_of

JOULES_PER_KWH = 3.6e6
_HARDWARE_KEYS = frozenset(
    {"force_cpu_power", "force_ram_power", "force_mode_cpu_load", "rapl_include_dram", "rapl_prefer_psys", "gpu_ids"}
)
"""The part of CodeCarbon's configuration that says something of the machine. The rest is about reports."""


class Component(NamedTuple):
    """A part of the machine whose energy is read: `provenance` is `measured`, `modelled` or `constant`."""

    name: str
    provenance: str
    method: str

    @property
    def counts(self) -> bool:
        """Whether its energy says anything about a model."""
        return self.provenance != "constant"


class EnergySource(Protocol):
    """Reads energy between two moments."""

    @property
    def components(self) -> Sequence[Component]:
        """What is read, with what it is worth."""

    def start(self) -> None:
        """Begin a window."""

    def stop(self, seconds: float) -> Mapping[str, float]:
        """End it and return the joules of every component.

        Args:
            seconds: how long it was.
        """


class CodeCarbonSource:
    """CodeCarbon's view of the hardware: no files, no network, no log, no thread beside what is measured.

    Where there is a counter (RAPL, NVML) the machine's energy is read. Where there is none, CodeCarbon estimates that
    of this process, from its processor time and a thermal design power.

    Args:
        hardware: CodeCarbon's parts of the machine; found by it unless given.
    """

    def __init__(self, hardware: Sequence[Any] | None = None) -> None:
        self._hardware = list(hardware) if hardware is not None else _found_hardware()
        named = [(_component(part), part) for part in self._hardware]
        self._parts = {component.name: part for component, part in named}
        self._components = tuple(component for component, _ in named)

    @property
    def components(self) -> Sequence[Component]:
        """What CodeCarbon reads on this machine."""
        return self._components

    def start(self) -> None:
        """Read all counters."""
        for part in self._hardware:
            part.start()

    def stop(self, seconds: float) -> dict[str, float]:
        """Read them again."""
        joules = {}
        for name, part in self._parts.items():
            _, energy = part.measure_power_and_energy(last_duration=seconds)
            joules[name] = float(energy.kWh) * JOULES_PER_KWH
        return joules


def _found_hardware() -> list[Any]:
    """Let CodeCarbon detect what it can read here, without the reports that its configuration asks for.

    Raises:
        MeasurementError: it cannot.
    """
    emissions_tracker: Any = importlib.import_module("codecarbon.emissions_tracker")
    asked = emissions_tracker.get_hierarchical_config
    emissions_tracker.get_hierarchical_config = lambda: _of_hardware(asked)
    try:
        return _parts_by(emissions_tracker.OfflineEmissionsTracker)
    except Exception as error:
        raise MeasurementError(f"CodeCarbon cannot find out what it can read here: {cause_of(error)}") from error
    finally:
        emissions_tracker.get_hierarchical_config = asked


def _of_hardware(asked: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what CodeCarbon's files and variables say of the machine; nothing where they cannot be read."""
    try:
        return {name: value for name, value in asked().items() if name in _HARDWARE_KEYS}
    except Exception:  # noqa: BLE001 - no home, a file that is none: what they say of reports matters to nobody here
        return {}


def _parts_by(tracker_class: Any) -> list[Any]:
    log = logging.getLogger("codecarbon")
    level = log.level
    log.setLevel(logging.CRITICAL)  # its set-up talks
    try:
        tracker = tracker_class(
            country_iso_code="USA",  # it needs one; nothing of it is used
            output_methods=[],
            output_dir=tempfile.gettempdir(),
            log_level="critical",
            allow_multiple_runs=True,
            tracking_mode="process",
        )
        tracker.get_detected_hardware()
        return list(tracker._hardware)  # noqa: SLF001 - there is no public way to its parts
    finally:
        log.setLevel(level)


def _component(part: Any) -> Component:
    """Say what a part of CodeCarbon's hardware is worth."""
    kind, mode = type(part).__name__, str(getattr(part, "_mode", ""))
    if kind == "RAM":
        return Component("RAM", "constant", "CodeCarbon's constant power for its size")
    if kind == "GPU":
        return Component("GPU", "measured", "the energy counters of the GPU (NVML or AMD SMI)")
    if kind == "CPU" and mode == "cpu_load":
        tdp = getattr(part, "_tdp", None)
        return Component(
            "CPU",
            "modelled",
            f"CodeCarbon's estimate: {tdp:g} W times the share of all processors that this process used",
        )
    if kind == "CPU" and mode == "constant":
        return Component("CPU", "constant", "CodeCarbon's constant power")
    names = {"intel_rapl": "RAPL", "windows_emi": "Windows EMI", "intel_power_gadget": "Intel Power Gadget"}
    return Component(getattr(part, "chip_part", "CPU"), "measured", names.get(mode, kind))
