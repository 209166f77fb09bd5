"""`ShardedData`: evaluation data in many files, of which one at a time is in memory."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_modelbench.data.chunks import Chunk, Source
from pytest_modelbench.data.evaldata import Batch, EvalData
from pytest_modelbench.data.sample_hashes import Hashes
from pytest_modelbench.data.shards.addresses import addresses_of, labels_of, stamp_of
from pytest_modelbench.data.shards.facts import Facts, gather, joined_digest
from pytest_modelbench.data.shards.formats import check_endings
from pytest_modelbench.data.shards.functions import named_function
from pytest_modelbench.data.shards.manifest import Expected, Manifest, read_manifest
from pytest_modelbench.data.shards.reader import ShardReader
from pytest_modelbench.data.shards.repeated import keep_hashes, refuse_repeated
from pytest_modelbench.data.shards.stated import FEATURES, OF_LABELS, check_stated, plain_arguments
from pytest_modelbench.data.tasks.names import OWN_CLASSES
from pytest_modelbench.errors import DataError, shown


class ShardedData(EvalData):
    """Samples in many files, read one file after the other; `EvalData.from_shards` makes it.

    Making it reads no shard. A batch never has samples of two shards, so that reading all of them here gives the same
    batches as reading each in another process.

    Args:
        shards: paths and URLs, or patterns such as `data/*.parquet`, whose files are sorted.
        load: `module:function`, or a function at the top of a module: it gets the path or the URL of a shard, and
            returns EvalData with ids, or inputs as `EvalData` takes them. Without it, files are read by their ending:
            `.parquet`, `.arrow`, `.feather`, `.npz`, `.tar`.
        ids: the column with the ids of samples; by default one that is named `id`, `ids` or `__key__`.
        manifest: a JSON file with the number of samples, and possibly a digest of the ids, of each shard.
        folder: where relative paths start, and where the module of `load` is looked for, too.
        task: the task, and what else `EvalData` takes, as plain values.

    Attributes:
        names: the path or the URL of each shard.
        labels: what each shard is called: what is different in the names.
        reader: makes ordinary evaluation data of a name, in any process.
        expected: what the manifest's file says, by label; None without one.
        manifest: the facts of all shards; None until they were read.

    Raises:
        DataError: no shard, one that is not there, one that is named twice, a function that other processes cannot
            import, an argument that is not plain or not stated, a manifest of other shards.
    """

    def __init__(
        self,
        shards: Any,
        *,
        load: Any = None,
        ids: Any = None,
        task: str | None = None,
        manifest: str | Path | None = None,
        folder: str | Path | None = None,
        **arguments: Any,
    ) -> None:
        home = "" if folder is None else str(Path(folder).resolve())
        stated = {name: value for name, value in arguments.items() if value is not None or name == "scheme"}
        task = check_stated(task, stated, loaded=load is not None)
        if ids is not None and not (isinstance(ids, str) and ids):
            raise DataError(f"ids: found {shown(ids)}, expected the name of the column that has them in every shard")
        plain, features = plain_arguments(stated, home)
        self.names = addresses_of(shards, folder or ".")
        self.labels = labels_of(self.names)
        if load is None:
            check_endings(self.names)
        self.reader = ShardReader(
            task=task,
            load=None if load is None else named_function(load, "load", home),
            ids=ids,
            arguments=plain,
            features=features,
        )
        self.expected: dict[str, Expected] | None = None
        if manifest is not None:
            self._place = str(Path(folder or ".") / Path(manifest).expanduser())
            self.expected = read_manifest(self._place, self.labels)
        self.manifest: Manifest | None = None
        self._first: EvalData | None = None
        self._held: tuple[int, EvalData] | None = None
        super().__init__(ShardSource(self), **_of_all(task, stated))
        self.source, self.ids = ShardSource(self), ShardIds(self)
        self.task = task

    def shard(self, number: int) -> EvalData:
        """Return the samples of one shard, read now; the one that was read last is kept.

        Args:
            number: the position of its name.

        Raises:
            DataError: it cannot be read; the message names the shard.
        """
        if self._held is None or self._held[0] != number:
            self._held = None  # so that two shards are never in memory
            self._held = (number, self.reader.read(self.names[number]))
        return self._held[1]

    @property
    def in_parts(self) -> bool:
        """Whether the samples are in shards, each of which may be read by another process."""
        return True

    def first(self) -> EvalData:
        """Return the samples of the first shard, which are kept: a sample for what does not read all of them."""
        if self._first is None:
            self._first = self.reader.read(self.names[0])
        return self._first

    def batches(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield the batches of all shards, in order; the last one of a shard may be smaller.

        Raises:
            DataError: as for `EvalData`; another number of samples in a shard than the manifest says.
        """
        size = batch_size or self.batch_size
        number = start = 0
        for label, shard in self._each():
            count = 0
            for batch in shard.batches(size):
                checksum = self._readings.checksum(size, number, batch.inputs, start)
                yield replace(batch, checksum=checksum)
                number, start, count = number + 1, start + len(batch.ids), count + len(batch.ids)
            self._expect_count(label, count)
        self._readings.check_end(size, number)

    def _each(self) -> Iterator[tuple[str, EvalData]]:
        for number, label in enumerate(self.labels):
            yield label, self.shard(number)

    def _expect_count(self, label: str, count: int) -> None:
        if self.expected is not None:
            counted = Manifest(shards=(Facts(name=label, n=count, ids=""),))
            counted.compare({label: Expected(n=self.expected[label].n)}, self._place)

    def facts(self) -> Manifest:
        """Read all shards once, and return what is known of them, checked.

        `Manifest.write` makes the file that `manifest=` takes.

        Raises:
            DataError: as for `checked`; an id is in two shards.
        """
        gathered: list[Facts] = []
        with tempfile.TemporaryDirectory(prefix="modelbench-") as folder:
            for number, (label, shard) in enumerate(self._each()):
                facts, hashes = facts_and_hashes(shard, label)
                keep_hashes(Path(folder), number, hashes)
                gathered.append(facts)
            manifest = self.checked(gathered)
            refuse_repeated(Path(folder), self.labels, self.ids_of)
        return manifest

    def checked(self, facts: Iterable[Facts]) -> Manifest:
        """Take the facts of all shards, in any order, from any process.

        Returns:
            All of them in the order of the shards; `manifest` has them from now on.

        Raises:
            DataError: a shard is missing or there twice, does not go with the others, or has other samples than the
                manifest's file says.
        """
        by_label: dict[str, Facts] = {}
        for known in facts:
            if known.name in by_label or known.name not in self.labels:
                raise DataError(f"shard {known.name}: its facts are there twice, or it is not one of the shards")
            by_label[known.name] = known
        missing = [label for label in self.labels if label not in by_label]
        if missing:
            raise DataError(f"shard {missing[0]} was not read, one of {len(missing):,} of {len(self.labels):,}")
        manifest = Manifest(shards=tuple(by_label[label] for label in self.labels))
        manifest.check(self.classes)
        if self.expected is not None:
            manifest.compare(self.expected, self._place)
        self.manifest = manifest
        return manifest

    def ids_of(self, number: int) -> Sequence[Any]:
        """Return the ids of one shard."""
        ids = self.shard(number).ids
        return () if ids is None else ids

    @property
    def length(self) -> int | None:
        """How many samples there are; None before the shards were read, and without a manifest."""
        if self.manifest is not None:
            return self.manifest.n
        return None if self.expected is None else sum(known.n for known in self.expected.values())

    @property
    def notes(self) -> list[str]:
        """How many shards and samples there are, and what was decided about the first shard, if it was read."""
        count = f"{len(self.names):,} shard{'s' if len(self.names) > 1 else ''}"
        read = [] if self._first is None else self._first.notes
        return [count if self.length is None else f"{count}, {self.length:,} samples", *read]

    @property
    def does_not_fit(self) -> str:
        """What to say of a KPI of labels and numbers, where the task has none; else empty."""
        if self.task not in OWN_CLASSES:
            return ""
        kpis = _own_class(self.task).KPIS
        return f"it is for one label or number for each sample, and the task is {self.task}. Write {kpis}"

    @property
    def reading(self) -> str:
        """How outputs are read, with everything that was stated."""
        return f"{super().reading}|{self.reader.digest()}"

    @property
    def key(self) -> str:
        """What measurements are shared by: the files and how they are read."""
        return f"{self.fingerprint()}|{self.reading}"

    def fingerprint(self) -> str:
        """Hash the names and the sizes of the files, with the manifest's digests or else the times of modification.

        Returns:
            `data:` and 32 hexadecimal digits. Shards are not read for it; of URLs only the names count.
        """
        known = self.expected or {}
        timed = any(entry.ids is None for entry in known.values()) or not known
        parts = [
            f"{label} {stamp_of(name, timed=timed)} {known.get(label)}"
            for name, label in zip(self.names, self.labels, strict=True)
        ]
        text = "\n".join([self.reader.digest(), *parts])
        return f"data:{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"

    def ids_hash(self) -> str:
        """Return the digest of all ids, equal for the same samples in any shards; they are read if they must be."""
        known = list((self.expected or {}).values())
        digests = [entry.ids for entry in known if entry.ids is not None]
        if self.manifest is None and digests and len(digests) == len(known):
            return joined_digest(digests)
        return (self.manifest or self.facts()).digest

    def derived(self, source: Source, ids: Sequence[Any] | None = None) -> EvalData:
        """Refuse to change all shards at once.

        Raises:
            DataError: always; `shard(number)` and `first()` can be changed.
        """
        raise DataError(
            f"data in shards are changed one by one, not as a {type(source).__name__}. Write eval_data.first(), or "
            f"eval_data.shard(number){'' if ids is None else ' with its own ids'}"
        )

    def read_as(self, task: str, outputs: str) -> EvalData:
        """Return the same samples whose outputs mean what they meant before."""
        other = copy.copy(self)
        arguments = {**self.reader.arguments, "outputs": outputs}
        other.reader = replace(self.reader, task=task, arguments=arguments)
        other.task, other.outputs, other._first, other._held = task, outputs, None, None  # noqa: SLF001 - a copy
        other.source, other.ids = ShardSource(other), ShardIds(other)
        return other


