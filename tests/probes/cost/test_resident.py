"""What a block takes of memory: exactly where the kernel keeps a mark, by samples where it does not."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench.probes.cost import resident
from pytest_modelbench.probes.cost.resident import PeakMeter

MB = 2**20
LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark is Linux's")


@LINUX
def test_what_is_held_and_what_was_a_spike() -> None:
    """Each to the two megabytes that are documented; what the process held before is not the block's."""
    gc.collect()  # nothing of an earlier test is freed in between
    before = np.ones(40 * MB // 8)
    with PeakMeter() as use:
        held = np.ones(30 * MB // 8)
        np.ones(80 * MB // 8)
    assert use.peak_bytes == pytest.approx(110 * MB, abs=2 * MB)
    assert use.held_bytes == pytest.approx(30 * MB, abs=2 * MB)
    assert use.before_bytes > before.nbytes
    assert "VmHWM" in use.method
    assert held[0] == 1


@LINUX
def test_memory_freed_before_is_not_used_in_secret() -> None:
    """What an earlier block freed goes back to the system, so that the next one is seen to take it."""
    pieces = [np.ones(2**13) for _ in range(400)]  # small enough to be kept by the allocator
    pieces.clear()
    with PeakMeter() as use:
        again = [np.ones(2**13) for _ in range(400)]
    assert use.peak_bytes == pytest.approx(400 * 2**16, rel=0.1)
    assert len(again) == 400


@LINUX
def test_whether_freed_memory_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does by the C library; an allocator that keeps it is found out."""
    assert resident.gives_back()
    sizes = iter([0, 8 * MB, 8 * MB])
    monkeypatch.setattr(resident, "resident_bytes", lambda: next(sizes))
    assert not resident.gives_back()


def test_one_meter_measures_several_blocks() -> None:
    """Each block starts anew."""
    meter = PeakMeter()
    with meter as first:
        np.ones(60 * MB // 8)
    with meter as second:
        np.ones(20 * MB // 8)
    assert first.peak_bytes > 2 * second.peak_bytes > 30 * MB


def test_without_a_mark_a_thread_samples() -> None:
    """It sees what lasts, says how it looked, and stops."""
    with PeakMeter(reset=lambda: False) as use:
        spike = np.ones(60 * MB // 8)
        time.sleep(20 * resident.SAMPLE_EVERY_S)
        del spike
    assert use.peak_bytes == pytest.approx(60 * MB, abs=3 * MB)
    assert use.held_bytes < 10 * MB
    assert "sampled every 2 ms" in use.method
