"""A launch's parts: bytes of a GPU by a fake of it, loading in several blocks, and what travels."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import FakeModel
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.cost import launch, resident
from pytest_modelbench.probes.cost.launch import (
    Launching,
    LaunchRequest,
    gpu_bytes,
    gpu_bytes_before,
    pack_launches,
    unpack_launches,
)
from pytest_modelbench.probes.requests import read_request, write_request


class FakeCuda:
    """Two GPUs, with the calls that a meter makes."""

    def __init__(self, *, initialised: bool = True) -> None:
        self.initialised = initialised
        self.allocated = {0: 100, 1: 7}
        self.highest = {0: 900, 1: 7}

    def is_initialized(self) -> bool:
        return self.initialised

    def device_count(self) -> int:
        return 2

    def reset_peak_memory_stats(self, number: int) -> None:
        self.highest[number] = self.allocated[number]

    def memory_allocated(self, number: int) -> int:
        return self.allocated[number]

    def max_memory_allocated(self, number: int) -> int:
        return self.highest[number]

    def max_memory_reserved(self, number: int) -> int:
        return 2048


def on(device: str, index: int | None = None) -> Any:
    model = FakeModel(name="student")
    model.device = types.SimpleNamespace(type=device, index=index)  # type: ignore[attr-defined]
    return model


def test_bytes_of_a_gpu_without_what_was_there_before() -> None:
    """Data and library on the GPU do not count; an earlier peak does not either."""
    cuda = FakeCuda()
    before = gpu_bytes_before(cuda)
    cuda.highest[0] = 600
    assert gpu_bytes(on("cuda"), before, cuda) == (500, 2048)
    assert gpu_bytes(on("cuda", 1), before, cuda) == (0, 2048)
    assert gpu_bytes(on("cpu"), before, cuda) == (None, None)
    assert gpu_bytes(FakeModel(), before, cuda) == (None, None)


def test_bytes_that_loading_adds_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were there before its fixture are not among them."""
    cuda = FakeCuda()
    monkeypatch.setattr(launch, "gpu_bytes_before", lambda: gpu_bytes_before(cuda))
    launching = Launching(request(), import_s=0)
    with launching.loading():
        cuda.allocated[0] += 500
        cuda.allocated[1] += 30
    assert launching.gpu_held_bytes(cuda) == 530
    assert launching.gpu_held_bytes(FakeCuda(initialised=False)) == 0


def test_gpu_that_is_not_in_use_is_left_alone() -> None:
    """Asking would initialise it."""
    assert gpu_bytes_before(FakeCuda(initialised=False)) == {}


def request(**changes: Any) -> LaunchRequest:
    given = {"role": "student", "model": "m", "batch_size": 1, "frameworks": (), "memory": True, "budget_s": 1.0}
    return LaunchRequest(**{**given, **changes})


def test_loading_in_blocks() -> None:
    """Blocks add up, one inside of another counts once, and what only looks takes no time."""
    launching = Launching(request(), import_s=0.5)
    with launching.loading(), launching.loading():
        weights = np.ones(30 * 2**17)
    with launching.loading(timed=False):
        more = np.ones(10 * 2**17)
    seconds = launching.load_s
    with launching.loading():
        pass
    assert launching.load_s - seconds < seconds
    launch = launching.run(FakeModel(), [[1], [2]])
    assert launch.import_s == 0.5
    assert launch.loaded_bytes == pytest.approx(weights.nbytes + more.nbytes, abs=2**20)
    assert launch.peak_bytes >= launch.loaded_bytes
    assert unpack_launches(pack_launches([launch])) == [launch]


def test_requests_travel(tmp_path: Any) -> None:
    """As a file that names its kind."""
    asked = request(frameworks=["torch"])
    write_request(asked, tmp_path / "request.json")
    assert read_request(tmp_path / "request.json") == asked


def launch_of(**changes: Any) -> launch.Launch:
    given = {"import_s": 1.0, "load_s": 2.0, "first_output_s": 0.5, "base_bytes": 100, "load_peak_bytes": 90}
    more = {"loaded_bytes": 80, "run_peak_bytes": 85, "batch_size": 1, "method": resident.EXACT}
    return launch.Launch(**{**given, **more, **changes})


def test_time_of_the_first_build_and_memory_of_the_second() -> None:
    """What the first held beyond the second was imported."""
    second = launch_of(load_s=0.1, first_output_s=0.1, base_bytes=170, load_peak_bytes=12, loaded_bytes=10)
    both = launch_of().with_memory_of(second)
    assert (both.load_s, both.first_output_s, both.base_bytes) == (2.0, 0.5, 100)
    assert (both.load_peak_bytes, both.loaded_bytes, both.imported_bytes) == (12, 10, 70)
    assert both.exact
    assert not launch_of(first_build="cached").exact
    assert not launch_of(method="sampled every 2 ms").exact


def test_model_of_another_structure_is_refused() -> None:
    """It would be another model's memory."""
    launch.refuse_other_structure("student", "torch:a", "torch:a")
    with pytest.raises(MeasurementError, match="the student is another model, with other layers, shapes or types"):
        launch.refuse_other_structure("student", "torch:a", "torch:b")
