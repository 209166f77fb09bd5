"""The engine `processes`: every shard once, and a worker that dies takes one shard with it."""

from __future__ import annotations

from collections.abc import Iterator

import engine_tasks as tasks
import psutil
import pytest

from pytest_modelbench.bench.engines.processes import Processes

SHARDS = list(range(8))
COUNTED = [(shard, shard * shard) for shard in SHARDS]


@pytest.fixture(scope="module")
def engine() -> Iterator[Processes]:
    with Processes(workers=2) as engine:
        yield engine
    assert not psutil.Process().children() or all(
        "worker" not in child.name() for child in psutil.Process().children()
    )


def test_each_shard_once(engine: Processes) -> None:
    """All positions, each with its own result."""
    assert dict(sorted(engine.map(tasks.count, SHARDS))) == dict(enumerate(COUNTED))
