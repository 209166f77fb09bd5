"""The shelf: a measurement is taken once, alone where it must be, watched, shown, and handed to other workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench.bench.shelf import Job, Shelf, Tell, Wire
from pytest_modelbench.errors import MeasurementError

WIRE: Wire[float] = Wire(lambda value: {"value": np.array(value)}, lambda arrays: float(arrays["value"]))


class Machine:
    """Notes in which order a measurement takes the machine, its watchdog and the progress line."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @contextlib.contextmanager
    def holding(self, what: str) -> Iterator[None]:
        self.events.append(what)
        yield
        self.events.append(f"end of {what}")

    def show(self, what: str, elapsed_s: float, budget_s: float) -> None:
        self.events.append(f"{what} {elapsed_s:g} of {budget_s:g}")

    def clear(self) -> None:
        self.events.append("cleared")

    def measure(self, tell: Tell) -> float:
        self.events.append("measured")
        tell(1.0, 4.0)
        return 0.5


def test_the_machine_is_held_around_watchdog_and_progress() -> None:
    """The machine is taken first and let go last; the line is cleared at the end."""
    machine = Machine()
    shelf = Shelf(exclusive=lambda: machine.holding("machine"), progress=machine)
    job = Job(
        kind="k",
        same=(1,),
        measure=machine.measure,
        exclusive=True,
        watched=machine.holding("watchdog"),
        shown="timing",
    )
    assert shelf.take(job) == 0.5
    assert shelf.take(job) == 0.5
    assert machine.events == [
        "machine",
        "watchdog",
        "measured",
        "timing 1 of 4",
        "cleared",
        "end of watchdog",
        "end of machine",
    ]


def test_what_shows_nothing_leaves_the_line_alone() -> None:
    """A job without a text neither shows nor clears, and does not wait for the machine."""
    machine = Machine()
    shelf = Shelf(exclusive=lambda: machine.holding("machine"), progress=machine)
    shelf.take(Job(kind="k", same=(1,), measure=machine.measure))
    assert machine.events == ["measured"]


@pytest.mark.parametrize("changed", [{"kind": "other"}, {"same": (2,)}])
def test_another_kind_or_dependency_is_measured_anew(changed: dict[str, object]) -> None:
    """Both parts of the key count."""
    machine, shelf = Machine(), Shelf()
    job = Job(kind="k", same=(1,), measure=machine.measure)
    shelf.take(job)
    shelf.take(replace(job, **changed))  # type: ignore[arg-type]
    assert machine.events == ["measured", "measured"]


def test_workers_share_by_names_where_it_travels(tmp_path: Path) -> None:
    """The second worker knows the content by another hash, and gets what the first one measured."""
    machine = Machine()
    job = Job(kind="k", same=("hash here",), run=("name",), measure=machine.measure, wire=WIRE)
    assert Shelf(tmp_path).take(job) == 0.5
    assert Shelf(tmp_path).take(replace(job, same=("hash there",))) == 0.5
    assert machine.events == ["measured"]
    Shelf(tmp_path).take(replace(job, wire=None))
    assert machine.events == ["measured", "measured"]


def test_a_failure_is_remembered_here_and_not_handed_over(tmp_path: Path) -> None:
    """The same process does not try again, another worker does."""
    calls = []

    def fails(_: Tell) -> float:
        calls.append(1)
        raise MeasurementError("the machine is too busy")

    job, shelf = Job(kind="k", same=(1,), run=(1,), measure=fails, wire=WIRE), Shelf(tmp_path)
    for one in (shelf, shelf, Shelf(tmp_path)):
        with pytest.raises(MeasurementError, match="too busy"):
            one.take(job)
    assert len(calls) == 2


def test_a_kind_can_be_forgotten() -> None:
    """It is taken anew, and other kinds are not."""
    machine, shelf = Machine(), Shelf()
    jobs = [Job(kind=kind, same=(1,), measure=machine.measure) for kind in ("a", "b")]
    for job in jobs:
        shelf.take(job)
    shelf.forget("a")
    for job in jobs:
        shelf.take(job)
    assert machine.events == ["measured"] * 3
