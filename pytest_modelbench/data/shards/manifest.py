"""`Manifest`: the facts of all shards, what may not differ between them, and its form as a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.data.shards.facts import Facts, Part, common_shape, is_count, joined_digest
from pytest_modelbench.errors import DataError, message_of, shown

MOST_BYTES = 1 << 30
_EXAMPLE = '{"shards": {"part-0.parquet": 1000}}'
_DIGEST = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a file says of a shard: the number of samples, and the digest of their ids if it has one."""

    n: int
    ids: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The facts of all shards, in their order."""

    shards: tuple[Facts, ...]

    @property
    def n(self) -> int:
        """How many samples there are."""
        return sum(facts.n for facts in self.shards)

    @property
    def digest(self) -> str:
        """The digest of all ids: equal for the same samples in any other shards."""
        return joined_digest([facts.ids for facts in self.shards])

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The classes among the targets of all shards; None where a shard does not say them."""
        if any(facts.classes is None for facts in self.shards):
            return None
        every = {label for facts in self.shards for label in facts.classes or ()}
        return tuple(sorted(every, key=lambda label: (isinstance(label, str), label)))

    def check(self, classes: Sequence[Any] | None = None, *, complete: bool = True) -> None:
        """Refuse shards that do not belong together.

        Args:
            classes: those that are stated.
            complete: whether these are all shards; else shapes are not compared, as one that is read later may show
                that an axis varies.

        Raises:
            DataError: naming the first shard that is empty, repeats an id, differs from most others in the form of
                its ids, inputs or targets, or has other classes than the stated ones.
        """
        for facts in self.shards:
            if not facts.n:
                raise DataError(f"shard {facts.name} is empty. Remove it from the list")
            if facts.repeated:
                listed = ", ".join(map(repr, facts.repeated))
                raise DataError(
                    f"shard {facts.name}: ids are there more than once, such as {listed}: samples would count twice. "
                    "Give each sample an id of its own"
                )
        self._check_ids()
        self._check_targets()
        self._check_inputs(shapes=complete)
        for facts in self.shards:
            outside = _outside(facts, classes)
            if outside:
                raise DataError(
                    f"shard {facts.name}: the targets {', '.join(map(repr, outside[:5]))} are outside of "
                    f"classes={shown(list(classes or ()))}"
                )

    def _check_ids(self) -> None:
        usual = _usual([facts.kind for facts in self.shards])
        for facts in self.shards:
            if facts.kind != usual:
                raise DataError(
                    f"shard {facts.name}: its ids are {facts.kind}, and those of most shards {usual}: 7 and '7' "
                    "would be two samples. Write one type of ids in all"
                )

    def _check_targets(self) -> None:
        usual = _usual([facts.targets for facts in self.shards])
        for facts in self.shards:
            if facts.targets != usual:
                raise DataError(
                    f"shard {facts.name}: its targets are {facts.targets or 'not there'}, and those of most shards "
                    f"{usual or 'are not there'}. Write the same form in all"
                )

    def _check_inputs(self, *, shapes: bool) -> None:
        forms = {facts.name: {part.name: part for part in facts.inputs} for facts in self.shards}
        columns = _usual([tuple(form) for form in forms.values()])
        for name, form in forms.items():
            if tuple(form) == columns:
                continue
            lacking, alone = [c for c in columns if c not in form], [c for c in form if c not in columns]
            told = f"lacks {lacking[0]}" if lacking else f"alone has {alone[0]}" if alone else "has another order"
            raise DataError(
                f"shard {name} {told}; most shards have {', '.join(columns)}. Write the same columns in all"
            )
        for column in columns:
            parts = {name: form[column] for name, form in forms.items()}
            self._check_types(parts)
            if shapes:
                self._check_shapes(parts)

    def _check_types(self, parts: Mapping[str, Part]) -> None:
        dtype = _usual([part.dtype for part in parts.values()])
        for name, part in parts.items():
            if part.dtype != dtype:
                raise DataError(
                    f"shard {name}: {part.name} is of type {part.dtype}, and of {dtype} in most shards. Write one "
                    "type"
                )

    def _check_shapes(self, parts: Mapping[str, Part]) -> None:
        shape = _usual([part.shape for part in parts.values()])
        free = any(part.shape is not None and None in part.shape for part in parts.values())
        for name, part in parts.items():
            alike = common_shape(part.shape, shape) is not None if free else part.shape == shape
            if not alike:
                raise DataError(
                    f"shard {name}: a row of {part.name} has the shape {part.shape}, and {shape} in most shards. "
                    "Write one shape, or pad to it"
                )

    def compare(self, expected: Mapping[str, Expected], place: str) -> None:
        """Refuse other samples than a file says.

        Args:
            expected: by the name of the shard.
            place: the file, for messages.

        Raises:
            DataError: naming the first shard with another number of samples, or with other ids.
        """
        for facts in self.shards:
            known = expected[facts.name]
            if facts.n != known.n:
                lost = known.n - facts.n
                told = f"{lost:,} are lost" if lost > 0 else f"{-lost:,} are too many"
                raise DataError(
                    f"shard {facts.name}: {facts.n:,} samples were read, and {place} says {known.n:,}: {told}. Write "
                    "the shard again, or correct the manifest"
                )
            if known.ids is not None and facts.ids != known.ids:
                raise DataError(
                    f"shard {facts.name}: it has {facts.n:,} samples as {place} says, and other ids. Write the shard "
                    "again, or correct the manifest"
                )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, in the form that `read_manifest` reads."""
        return {
            "n": self.n,
            "ids": self.digest,
            "shards": {facts.name: {"n": facts.n, "ids": facts.ids} for facts in self.shards},
        }

    def write(self, path: str | Path) -> None:
        """Write the number of samples and the digest of ids of each shard to a JSON file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


