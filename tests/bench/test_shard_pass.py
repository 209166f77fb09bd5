"""What a pass over shards keeps, and under which name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.bench.shard_columns import GatheredColumns
from pytest_modelbench.bench.shard_pass import pass_key
from pytest_modelbench.bench.shard_task import ModelSource, ShardTask
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.wire import read_arrays, write_arrays


def outputs(ids: list[int], first: float = 0.0) -> dict[str, Any]:
    """Return what a shard gives of one model."""
    n = len(ids)
    columns = {"array": np.arange(n) + first, "targets": None, "ids": np.asarray(ids), "classes": None}
    return {"teacher": columns | {"nonfinite": np.zeros(n, dtype=int), "input_finite": np.ones(n, dtype=bool)}}


def test_columns_of_two_passes_are_apart(tmp_path: Path) -> None:
    """A second pass of the same name over other shards does not change what the first one gathered."""
    one, other = GatheredColumns(tmp_path), GatheredColumns(tmp_path)
    one.add(0, hashes_of([1, 2]), outputs([1, 2]))
    other.add(0, hashes_of([3, 4]), outputs([3, 4], first=10.0))
    assert sorted(one.outputs("teacher", "big").ids) == [1, 2]
    assert sorted(other.outputs("teacher", "big").array.tolist()) == [10.0, 11.0]
    del one, other
    assert not list(tmp_path.iterdir())


def test_large_ids_are_not_rounded() -> None:
    """A shard with whole numbers above 2**63 and one with others: ids are as they were."""
    columns = GatheredColumns()
    columns.add(0, hashes_of([2**53 + 1]), outputs([2**53 + 1]))
    columns.add(1, hashes_of([2**63 + 1]), outputs([2**63 + 1]))
    assert sorted(columns.outputs("teacher", "big").ids) == [2**53 + 1, 2**63 + 1]


def test_half_a_file_is_a_value_error(tmp_path: Path) -> None:
    """What was cut off is measured again by whoever reads it, and what cannot be written leaves nothing."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(1000)})
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cut off"):
            read_arrays(path)

    class Broken:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise OSError("the disk is full")

    broken: Any = {"a": Broken()}
    with pytest.raises(OSError, match="full"):
        write_arrays(path, broken)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def task(data: Any, lasting: str | None) -> ShardTask:
    """Return a task of one model."""
    source = ModelSource(given="model.onnx", loading=Loading(name="student"), content="object-1", lasting=lasting)
    return ShardTask(
        reader=data.reader,
        models={"student": source},
        asked={},
        anchored=False,
        gathered=False,
        kept="",
        budget_s=1.0,
    )


def test_results_are_resumed_of_the_same_models_and_readers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a pass follows from contents and from the code that reads shards; unknown ones have none."""
    monkeypatch.syspath_prepend(str(tmp_path))
    code = tmp_path / "reading_shards.py"
    code.write_text("def read(name): return 1\n", encoding="utf-8")
    data: Any = EvalData.from_shards(["table://a"], load="reading_shards:read", task="regression")
    key = pass_key(task(data, "onnx:1"), data)
    assert key is not None
    assert key == pass_key(task(data, "onnx:1"), data)
    assert key != pass_key(task(data, "onnx:2"), data)
    assert pass_key(task(data, None), data) is None
    code.write_text("def read(name): return [2]\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "reading_shards")
    assert key != pass_key(task(data, "onnx:1"), data)
