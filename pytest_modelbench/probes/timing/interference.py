"""What else happened on the machine while a model was timed: read before and after every round.

It explains why an interval is wide, and says which rounds may be repeated for means and medians.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")
_STAT = Path("/proc/stat")


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counters that only grow; 0 where the platform does not count.

    `involuntary_switches` are this process's, taken off the processor while it could have gone on
    (getrusage(2), ru_nivcsw). `pressure_us` is the time in which some task of the machine waited for a processor
    (Documentation/accounting/psi.rst of Linux). `stolen_s` is the time that a hypervisor gave to others (proc(5)).
    """

    involuntary_switches: int = 0
    pressure_us: int = 0
    stolen_s: float = 0.0

    @property
    def disturbing(self) -> bool:
        """Whether a round in which this came was disturbed: this process was taken off its processor."""
        return self.involuntary_switches > 0 or self.stolen_s > 0

    def since(self, earlier: Counters) -> Counters:
        """Return what has come since."""
        return Counters(
            involuntary_switches=self.involuntary_switches - earlier.involuntary_switches,
            pressure_us=self.pressure_us - earlier.pressure_us,
            stolen_s=self.stolen_s - earlier.stolen_s,
        )


def read_counters(pressure: Path = _PRESSURE, stat: Path = _STAT) -> Counters:
    """Read the counters of this process and this machine."""
    return Counters(
        involuntary_switches=_involuntary_switches(), pressure_us=_pressure_us(pressure), stolen_s=_stolen_s(stat)
    )


def _involuntary_switches() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _pressure_us(path: Path) -> int:
    try:
        first = path.read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return 0
    return int(first.rpartition("total=")[2] or 0)


def _stolen_s(path: Path) -> float:
    try:
        fields = path.read_text(encoding="ascii").partition("\n")[0].split()
    except OSError:
        return 0.0
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0.0
