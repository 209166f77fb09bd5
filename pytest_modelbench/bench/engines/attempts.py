"""A second attempt for shards that were lost, and each result once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, Task

ATTEMPTS = 2


def attempted(
    engine: Engine, task: Task, shards: Sequence[Any], *, attempts: int = ATTEMPTS
) -> Generator[tuple[int, Any], None, None]:
    """Yield each position once: with its result, or with the `Lost` or `Raised` of its last attempt.

    A shard that was lost or that raised is tried again after all others; a mistake of the user's (`Raised.lasting`)
    is not. A result that an engine delivers twice, or late from an earlier attempt, is dropped.

    Args:
        engine: where the task runs.
        task: as in `Engine.map`.
        shards: as in `Engine.map`.
        attempts: how often a shard is tried.
    """
    failed: dict[int, Lost | Raised] = {}
    done: set[int] = set()
    waiting = list(range(len(shards)))
    for attempt in range(1, attempts + 1):
        for place, result in engine.map(task, [shards[position] for position in waiting]):
            position = waiting[place]
            if position in done:
                continue
            if isinstance(result, Lost | Raised):
                failed[position] = result
                if attempt < attempts and not getattr(result, "lasting", False):
                    continue
            done.add(position)
            yield position, result
        waiting = [position for position in waiting if position not in done]
        if not waiting:
            return
    silent = Lost(reason="it gave no result", worker=f"the engine {engine.name}")
    yield from ((position, failed.get(position, silent)) for position in waiting)
