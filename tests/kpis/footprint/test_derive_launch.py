"""Memory and cold starts from launches: their resolution, and how many launches are taken."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.footprint.launch import GRANULARITY_BYTES, cold_start, memory_interval, peak_memory
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.probes.cost.launch import Launch
from pytest_modelbench.probes.cost.resident import EXACT


def launch(peak: float, **changes: Any) -> Launch:
    given = {"import_s": 1.0, "load_s": peak / 1e9, "first_output_s": 0.0, "base_bytes": 0, "loaded_bytes": 0}
    size = {"load_peak_bytes": int(peak), "run_peak_bytes": 0, "batch_size": 1, "method": EXACT}
    return Launch(**{**given, **size, **changes})


class Launches:
    """Stands for the measurements of one gate: launches of given peaks, and how many were asked for."""

    def __init__(self, most: int = 3, **peaks: list[float]) -> None:
        self.peaks = peaks
        self.most = most
        self.asked: list[Any] = []

    def launch(self, role: str, number: int = 0) -> Launch:
        self.asked.append((role, number))
        return launch(self.peaks[role][number])

    def launches_at_most(self) -> int:
        return self.most

    def cold_starts(self, count: int) -> dict[str, list[Launch]]:
        self.asked.append(count)
        return {role: [launch(peak) for peak in peaks[:count]] for role, peaks in self.peaks.items()}


def question(name: str, **changes: Any) -> Question:
    kpi = CATALOGUE[name]
    return Question(kpi=kpi, options={**kpi.options, **changes}, with_teacher=True)


def test_resolution() -> None:
    """One launch is known less well than two that agree; a first build, or a sampled one, less well still."""
    one, two = memory_interval([launch(10e6)]), memory_interval([launch(10e6), launch(10.2e6)])
    assert (one.value, one.low, one.high) == (10e6, 9.3e6, 10.7e6)
    assert two.value == 10.1e6
    assert two.high == pytest.approx(10.1e6 + 0.2e6 + GRANULARITY_BYTES)
    early = memory_interval([launch(10e6, first_build="cached")] * 2)
    assert (early.low, early.high) == (8e6, 12e6)
    assert memory_interval([launch(1e3)]).low == 0


def test_one_launch_more_at_each_look() -> None:
    """Nothing is launched for looks that nobody takes."""
    taken = Launches(student=[1e6, 1e6, 1e6], teacher=[2e6, 2e6, 2e6])
    looks = peak_memory(question("peak_memory"), taken)  # type: ignore[arg-type]
    first = next(looks)
    assert taken.asked == [("student", 0), ("teacher", 0)]
    assert first.comparison is not None
    assert first.comparison.ratio is not None
    assert first.comparison.ratio.low == pytest.approx(0.48 / 2.54)
    second = next(looks)
    assert second.comparison is not None
    assert second.comparison.ratio is not None
    assert second.comparison.ratio.high == pytest.approx(1.25 / 1.75)
    assert len(list(looks)) == 1
    once = Launches(most=1, student=[1e6], teacher=[2e6])
    assert len(list(peak_memory(question("peak_memory"), once))) == 1  # type: ignore[arg-type]


def test_cold_starts_look_at_three_and_at_the_last() -> None:
    """Every look has its share of the error, and nobody need ask for the next."""
    taken = Launches(student=[1e6, 2e6, 3e6, 2e6, 2e6], teacher=[1e6, 2e6, 3e6, 2e6, 2e6])
    looks = cold_start(question("cold_start"), taken)  # type: ignore[arg-type]
    first = next(looks)
    assert taken.asked == [3]
    assert first.student.n == 3
    assert next(looks).student.n == 5
    assert next(looks, None) is None
