"""When requests arrive: at random, evenly, or as they were recorded. Read at collection: numpy loads late."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modelbench.errors import UsageMistake, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

POISSON, CONSTANT = "poisson", "constant"
LEAST_RECORDED = 10
"""Arrivals in a trace: fewer are no load."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """An arrival process.

    Attributes:
        kind: `poisson`, `constant`, or the path of a trace.
        rate: the mean number of arrivals in a second.
        recorded: the gaps of a trace in seconds, scaled so that their mean is 1 / rate; empty for the others.
    """

    kind: str
    rate: float
    recorded: tuple[float, ...] = ()

    def segment(self, count: int, number: int, seed: int) -> FloatArray:
        """Return the absolute times of one segment's arrivals, in seconds from its start.

        Random gaps are scaled so that the realised rate is the asked one. A trace goes on where the segment before
        it ended, and starts again at its end.

        Args:
            count: of the arrivals.
            number: of the segment, from 0: the same number gives the same times.
            seed: of the whole schedule.
        """
        import numpy as np

        if self.recorded:
            times: FloatArray = np.cumsum(np.take(self.recorded, number * count + np.arange(count), mode="wrap"))
            return times
        if self.kind == CONSTANT:
            return np.arange(1, count + 1) / self.rate
        gaps = np.random.default_rng([seed, number]).exponential(size=count)
        scaled: FloatArray = np.cumsum(gaps) * (count / self.rate / gaps.sum())
        return scaled

    def fresh(self, streams: int, count: int, rng: np.random.Generator) -> FloatArray:
        """Return the times of other arrivals, (streams, count), in seconds; their realised rate is random."""
        import numpy as np

        if self.recorded:
            starts = rng.integers(len(self.recorded), size=(streams, 1))
            return np.cumsum(np.take(self.recorded, starts + np.arange(count), mode="wrap"), axis=1)
        if self.kind == CONSTANT:
            return np.tile(np.arange(1, count + 1) / self.rate, (streams, 1))
        return np.cumsum(rng.exponential(1 / self.rate, size=(streams, count)), axis=1)

    def at(self, rate: float) -> Arrivals:
        """Return the same process at another rate."""
        factor = self.rate / rate
        return Arrivals(kind=self.kind, rate=rate, recorded=tuple(gap * factor for gap in self.recorded))


def arrivals_of(kind: str, rate: float) -> Arrivals:
    """Return the arrival process that a gate asks for.

    Args:
        kind: `poisson`, `constant`, or the path of a trace.
        rate: in arrivals a second; a trace is scaled to it.

    Raises:
        UsageMistake: the trace cannot be read.
    """
    if kind in {POISSON, CONSTANT}:
        return Arrivals(kind=kind, rate=rate)
    times = read_trace(Path(kind))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    scale = len(gaps) / rate / sum(gaps)
    return Arrivals(kind=kind, rate=rate, recorded=tuple(gap * scale for gap in gaps))


def read_trace(path: Path) -> list[float]:
    """Read the times of recorded arrivals: one number of seconds in a line, ascending; `#` starts a comment.

    Raises:
        UsageMistake: there is no such file, or a line is not a time that can follow the one before it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageMistake(
            f"arrivals={shown(str(path))}: the trace cannot be read ({reason}). Write 'poisson', 'constant' or the "
            "path of a file with the time of one arrival, in seconds, in each line"
        ) from error
    times: list[float] = []
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            times.append(_next_time(f"arrivals={shown(str(path))}: line {number}", text, times))
    if len(times) < LEAST_RECORDED or times[-1] == times[0]:
        raise UsageMistake(
            f"arrivals={shown(str(path))}: the trace has {len(times)} arrivals"
            f"{' at one time' if len(times) >= LEAST_RECORDED else ''}, expected at least {LEAST_RECORDED} "
            "at different times, one in each line, in seconds"
        )
    return times


def _next_time(where: str, text: str, times: list[float]) -> float:
    value = _number(text)
    if value is None or not math.isfinite(value):
        raise UsageMistake(f"{where} has {shown(text)}, expected the time of an arrival in seconds, such as 12.25")
    if value < 0:
        raise UsageMistake(f"{where} has the negative time {text}. Write seconds since the start of the recording")
    if times and value < times[-1]:
        raise UsageMistake(
            f"{where} has {text} after {times[-1]:g}: the times must ascend. Sort them, or, if these are gaps, "
            "write their running sums"
        )
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
