"""Growth of memory over calls: a leak by its size, nothing for a steady model or a cache that is filled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.probes.cost.growth import WINDOWS, Growth, take
from pytest_modelbench.probes.kinds import Taking

DATA = EvalData(np.ones((8, 4)), np.zeros(8))


def growth(answer: Callable[[Any], Any], **options: Any) -> Growth:
    """Measure a model that answers by a function."""
    return take(Taking(model=FakeModel(outputs=answer), data=DATA, options=options))


def test_a_leak_has_its_size() -> None:
    """Two kilobytes kept by each call are two megabytes for a thousand calls."""
    kept: list[bytearray] = []

    def leaking(batch: Any) -> Any:
        kept.append(bytearray(2048))
        return batch

    found = growth(leaking, batch_size=2)
    assert found.per_thousand.value == pytest.approx(2_090_000, rel=0.2)
    assert found.per_thousand.low is not None
    assert found.per_thousand.low > 1_500_000
    assert found.batch_size == 2
    assert found.calls % WINDOWS == 0


def test_a_steady_model_grows_by_nothing() -> None:
    """Less than 200 kB for a thousand calls, also where each call makes garbage in cycles."""

    def steady(batch: Any) -> Any:
        circle: list[Any] = [np.ones(100)]
        circle.append(circle)
        return batch * 2

    assert growth(steady).per_thousand.value < 200_000


def test_what_grows_once_does_not_count() -> None:
    """A cache that is filled at some call moves one window only."""
    kept: list[np.ndarray[Any, Any]] = []
    calls = 0

    def caching(batch: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 9000:
            kept.append(np.ones(2**22))
        return batch

    found = growth(caching)
    assert found.calls > 9000
    assert kept
    assert found.per_thousand.value < 200_000


def test_a_model_that_raises_is_blamed() -> None:
    """Its error is told as that of any call."""

    def broken(_batch: Any) -> Any:
        raise RuntimeError("out of order")

    with pytest.raises(ModelError, match="out of order"):
        growth(broken)


def test_another_machine_has_its_own_memory() -> None:
    """An endpoint's memory cannot be read here."""
    model = FakeModel()
    model.runs_at = "kserve://localhost"
    with pytest.raises(NotApplicable, match="whose memory is not this machine's"):
        take(Taking(model=model, data=DATA))
