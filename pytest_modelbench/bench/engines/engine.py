"""Temporary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Failed:
    kind: str
    reason: str


class Engine:
    in_session = True

    def describe(self) -> str:
        return "in this process"

    def close(self) -> None:
        pass


def attempted(engine: Any, task: Any, shards: Any) -> Any:
    for at, shard in enumerate(shards):
        try:
            yield at, task(shard)
        except Exception as e:
            import traceback

            traceback.print_exc()
            yield at, Failed(type(e).__name__, str(e))


def engine_for(name: Any, workers: Any, num_gpus: Any) -> Engine:
    return Engine()
