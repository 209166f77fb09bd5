"""What a report keeps of a timed measurement so that it can be drawn: quantiles, ratios of rounds, their centre."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from suites import Judge

from pytest_modelbench.bench.timed_run import MOST_LOOKS, MOST_ROUNDS, drawing_of, median_ratio, resolution
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.stats.intervals import FloatArray


def measurement(rounds: int, *roles: str, factor: float = 4.0) -> TimingMeasurement:
    """Return 10 placements of some rounds of 20 calls: the student's take 1 ms and a little, the teacher's `factor` of it."""
    rng = np.random.default_rng(0)
    placements = [[1e6 * rng.uniform(1, 1.2, 20) for _ in range(rounds)] for _ in range(10)]
    series: dict[str, list[list[FloatArray]]] = {
        role: placements if role == "student" else [[factor * calls for calls in of] for of in placements]
        for role in roles
    }
    sizes = dict.fromkeys(roles, 1)
    return TimingMeasurement(
        series=series, calm=series, batch_sizes=sizes, looks=(5, 10), elapsed_s=(1.0, 2.0), copied=True
    )


def test_quantiles_of_every_model() -> None:
    """101 rising times in ms, from the fastest call to the slowest; the workload is not a model of the user's."""
    drawing = drawing_of(measurement(3, "student", "teacher", "workload"))
    assert set(drawing["quantiles"]) == {"student", "teacher"}
    times = drawing["quantiles"]["student"]
    assert len(times) == 101
    assert times == sorted(times)
    assert 1.0 <= times[0] <= times[50] == pytest.approx(1.1, rel=0.02)
    assert drawing["quantiles"]["teacher"][50] == pytest.approx(4 * times[50], rel=1e-5)


def test_ratio_of_every_round() -> None:
    """In their order, and over all with the interval that a limit on the median would be judged by."""
    drawing = drawing_of(measurement(3, "student", "teacher"))
    assert drawing["round_ratios"] == [0.25] * 30
    assert drawing["median_ratio"]["value"] == pytest.approx(0.25)
    assert drawing["median_ratio"]["ci_low"] <= 0.25 + 1e-9
    assert drawing["median_ratio"]["ci_high"] >= 0.25 - 1e-9


def test_ratio_at_every_look() -> None:
    """After how many rounds, with the interval of then; the last one is that of the whole measurement."""
    drawing = drawing_of(measurement(9, "student", "teacher"))
    assert [look["rounds"] for look in drawing["look_ratios"]] == [5 * 9, 10 * 9]
    last = {name: value for name, value in drawing["look_ratios"][-1].items() if name != "rounds"}
    assert last == drawing["median_ratio"]
    many = replace(measurement(3, "student", "teacher"), looks=tuple(3 + look // 5 for look in range(40)))
    shown = drawing_of(many)["look_ratios"]
    assert len(shown) == MOST_LOOKS
    assert (shown[0]["rounds"], shown[-1]["rounds"]) == (3 * 3, 3 * 10)


def test_many_rounds() -> None:
    """Neighbours are put together, so that a report stays small."""
    drawing = drawing_of(measurement(100, "student", "teacher"))
    assert len(drawing["round_ratios"]) == MOST_ROUNDS
    assert len(json.dumps(drawing)) < 8000


def test_without_a_teacher() -> None:
    """There are quantiles and no ratios; the resolution is that of the student's own median."""
    alone = measurement(3, "student")
    assert set(drawing_of(alone)) == {"quantiles"}
    assert median_ratio(alone) is None
    assert 0 < resolution(alone) < 0.1


def test_a_report_has_them(judge: Judge) -> None:
    """As the schema says; the median of the calls is the reading of the KPI."""
    suite = 'import pytest\n@pytest.mark.kpi("latency_p50", "ratio <= 90%")\ndef test_speed(): ...\n'
    report = judge(suite).report
    (timing,) = report["timings"]
    readings = report["gates"][0]["readings"]
    for role in ("student", "teacher"):
        assert timing["quantiles"][role][50] == pytest.approx(readings[role]["value"], rel=1e-5)
    assert len(timing["round_ratios"]) == timing["rounds"]
    assert timing["median_ratio"]["value"] == pytest.approx(0.4, rel=0.01)
