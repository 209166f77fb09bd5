"""Schedules: absolute, seeded, at the asked rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.probes.load.arrivals import arrivals_of, read_trace


def test_the_realised_rate_is_the_asked_one() -> None:
    """Random gaps are scaled to it, and stay random."""
    arrivals = arrivals_of("poisson", 200.0)
    times = arrivals.segment(400, 3, seed=1)
    assert times[-1] == pytest.approx(2.0)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.2)
    assert (gaps > 0).all()


def test_a_segment_is_the_same_each_time() -> None:
    """By its number and the seed: that is how two models get one schedule."""
    arrivals = arrivals_of("poisson", 200.0)
    assert arrivals.segment(50, 3, 1).tolist() == arrivals.segment(50, 3, 1).tolist()
    assert arrivals.segment(50, 3, 1).tolist() != arrivals.segment(50, 4, 1).tolist()
    assert arrivals.segment(50, 3, 1).tolist() != arrivals.segment(50, 3, 2).tolist()


def test_constant_arrivals_are_even() -> None:
    """Every gap is one over the rate, in a segment and in a replay."""
    arrivals = arrivals_of("constant", 4.0)
    assert arrivals.segment(3, 0, 0).tolist() == [0.25, 0.5, 0.75]
    assert arrivals.fresh(1, 3, np.random.default_rng(0)).tolist() == [[0.25, 0.5, 0.75]]


def test_a_trace_keeps_its_bursts(tmp_path: Path) -> None:
    """It is scaled to the rate as a whole, goes on from segment to segment, and starts again at its end."""
    path = tmp_path / "trace.txt"
    path.write_text("# seconds\n" + "\n".join(map(str, [0, 1, 2, 3, 4, 5, 6, 7, 8, 28])) + "\n")
    arrivals = arrivals_of(str(path), 9.0)  # 9 gaps in 28 s become 9 in 1 s
    first, second = arrivals.segment(6, 0, 0), arrivals.segment(6, 1, 0)
    assert np.diff(first) * 28 == pytest.approx([1] * 5)
    assert np.diff(second) * 28 == pytest.approx([1, 20, 1, 1, 1])
    assert arrivals.at(18.0).segment(9, 0, 0)[-1] == pytest.approx(0.5)


def test_arrivals_at_one_time_are_no_trace(tmp_path: Path) -> None:
    """There is no gap that could be scaled."""
    path = tmp_path / "trace.txt"
    path.write_text("5\n" * 20)
    with pytest.raises(UsageMistake, match="has 20 arrivals at one time"):
        read_trace(path)


def test_a_binary_file_is_no_trace(tmp_path: Path) -> None:
    """The message says that it is not text."""
    path = tmp_path / "trace.bin"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageMistake, match=r"cannot be read \(it is not text\)"):
        read_trace(path)
