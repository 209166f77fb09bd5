"""What all engines have in common: the choice, exceptions as values, and a second attempt."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import engine_tasks as tasks
import pytest

from pytest_modelbench import errors
from pytest_modelbench.bench.engines.attempts import attempted
from pytest_modelbench.bench.engines.engine import ENGINES, Engine, Lost, Raised, engine_for, processors
from pytest_modelbench.bench.engines.gpus import visible_gpus
from pytest_modelbench.bench.engines.serial import Serial
from pytest_modelbench.options import ENGINES as CHOICES


class Scripted(Engine):
    """Delivers what is written, one list for each attempt; remembers what it was asked."""

    name = "scripted"
    workers = 1

    def __init__(self, *attempts: list[tuple[int, Any]]) -> None:
        self._attempts = list(attempts)
        self.asked: list[list[Any]] = []

    def describe(self) -> str:
        return "scripted"

    def map(self, task: Any, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self.asked.append(list(shards))
        yield from self._attempts.pop(0)


LOST = Lost(reason="killed", worker="worker 1")
SHARDS = ["a", "b", "c"]


def test_options_know_every_engine() -> None:
    """The choices of the option and the table of classes are one."""
    assert tuple(ENGINES) == CHOICES
    for name in ENGINES:
        assert engine_for(name, workers=3).name == name


def test_no_engine_is_this_process() -> None:
    """A session without an engine."""
    assert isinstance(engine_for(None), Serial)


def test_unknown_engine() -> None:
    """The message lists what there is."""
    with pytest.raises(errors.UsageMistake, match="found 'spark', expected one of serial, processes, ray, dask"):
        engine_for("spark")


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> None:
    """The message names the extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None)
    with pytest.raises(errors.UsageMistake) as caught:
        engine_for(name)
    assert f"the library {library} cannot be imported" in str(caught.value)
    assert str(caught.value).endswith(f"Write pip install 'pytest-modelbench[{name}]'")


def test_processors_are_counted() -> None:
    """At least one, whatever the quota."""
    assert processors() >= 1


def test_serial_in_order(tmp_path: Path) -> None:
    """A shard that raises does not end the others."""
    delivered = list(Serial().map(tasks.Faulty(str(tmp_path), 1, "raises"), range(3)))
    assert [position for position, _ in delivered] == [0, 1, 2]
    assert str(delivered[1][1]).startswith("ValueError: the disk is on fire (engine_tasks.py:")
    assert dict(attempted(Serial(), tasks.Faulty(str(tmp_path), 1, "raises"), range(3)))[1] == (1, 1)


def test_any_order_and_late_results() -> None:
    """A second delivery of a shard, and one after its failure, change nothing or help."""
    engine = Scripted([(2, "C"), (0, LOST), (2, "C again"), (1, "B"), (0, "A")])
    assert list(attempted(engine, tasks.count, SHARDS)) == [(2, "C"), (1, "B"), (0, "A")]
    assert engine.asked == [SHARDS]


def test_lost_shards_are_tried_again_once() -> None:
    """With the positions of the whole; a second failure is delivered with its reason."""
    second = Lost(reason="killed again", worker="worker 2")
    engine = Scripted([(2, LOST), (1, "B"), (0, LOST)], [(1, second), (0, "A")])
    assert list(attempted(engine, tasks.count, SHARDS)) == [(1, "B"), (2, second), (0, "A")]
    assert engine.asked == [SHARDS, ["a", "c"]]


def test_where_all_fail_the_first_are_tried_again_at_once() -> None:
    """A model that fails on every shard is told after few of them, and not after all."""
    shards = list(range(1000))
    fails = [(place, LOST) for place in range(1000)]
    engine = Scripted(fails, fails)
    position, result = next(attempted(engine, print, shards))
    assert (position, result) == (0, LOST)
    assert engine.asked[0] == shards
    assert engine.asked[1][:9] == shards[:9]


def test_a_shard_without_a_result_is_not_forgotten() -> None:
    """Never fewer shards silently."""
    engine = Scripted([(1, "B"), (2, LOST)], [])
    assert dict(attempted(engine, tasks.count, SHARDS)) == {
        1: "B",
        2: LOST,
        0: Lost(reason="it gave no result", worker="the engine scripted"),
    }


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (errors.DataError("no column"), True),
        (errors.UsageMistake("no module"), True),
        (errors.DoesNotFit("another task"), True),
        (errors.MeasurementError("out of memory"), False),
        (errors.ModelError("out of memory"), False),
        (ValueError("odd"), False),
    ],
)
def test_mistakes_are_not_tried_again(error: Exception, lasting: bool) -> None:
    """A mistake of the user's is there at every attempt."""
    assert Raised.of(error).lasting is lasting


@pytest.mark.parametrize(("cause", "lasting"), [(ConnectionError("reset"), False), (FileNotFoundError("x"), True)])
def test_a_disk_or_a_network_that_fails_is_tried_again(cause: OSError, lasting: bool) -> None:
    """Also where reading a shard makes it a DataError."""
    outer = errors.DataError("shard x: cannot be read")
    outer.__cause__ = errors.DataError("load= raised")
    outer.__cause__.__cause__ = cause
    assert Raised.of(outer).lasting is lasting


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NotApplicable("no labels"), errors.NotApplicable),
        (errors.ProcessLost("it crashed", how="crashed"), errors.MeasurementError),
        (errors.LimitSyntaxError("<= x", 3, "no number"), errors.UsageMistake),
        (KeyError("label"), errors.MeasurementError),
    ],
)
def test_exceptions_are_rebuilt(error: Exception, kind: type) -> None:
    """Of their class in our tree, or of the nearest that takes a message alone."""
    rebuilt = Raised.of(error).error()
    assert type(rebuilt) is kind
    assert str(error) in str(rebuilt)


def test_blame_is_kept() -> None:
    """A model's failure names the model."""
    error = errors.ModelError("raised")
    error.blames = "student"
    assert Raised.of(error).error().blames == "student"


@pytest.mark.parametrize(
    ("workers", "num_gpus", "there", "expected"),
    [
        (3, 0.5, "01", ["0", "0", "1"]),
        (2, 1, "01", ["0", "1"]),
        (2, 2, "0123", ["0,1", "2,3"]),
        (2, None, "", [None, None]),
    ],
)
def test_gpus_of_workers(workers: int, num_gpus: float | None, there: str, expected: list[str | None]) -> None:
    """Parts of a GPU are shared, whole ones are not."""
    assert visible_gpus(workers, num_gpus, list(there)) == expected


@pytest.mark.parametrize(
    ("workers", "num_gpus", "message"),
    [
        (4, 1, "needs 4 GPUs, and this machine has 2. Write --modelbench-workers=2"),
        (1, 3, "needs 3 GPUs, and this machine has 2. Remove --modelbench-num-gpus"),
        (1, 1.5, "found 1.5, expected a number up to 1, or an integer"),
    ],
)
def test_too_few_gpus(workers: int, num_gpus: float, message: str) -> None:
    """The message says how many workers fit."""
    with pytest.raises(errors.UsageMistake, match=message):
        visible_gpus(workers, num_gpus, ["0", "1"])
