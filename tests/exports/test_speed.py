"""The steps size and speed: limits on the file, decided by its bytes and by an interval."""

from __future__ import annotations

import re
from typing import Any

import pytest
from exporting import Export, assert_ready, floats, mlp

from pytest_modelbench.exports.options import ExportOptions
from pytest_modelbench.exports.speed import speedup
from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.models.adapters.fake import FakeClock, FakeModel
from pytest_modelbench.results import Estimate

BATCHES = [floats(4, 8), floats(4, 8, seed=1)]


def step(exported: Exported, name: str) -> Step:
    """Return a step that was taken."""
    found = exported.step(name)
    assert found is not None
    return found


def test_speed_and_size_are_skipped_without_a_limit(export: Export) -> None:
    """They cost nothing, and the format is ready."""
    exported = export(mlp(), "torch_export", BATCHES)
    assert_ready(exported)
    assert [step(exported, name).status for name in ("size", "speed")] == [Status.SKIP, Status.SKIP]


def test_a_file_that_is_too_large_is_not_ready(export: Export) -> None:
    """Its bytes and the limit are told, with what makes it smaller."""
    assert step(export(mlp(), "torch_export", BATCHES, size=1e6), "size").status is Status.PASS
    stopped = export(mlp(), "torch_export", BATCHES, size=10.0).stopped_at
    assert stopped is not None
    assert stopped.name == "size"
    assert re.fullmatch(r"[\d.]+ kB > 10 B", stopped.evidence)
    assert "raise size=" in stopped.remedy


@pytest.mark.parametrize(
    ("low", "high", "status", "words"),
    [
        (1.6, 1.8, Status.PASS, "1.7x as fast as the source (1.6x to 1.8x), >= 1.5x"),
        (1.1, 1.4, Status.FAIL, "1.25x as fast as the source (1.1x to 1.4x), < 1.5x"),
        (1.4, 1.6, Status.INCONCLUSIVE, "1.5x as fast as the source (1.4x to 1.6x), around 1.5x"),
    ],
)
def test_speed_is_decided_by_its_interval(
    export: Export, monkeypatch: pytest.MonkeyPatch, low: float, high: float, status: Status, words: str
) -> None:
    """It passes or fails only if the whole interval is on one side."""
    reading = Estimate(value=(low + high) / 2, low=low, high=high)
    monkeypatch.setattr("pytest_modelbench.exports.run.speedup", lambda *_: reading)
    exported = export(mlp(), "torch_export", BATCHES, speed=1.5)
    found = step(exported, "speed")
    assert (found.status, found.evidence) == (status, words)
    assert exported.ready == (status is Status.PASS)
    assert found.numbers["limit"] == 1.5


def test_speedup_of_written_costs() -> None:
    """A file of a quarter of the time is four times as fast, exactly on a fake clock."""
    clock = FakeClock()
    source, file = FakeModel(cost_ns=4e6, clock=clock), FakeModel(cost_ns=1e6, clock=clock)
    found = speedup(source, file, BATCHES[0])
    assert [found.value, found.low, found.high] == pytest.approx([4.0, 4.0, 4.0])


def test_options_are_read_from_a_gate() -> None:
    """Texts with units become bytes and a factor."""
    options: dict[str, Any] = {"size": "<= 2 MB", "speed": ">= 1.5x"}
    asked = ExportOptions.of_gate(options)
    assert (asked.size, asked.speed) == (2e6, 1.5)
    assert ExportOptions.from_json(asked.to_json()) == asked
