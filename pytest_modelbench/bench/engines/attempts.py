"""A second attempt for shards that were lost, and each result once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, Task

ATTEMPTS = 2
FEWEST = 8
"""So many failures, and no success before them, are looked into at once."""


def attempted(
    engine: Engine, task: Task, shards: Sequence[Any], *, attempts: int = ATTEMPTS
) -> Generator[tuple[int, Any], None, None]:
    """Yield each position once: with its result, or with the `Lost` or `Raised` of its last attempt.

    A shard that was lost or that raised is tried again after all others, or at once where no shard has succeeded so
    far: then all may fail. A mistake of the user's (`Raised.lasting`) is not tried again. A result that an engine
    delivers twice, or late from an earlier attempt, is dropped.

    Args:
        engine: where the task runs.
        task: as in `Engine.map`.
        shards: as in `Engine.map`.
        attempts: how often a shard is tried.
    """
    failed: dict[int, Lost | Raised] = {}
    tries: Counter[int] = Counter()
    done: set[int] = set()
    waiting, most, succeeded = list(range(len(shards))), max(FEWEST, 2 * engine.workers), False
    while waiting:
        missed = set(waiting)
        for place, result in engine.map(task, [shards[position] for position in waiting]):
            position = waiting[place]
            missed.discard(position)
            if position in done:
                continue
            if isinstance(result, Lost | Raised):
                failed[position] = result
                tries[position] += 1
                if tries[position] < attempts and not getattr(result, "lasting", False):
                    if not succeeded and len(failed) >= most:
                        missed.clear()
                        break
                    continue
            else:
                succeeded = True
            done.add(position)
            yield position, result
        for position in missed:
            failed.setdefault(position, Lost(reason="it gave no result", worker=f"the engine {engine.name}"))
            tries[position] += 1
            if tries[position] >= attempts:
                done.add(position)
                yield position, failed[position]
        waiting = sorted((position for position in waiting if position not in done), key=lambda at: at not in failed)