def _usual(values: Sequence[Any]) -> Any:
    """Return the most frequent value, the first one of several."""
    return max(dict.fromkeys(values), key=values.count)


def _outside(facts: Facts, classes: Sequence[Any] | None) -> list[Any]:
    """Return the classes of a shard that are not stated; whole numbers may be positions of named classes."""
    if classes is None or facts.classes is None:
        return []
    numbered = all(isinstance(name, str) for name in classes) and facts.targets == "integers"
    known = set(range(len(classes))) if numbered else set(classes)
    return [label for label in facts.classes if label not in known]


def read_manifest(path: str | Path, labels: Sequence[str]) -> dict[str, Expected]:
    """Return what a file says of each shard, by the name that the shard has here.

    Args:
        path: of the file: `{"shards": {"part-0.parquet": 1000}}`, or `{"n": ..., "ids": ...}` for each.
        labels: what the shards are called.

    Raises:
        DataError: the file is not there or in another form, or lists other shards.
    """
    path = Path(path)
    entries = dict(_entries(path))
    by_end = {label: [name for name in entries if _ends_alike(name, label)] for label in labels}
    unknown = [label for label, names in by_end.items() if len(names) != 1]
    found = {names[0]: label for label, names in by_end.items() if len(names) == 1}
    missing = [name for name in entries if name not in found]
    if unknown or missing:
        told = f"it does not list the shard {unknown[0]}" if unknown else f"the shard {missing[0]} is not in the list"
        raise DataError(
            f"manifest {path}: {told}; the manifest has {len(entries):,} shards, and {len(labels):,} are given. Give "
            "the same shards in both"
        )
    return {label: entries[name] for name, label in found.items()}


def _ends_alike(name: str, label: str) -> bool:
    name = name.removeprefix("./")
    return name == label or name.endswith(f"/{label}") or label.endswith(f"/{name}")


def _entries(path: Path) -> Iterator[tuple[str, Expected]]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"manifest {path}: it has {path.stat().st_size:,} bytes, expected {_EXAMPLE}")
        known = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"manifest {path}: {message_of(error)}. Write it by "
            f"EvalData.from_shards(...).facts().write({str(path)!r})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"manifest {path}: it is not JSON: {message_of(error)}") from error
    shards = known.get("shards") if isinstance(known, dict) else None
    if not isinstance(shards, dict) or not shards:
        raise DataError(f"manifest {path}: found {shown(known)}, expected {_EXAMPLE}")
    for name, value in shards.items():
        entry = value if isinstance(value, dict) else {"n": value}
        ids = entry.get("ids")
        digest = ids is None or (isinstance(ids, str) and _DIGEST.fullmatch(ids))
        if not is_count(entry.get("n")) or not digest or set(entry) - {"n", "ids"}:
            raise DataError(
                f"manifest {path}: the shard {shown(name)} has {shown(value)}, expected a number of samples, or "
                '{"n": 1000, "ids": "32 hexadecimal digits"}'
            )
        yield name, Expected(n=entry["n"], ids=ids)
