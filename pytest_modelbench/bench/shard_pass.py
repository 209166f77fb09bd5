"""One pass over all shards: sent to workers, taken back once each, merged, checked, and kept to be resumed."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_modelbench.bench.engines.attempts import attempted
from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised
from pytest_modelbench.bench.shard_cache import short
from pytest_modelbench.bench.shard_columns import GatheredColumns
from pytest_modelbench.bench.shard_task import ShardTask
from pytest_modelbench.bench.shelf import Tell
from pytest_modelbench.data.shards.addresses import stamp_of
from pytest_modelbench.data.shards.facts import Facts
from pytest_modelbench.data.shards.manifest import Manifest
from pytest_modelbench.data.shards.reader import ShardReader
from pytest_modelbench.data.shards.repeated import keep_hashes, refuse_repeated
from pytest_modelbench.data.shards.sharded import ShardedData
from pytest_modelbench.errors import MeasurementError, ModelbenchError, error_class
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.machine import versions
from pytest_modelbench.probes.plain import from_arrays, to_arrays
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.probes.wire import read_arrays, write_arrays

LASTING = frozenset({"DoesNotFit", "NotApplicable"})
"""Errors of a question that a later run would meet again."""


@dataclass(kw_only=True)
class Passed:
    """What all shards came to.

    Attributes:
        manifest: the facts of all shards.
        summaries: what they add up to, by what was asked.
        failures: why something cannot be answered, by the same keys; of several shards that of the first.
        columns: the outputs of all samples, where they were gathered.
        calls: forward passes by the model's name.
        resumed: how many shards an earlier run had done.
        memo: what several KPIs derive from the summaries.
    """

    manifest: Manifest
    summaries: dict[str, Summary] = field(default_factory=dict)
    failures: dict[str, tuple[int, ModelbenchError]] = field(default_factory=dict)
    columns: GatheredColumns | None = None
    calls: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    memo: dict[Any, Any] = field(default_factory=dict)


class ShardPass:
    """Runs a task over all shards of some data.

    Args:
        data: in shards.
        task: the work on one shard.
        folder: where results are kept for a run that resumes this one; None if they cannot be.
        resume: whether to take what an earlier run has left there.
    """

    def __init__(self, data: ShardedData, task: ShardTask, folder: Path | None, *, resume: bool) -> None:
        self.data, self.task, self.folder, self._resume = data, task, folder, resume
        self._facts: dict[int, Facts] = {}
        self._rows = 0
        self._passed = Passed(manifest=Manifest(shards=()))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._places = [self._place(number) for number in range(len(data.names))]  # as files are before they are read
        if task.gathered:
            self._passed.columns = GatheredColumns(folder)

    def run(self, engine: Engine, tell: Tell) -> Passed:
        """Return what all shards came to.

        Args:
            engine: runs the task.
            tell: shows the seconds so far and those of all shards.

        Raises:
            DataError: the shards do not belong together, or an id is in two of them.
            MeasurementError: a shard failed twice.
        """
        with tempfile.TemporaryDirectory(prefix="ids-", dir=self.folder, ignore_cleanup_errors=True) as own:
            ids = Path(own)  # of this run alone: another session may make the same pass
            self._over_all(engine, tell, ids)
            self._check(ids)
        return self._passed

    def _over_all(self, engine: Engine, tell: Tell, ids: Path) -> None:
        start, total = time.perf_counter(), len(self.data.names)
        for number, result in self._kept():
            self._take(number, result, ids)
            self._passed.resumed += 1
        missing = [number for number in range(total) if number not in self._facts]
        shards = [(self.data.names[number], self.data.labels[number]) for number in missing]
        with contextlib.closing(attempted(engine, self.task, shards)) as results:
            for position, result in results:
                beat()
                if isinstance(result, Lost | Raised):
                    raise self._failure(missing[position], result)
                self._keep(missing[position], result)
                self._take(missing[position], result, ids)
                self._rows += self._facts[missing[position]].n
                self._tell(tell, time.perf_counter() - start, len(missing))

    def _tell(self, tell: Tell, elapsed: float, asked: int) -> None:
        """Show how many samples are judged in a second, and about how long all shards will take."""
        done, rows = len(self._facts) - self._passed.resumed, self._rows
        told = f", {len(self._facts):,} of {len(self.data.names):,} shards, {rows / elapsed:,.0f} samples/s"
        tell(elapsed, elapsed / done * asked, told)

    def _failure(self, number: int, failed: Lost | Raised) -> ModelbenchError:
        """Return the error of a shard that failed, which names it."""
        label = self.data.labels[number]
        if isinstance(failed, Lost):
            kept = "Nothing of the others is lost: --modelbench-resume goes on with them"
            return MeasurementError(f"shard {label} was tried twice: {failed}. {kept if self.folder else ''}".strip())
        error = failed.error()
        error.args = (str(error) if label in str(error) else f"shard {label}: {error}",)
        return error

    def _take(self, number: int, result: Mapping[str, Any], ids: Path) -> None:
        """Add the result of one shard to those of the others, and its ids' hashes to a folder.

        Raises:
            DataError: the shard does not go with the first one that was taken.
        """
        facts, passed = Facts.from_json(result["facts"]), self._passed
        first = next(iter(self._facts.values()), facts)
        both = Manifest(shards=(first, facts) if first is not facts else (facts,))
        both.check(self.data.classes, complete=False)
        self._facts[number] = facts
        keep_hashes(ids, number, result["hashes"])
        for key, asked in result["asked"].items():
            if "error" in asked:
                self._fail(key, number, asked["error"])
                continue
            summary = Summary.from_plain(asked["summary"])
            if summary.n != facts.n:
                raise MeasurementError(f"shard {facts.name}: {summary.n} of {facts.n} samples were judged")
            if key not in passed.summaries:
                passed.summaries[key] = summary
            else:
                self._merge(passed.summaries[key], summary, facts.name)
        if passed.columns is not None:
            passed.columns.add(number, result["hashes"], result["outputs"])
        for model, calls in result["calls"].items():
            passed.calls[model] = passed.calls.get(model, 0) + calls

    def _merge(self, merged: Summary, summary: Summary, label: str) -> None:
        try:
            merged.merge(summary)
        except ModelbenchError as error:
            raise type(error)(f"shard {label}: {error}") from error

    def _fail(self, key: str, number: int, error: tuple[str, str]) -> None:
        kind, text = error
        before = self._passed.failures.get(key)
        if before is None or number < before[0]:
            label = self.data.labels[number]
            told = text if kind in {"DoesNotFit", "NotApplicable"} else f"shard {label}: {text}"
            self._passed.failures[key] = (number, (error_class(kind) or MeasurementError)(told))

    def _check(self, ids: Path) -> None:
        """Check that all samples of all shards were judged, each once."""
        passed = self._passed
        passed.manifest = self.data.checked([self._facts[number] for number in sorted(self._facts)])
        refuse_repeated(ids, self.data.labels, self.data.ids_of)
        for key, summary in passed.summaries.items():
            if key not in passed.failures and summary.n != passed.manifest.n:
                raise MeasurementError(
                    f"{summary.n:,} samples were judged, and the shards have {passed.manifest.n:,}"
                )

    def _place(self, number: int) -> Path | None:
        """Return where the result of a shard is kept; None of what may be another later, such as URLs."""
        stamp = stamp_of(self.data.names[number], timed=True)
        if self.folder is None or not stamp:
            return None
        return self.folder / f"shard-{short(f'{self.data.labels[number]} {stamp}')}.npz"

    def _keep(self, number: int, result: Mapping[str, Any]) -> None:
        """Write a result so that a run that resumes this one need not ask for it; without that the run goes on."""
        place = self._places[number]
        errors = {asked["error"][0] for asked in result["asked"].values() if "error" in asked}
        if place is not None and errors <= LASTING:
            with contextlib.suppress(OSError, TypeError):  # a full disk, or groups of what JSON cannot hold
                write_arrays(place, to_arrays(result))

    def _kept(self) -> Iterator[tuple[int, Any]]:
        """Yield what an earlier run has left, or remove it."""
        for number, path in enumerate(self._places):
            if path is None:
                continue
            if not self._resume:
                path.unlink(missing_ok=True)
            elif path.exists():
                try:
                    result = from_arrays(read_arrays(path))
                except (OSError, ValueError, KeyError):  # half of a file: the shard is done again
                    path.unlink(missing_ok=True)
                    continue
                yield number, result


def pass_key(task: ShardTask, data: ShardedData) -> str | None:
    """Return a name for what a pass is about: models by their contents, how data are read, what is asked.

    None where the content of a model, or the code that reads shards, is unknown: a later session cannot tell whether
    it is the same.
    """
    if any(source.lasting is None for source in task.models.values()):
        return None
    models = {role: (source.lasting, str(source.loading)) for role, source in sorted(task.models.items())}
    code = code_of(data.reader)
    if code is None:
        return None
    told = (versions(), models, data.reader.digest(), code)
    return short(repr((*told, sorted(task.asked), task.anchored, task.gathered)))


def code_of(reader: ShardReader) -> str | None:
    """Return a hash of the user's functions that read shards, with what they call; None where it is unknown."""
    from pytest_modelbench.models.content import lasting_content

    named = {
        "load": reader.load,
        **{f"{what} {name}": f for what, of in reader.features.items() for name, f in of.items()},
    }
    codes = {name: lasting_content(one.function(name)) for name, one in named.items() if one is not None}
    return None if None in codes.values() else repr(sorted(codes.items()))


def not_resumed(task: ShardTask) -> str:
    """Say why nothing of an earlier run is taken, where `pass_key` is None."""
    unknown = [source.loading.name for source in task.models.values() if source.lasting is None]
    what = f"the content of {' and '.join(unknown)}" if unknown else "the code of load= or of a feature"
    return f"nothing is resumed: {what} has no hash, so that it may be another one than in an earlier run"
