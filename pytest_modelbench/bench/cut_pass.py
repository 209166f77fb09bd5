"""One pass over data in memory, cut into parts of consecutive samples that the workers of an engine answer."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.engines.attempts import attempted
from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised
from pytest_modelbench.bench.shard_task import ModelSource, let_go
from pytest_modelbench.bench.sharded import Sharded, memory_of_workers, refuse_many_workers
from pytest_modelbench.bench.shelf import Tell
from pytest_modelbench.data.arrays import duplicate
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.sources import ArraySource
from pytest_modelbench.errors import DataError, MeasurementError, ModelbenchError
from pytest_modelbench.probes.answers.columns import Column, Flags
from pytest_modelbench.probes.answers.predictions import Outputs, Targets, collect_outputs, refuse_other_shape
from pytest_modelbench.probes.timing.watchdog import beat, watchdog_for


def is_cut(asking: Asking) -> bool:
    """Whether the pass over an item's data is cut for the workers of an engine; that of corrupted inputs is not.

    Raises:
        DataError: it should be, and the samples are not in memory.
    """
    settings, data = asking.settings, asking.data()
    if settings.shards is None or settings.engine in {None, "serial"} or "under" in asking.gate.options:
        return False
    if not data.source.in_memory:
        raise DataError(
            f"shards={settings.shards} cuts arrays and frames in memory, and the samples come from a dataset, a "
            "loader or a stream. Leave shards out, or write files: EvalData.from_shards"
        )
    return True


def cut_pass(asking: Asking, role: str, tell: Tell) -> Outputs:
    """Return a model's outputs for all samples, as one pass in this process returns them.

    Parts begin where batches do, so that models see the same batches.

    Args:
        asking: the item, whose settings have an engine and a number of parts.
        role: of the model.
        tell: shows the seconds so far and those of all parts.

    Raises:
        DataError: the data are inconsistent.
        MeasurementError: a worker cannot have the model, or a part failed twice.
        ModelError: the model raised, or the shape of its outputs does not fit the samples or those of other parts.
    """
    data, engine = asking.data(), asking.bench.engines.of(asking.settings)
    refuse_many_workers(engine)
    source = Sharded(asking).source(role, data, alone=False)
    targets, ids, checksums = Targets(), list[Any](), list[int]()
    for batch in data.batches():  # slices of what is in memory; they are checked as they are read
        targets.append(batch.targets)
        ids.extend(() if data.ids is None else batch.ids)
        checksums.append(batch.checksum)
    parts = parts_of(data, len(checksums), asking.settings.shards or 1)
    task = AnswerTask(source=source, budget_s=asking.settings.budget_s)
    outputs = joined(_in_order(engine, task, parts, tell), source.loading.name)
    told = f"{engine.describe()}{memory_of_workers(engine)}; data in memory, cut into {len(parts):,}"
    asking.bench.notes.data.setdefault(asking.plan.suite, {})["engine"] = told
    return replace(
        outputs,
        targets=targets.array(),
        ids=range(len(outputs)) if data.ids is None else ids,
        batch_size=data.batch_size,
        checksums=tuple(checksums),
    )


class Part:
    """Some consecutive samples of data in memory; they are read when they are sent, and arrive as `EvalData`.

    Args:
        data: all samples.
        samples: the positions of these.
    """

    def __init__(self, data: EvalData, samples: range) -> None:
        self.data, self.samples = data, samples

    def __reduce__(self) -> tuple[Any, ...]:
        data, first, count = self.data, self.samples.start, len(self.samples)
        inputs, _ = next(iter(data.source.batches_at([first], count)))
        ids = self.samples if data.ids is None else data.ids[first : first + count]
        return _arrived, (duplicate(inputs), ids, data.select, data.batch_size)  # a view of a tensor takes all along

    def __str__(self) -> str:
        return f"samples {self.samples.start:,} to {self.samples.stop - 1:,}"


def _arrived(inputs: Any, ids: Sequence[Any], select: str | int | None, batch_size: int) -> EvalData:
    return EvalData(ArraySource(inputs, None), ids=ids, select=select, batch_size=batch_size)


def parts_of(data: EvalData, batches: int, shards: int) -> list[Part]:
    """Cut data into so many parts, or fewer if there are fewer batches; each begins where a batch does."""
    ends = [batches * number // shards * data.batch_size for number in range(shards + 1)]
    length = data.source.length or 0
    return [Part(data, range(start, min(stop, length))) for start, stop in itertools.pairwise(ends) if start < stop]


@dataclass(frozen=True, kw_only=True)
class AnswerTask:
    """What a worker does with the samples of one part: the model answers them.

    Attributes:
        source: how the worker gets the model.
        budget_s: of a timed measurement, from which follows how long a call may take.
    """

    source: ModelSource
    budget_s: float

    def __call__(self, data: EvalData) -> Outputs:
        """Return the outputs, without targets.

        Raises:
            ModelbenchError: the model cannot be built here, or fails.
        """
        let_go({self.source.key})
        with watchdog_for(self.budget_s, self.source.loading.name):
            return collect_outputs(self.source.model(), data)


def _in_order(engine: Engine, task: AnswerTask, parts: Sequence[Part], tell: Tell) -> Iterator[Outputs]:
    """Yield the outputs for each part, in the order of the samples."""
    waiting: dict[int, Outputs] = {}
    start, done, rows = time.perf_counter(), 0, 0
    with contextlib.closing(attempted(engine, task, parts)) as results:
        for number, (position, result) in enumerate(results, 1):
            beat()
            if isinstance(result, Lost | Raised):
                raise _failure(parts[position], result)
            waiting[position] = result
            while done in waiting:
                yield waiting.pop(done)
                done += 1
            rows, elapsed = rows + len(result), time.perf_counter() - start
            told = f", {number:,} of {len(parts):,} parts, {rows / elapsed:,.0f} samples/s"
            tell(elapsed, elapsed / number * len(parts), told)


def _failure(part: Part, failed: Lost | Raised) -> ModelbenchError:
    """Return the error of a part that failed, which names it."""
    if isinstance(failed, Lost):
        return MeasurementError(f"{part} were tried twice: {failed}")
    error = failed.error()
    error.args = (f"{part}: {error}",)
    return error


def joined(parts: Iterator[Outputs], model: str) -> Outputs:
    """Return outputs as one, without targets and ids.

    Raises:
        ModelError: those of a part have another shape than those before.
    """
    array, nonfinite, finite = Column(), Flags(0), Flags(True)
    first: Outputs | None = None
    calls = 0
    for part in parts:
        first = part if first is None else first
        refuse_other_shape(model, first.array, part.array, part.ids[0])
        array.append(part.array)
        nonfinite.append(part.nonfinite)
        finite.append(part.input_finite)
        calls += part.calls
    if first is None:
        raise DataError("the evaluation data is empty: reading it gave no sample")
    return replace(first, array=array.array(), nonfinite=nonfinite.array(), input_finite=finite.array(), calls=calls)
