"""The session's own process, one shard after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Raised, Task


class Serial(Engine):
    """Runs a task in this process; a session without an engine has this one.

    Args:
        workers: not used; it is one.
        num_gpus: not used; models are where their factories put them.
    """

    name = "serial"
    workers = 1

    def __init__(self, *, workers: int | None = None, num_gpus: float | None = None) -> None:
        del workers, num_gpus

    def describe(self) -> str:
        """Return one line for the terminal and the report."""
        return "this process, one shard after the other"

    def map(self, task: Task, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the result of each shard, in their order."""
        for position, shard in enumerate(shards):
            try:
                result = task(shard)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code
                result = Raised.of(error)
            yield position, result
