"""Batch sizes: the curve, the best of it, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.probes.timing import sweep
from pytest_modelbench.probes.timing.sweep import Curve, sweep_batch_sizes


class Batched(FakeModel):
    """Costs a fixed part and a part for each sample, which is tenfold beyond `knee` samples."""

    def __init__(self, fixed_ns: float, sample_ns: float, knee: int = 1_000, fails_at: int = 1_000) -> None:
        super().__init__(clock=FakeClock())
        self.fixed_ns, self.sample_ns, self.knee, self.fails_at = fixed_ns, sample_ns, knee, fails_at

    def bind(self, inputs: list[int]) -> Any:
        def call() -> None:
            if len(inputs) >= self.fails_at:
                raise RuntimeError("out of memory")
            beyond = max(0, len(inputs) - self.knee)
            self.clock.advance(self.fixed_ns + self.sample_ns * (len(inputs) + 9 * beyond))

        return call


def curve(model: FakeModel, samples: int = 1_000, budget_s: float = 60.0, memory: float | None = None) -> Curve:
    def batches(size: int) -> list[Any]:
        return [list(range(size))] * 2 if size <= samples else []

    return sweep_batch_sizes({"student": model}, batches, budget_s=budget_s, memory=memory)["student"]


def test_best_batch_size_is_where_samples_per_second_peak() -> None:
    """The fixed cost is spread up to the knee, beyond which every sample costs more."""
    found = curve(Batched(1e6, 1e4, knee=32))
    assert [point.batch_size for point in found.points] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert found.best == 32
    assert found.points[5].samples_per_s == pytest.approx(32 / (1e-3 + 32e-5))
    assert found.points[5].call_ms == pytest.approx(1.32)
    assert found.ended == "256 is the largest"


def test_data_without_a_full_batch_end_the_sweep() -> None:
    """Nothing is padded and nothing repeated."""
    found = curve(Batched(1e6, 1e4), samples=20)
    assert (found.best, found.ended) == (16, "the data have no full batch of 32")


def test_calls_that_would_take_too_long_end_the_sweep() -> None:
    """A fifth of the budget is for the sweep."""
    found = curve(Batched(0, 1e8), budget_s=10)
    assert found.ended == (
        "a call at batch size 16 would take about 1.6 s, and 1.6 s of the 2 s for the search are spent"
    )


@pytest.mark.parametrize("call_ns", [1e6, 2.5e8, 6e8], ids=["1ms", "250ms", "600ms"])
def test_slow_calls_that_take_no_longer_for_larger_batches_are_found(call_ns: float) -> None:
    """A batch of 256 may take as long as a single sample: that is tried, whatever a single sample takes."""
    found = curve(Batched(call_ns, 0.0))
    assert (found.best, found.ended) == (256, "256 is the largest")


def test_second_size_is_tried_whatever_the_first_took() -> None:
    """One sample takes half of the search's time: two are tried all the same, and the curve says why no more are."""
    found = curve(Batched(1e9, 0.0), budget_s=10)
    assert [point.batch_size for point in found.points] == [1, 2]
    assert "a call at batch size 4 would take about 1 s, and 2 s of the 2 s" in found.ended


def test_first_call_that_compiles_is_no_point_of_the_curve() -> None:
    """A lazy compilation at batch size 1 does not make larger batches look good."""

    class Lazy(Batched):
        def bind(self, inputs: list[int]) -> Any:
            call = super().bind(inputs)

            def first_slow() -> None:
                self.clock.advance(self.compile_ns)
                self.compile_ns = 0.0
                call()

            return first_slow

        compile_ns = 5e8

    assert curve(Lazy(0, 1e7)).points[0].call_ms == pytest.approx(10)


def test_model_that_refuses_larger_batches() -> None:
    """The reason stands in the curve; the sizes before count."""
    found = curve(Batched(1e6, 1e4, fails_at=8))
    assert (found.best, found.ended) == (4, "RuntimeError at batch size 8")


def test_model_that_fails_at_one_sample_is_an_error() -> None:
    """There is no smaller batch."""
    with pytest.raises(ModelError, match="fake raised RuntimeError"):
        curve(Batched(1e6, 1e4, fails_at=1))


def test_memory_bound_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the batches add to the process counts, not what it held before."""
    peaks = iter(range(1, 20))
    monkeypatch.setattr(sweep, "resident_bytes", lambda: 10_000_000)
    monkeypatch.setattr(sweep, "peak_bytes", lambda: 10_000_000 + 1_000_000 * next(peaks))
    found = curve(Batched(1e6, 1e4), memory=4e6)
    assert [point.added_bytes for point in found.points] == [1_000_000, 2_000_000, 3_000_000, 4_000_000]
    assert found.ended == "the memory bound is passed at batch size 16"


def test_single_sample_beyond_the_bound_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing smaller to measure within it."""
    monkeypatch.setattr(sweep, "resident_bytes", lambda: 0)
    monkeypatch.setattr(sweep, "peak_bytes", lambda: 50_000_000)
    with pytest.raises(
        MeasurementError, match="a single sample adds 50 MB to the process, and the memory bound is 1 MB"
    ):
        curve(Batched(1e6, 1e4), memory=1e6)


def test_curve_is_plain_json() -> None:
    """As it stands in the report."""
    told = curve(Batched(1e6, 1e4), samples=2).to_json()
    assert told["best"] == 2
    assert set(told["curve"][0]) == {"batch_size", "call_ms", "samples_per_s", "added_bytes"}