class ShardSource(Source):
    """The samples of all shards; a batch never has samples of two."""

    def __init__(self, data: ShardedData) -> None:
        self._data = data

    @property
    def length(self) -> int | None:
        """How many samples there are, if that is known."""
        return self._data.length

    def batches(self, batch_size: int) -> Iterator[Chunk]:
        """Yield the batches of each shard."""
        return ((batch.inputs, batch.targets) for batch in self._data.batches(batch_size))


class ShardIds(Sequence[Any]):
    """The ids of all samples, which are read shard by shard when they are asked for."""

    def __init__(self, data: ShardedData) -> None:
        self._data = data

    def __len__(self) -> int:
        length = self._data.length
        return self._data.facts().n if length is None else length

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._data.names)):
            yield from self._data.ids_of(number)

    def __getitem__(self, at: Any) -> Any:
        wanted = range(len(self))[at]
        if isinstance(wanted, int):
            return next(itertools.islice(self, wanted, None))
        if wanted.step > 0:
            return list(itertools.islice(self, wanted.start, wanted.stop, wanted.step))
        return [self[position] for position in wanted]


def facts_and_hashes(data: EvalData, name: str) -> tuple[Facts, Hashes]:
    """Read the data of a shard once, and return what is known of them, with the hashes of the ids in order.

    Args:
        data: those of the shard.
        name: what the shard is called.

    Raises:
        DataError: as for `facts_of`.
    """
    gathered = gather(data, name)
    return gathered.facts(), gathered.hashes


def _own_class(task: str | None) -> Any:
    module, name = OWN_CLASSES[str(task)].split(":")
    return getattr(importlib.import_module(module), name)


def _of_all(task: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `EvalData` that hold for all shards; a task with its own class keeps its own apart."""
    names = (*OF_LABELS, *FEATURES, "missing", "bins", "dtype")
    given = {name: value for name, value in stated.items() if name in names}
    if task in OWN_CLASSES:
        given.pop("classes", None)
        default = inspect.signature(_own_class(task).__init__).parameters.get("batch_size")
        if default is not None:
            given.setdefault("batch_size", default.default)
    return given
