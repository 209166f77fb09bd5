"""The teacher as a contract: what was measured of it, and its answers, in one file that needs no teacher."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, UsageMistake, message_of, shown
from pytest_modelbench.probes.answers.columns import Column, Flags, release, slices
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.results import json_object
from pytest_modelbench.store.baseline import differing, reading_of, reference_of
from pytest_modelbench.store.readable import why_unreadable
from pytest_modelbench.store.recognising import TEXT
from pytest_modelbench.store.recorded import (
    DIGEST,
    FORMAT,
    VERSION,
    RecordedReading,
    has_contract_fields,
    rows_of_part,
)
from pytest_modelbench.store.recorded_kinds import MOST_BYTES, arrays_of, chosen

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error)
RECORD_AGAIN = "Record it again with --modelbench-record-contract=PATH"
HARDWARE = ("processor", "machine", "logical_cpus", "gpu")
Array = npt.NDArray[Any]
Measured = TypeVar("Measured")


def _unpacked(arrays: Mapping[str, Array]) -> Iterator[str]:
    whole, start = arrays["id_bytes"].tobytes(), 0
    for size in arrays["id_sizes"].tolist():
        yield whole[start : start + size].decode()
        start += size


class Contract:
    """A contract that was opened: its text is checked, its outputs are read and checked when they are asked for."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.told = content
        self.teacher: dict[str, Any] = dict(content["teacher"])
        self.environment: Mapping[str, Any] = content["environment"]
        self.readings = [
            _read_reading(reading) for reading in content["readings"] if reading["reading"]["value"] is not None
        ]

    @classmethod
    def open(cls, path: Path) -> Contract:
        """Open a contract and check its text.

        Raises:
            UsageMistake: it cannot be read, is not a contract, was cut off or altered, or is of a newer version.
        """
        problem = why_unreadable(path)
        if problem:
            raise UsageMistake(f"cannot read {path}: {problem}. {RECORD_AGAIN}")
        try:
            with zipfile.ZipFile(path) as file:
                text, digest = _content(file, TEXT), _content(file, DIGEST).decode()
        except OSError as error:
            raise UsageMistake(f"cannot read {path}: {error.strerror or error}. {RECORD_AGAIN}") from error
        except KeyError as error:
            raise UsageMistake(f"{path} is not a contract of pytest-modelbench: it has no {TEXT}") from error
        except BROKEN as error:
            empty = path.is_file() and not path.stat().st_size
            flaw = "is empty" if empty else "is not a contract, or only a part of one"
            raise UsageMistake(f"{path} {flaw}. {RECORD_AGAIN}") from error
        if hashlib.sha256(text).hexdigest() != digest:
            raise UsageMistake(f"{path}: {TEXT} was altered after it was written. {RECORD_AGAIN}")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageMistake(f"{path}: {TEXT} is no JSON: {message_of(error)}. {RECORD_AGAIN}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
            version = content.get("version") if isinstance(content, dict) else None
            raise UsageMistake(
                f"{path} is a contract of version {shown(version)}, and this version of pytest-modelbench "
                f"reads {VERSION!r}. Update pytest-modelbench, or record it again"
            )
        if not has_contract_fields(content):
            raise UsageMistake(f"{path} is not a contract of pytest-modelbench: its fields differ. {RECORD_AGAIN}")
        return cls(path, content)

    def told_briefly(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {"path": str(self.path), "environment": dict(self.environment)}

    def reading(
        self,
        kpi: str,
        unit: str,
        options: Mapping[str, Any],
        data: EvalData | None,
        settings: Mapping[str, Any],
        test: str = "",
    ) -> RecordedReading | str:
        """Return what was measured of the teacher for a gate, or why nothing fits.

        Args:
            kpi: the KPI's name.
            unit: the KPI's unit.
            options: measurement options, as reports have them.
            data: the evaluation data; None for KPIs that take none.
            settings: that hold here; a reading that was taken with them is preferred.
            test: the test that records the value itself, without its student; empty for other KPIs.
        """
        options = json_object(dict(options))
        named = [reading for reading in self.readings if reading.kpi == kpi]
        if not named:
            return f"{self.path} has no {kpi} of the teacher. {RECORD_AGAIN}, with this gate"
        if named[0].reading.unit != unit:
            return f"{self.path} has {kpi} in {named[0].reading.unit!r}, and here it is in {unit!r}. {RECORD_AGAIN}"
        named = [reading for reading in named if reading.test == test]
        if not named:
            return f"{self.path} has {kpi} recorded by other tests, and not by {test}. {RECORD_AGAIN}"
        alike = [reading for reading in named if dict(reading.options) == dict(options)]
        if not alike:
            then = dict(named[0].options)
            differ = ", ".join(
                f"{name} {then.get(name)!r}, here {options.get(name)!r}"
                for name in sorted({*then, *options})
                if then.get(name) != options.get(name)
            )
            return f"{self.path} has {kpi} with other options: {differ}"
        fitting = [
            reading
            for reading in alike
            if reading.data is None or (data is not None and self._is_for(reading.data, data))
        ]
        if not fitting:
            return f"{self.path} has {kpi} for other data. {RECORD_AGAIN}, with these"
        return min(fitting, key=lambda reading: bool(differing(reading.settings, settings)))

    def _is_for(self, number: int, data: EvalData) -> bool:
        """Whether an evaluation set is this one, or has all of its named samples, which may come in another order."""
        recorded = self.told["data"][number]
        if recorded["reading"] != data.reading:
            return False
        if recorded["key"] == data.fingerprint():
            return True
        named = bool(recorded["spot"]) and recorded.get("ids") == data.ids_hash()
        return named and data.row_hashes(recorded["spot"]) == recorded["spot"]

    def measurement(
        self,
        kind: str,
        options: Mapping[str, Any],
        data: EvalData | None,
        unpack: Callable[[Mapping[str, Array]], Measured],
    ) -> Measured:
        """Return the teacher's measurement of a kind.

        Args:
            kind: its name.
            options: those that the measurement depends on, as reports have them.
            data: the evaluation data; None if the kind takes none.
            unpack: turns arrays into the measurement.

        Raises:
            DataError: it was not recorded, or with other options or data; or the contract was altered.
        """
        keys = [dataset["key"] for dataset in self.told["data"]]
        fingerprint = None if data is None else data.fingerprint()
        entry = chosen(self.told.get("kinds", ()), kind, options, fingerprint, keys)
        if isinstance(entry, str):
            raise DataError(f"{self.path} {entry}. {RECORD_AGAIN}, with this gate and these data")
        (arrays,) = self._parts([entry["part"]])
        try:
            return unpack(arrays_of(arrays))
        except (LookupError, ValueError, TypeError) as error:
            raise DataError(f"{self.path} was altered: {message_of(error)}. {RECORD_AGAIN}") from error

    def other_machine(self, here: Mapping[str, Any]) -> str:
        """Return how the machine differs from this session's; empty where times can be compared.

        Args:
            here: this machine's environment, as reports have it.
        """
        facts = [(name.replace("_", " "), self.environment.get(name), here.get(name)) for name in HARDWARE]
        return "; ".join(f"{name} {then}, here {now}" for name, then, now in facts if then != now)

    def outputs_for(self, student: Outputs, data: EvalData) -> Outputs:
        """Return the teacher's outputs for the samples that a student has answered, in the same order.

        Args:
            student: whose samples are meant.
            data: where they are from.

        Raises:
            DataError: the contract is for other samples, inputs or targets; or it was altered.
        """
        kept = [(number, dataset) for number, dataset in enumerate(self.told["data"]) if dataset["parts"]]
        if not kept:
            raise DataError(f"{self.path} holds no outputs of the teacher. {RECORD_AGAIN}")
        read = [(number, dataset) for number, dataset in kept if dataset["reading"] == data.reading]
        if not read:
            raise DataError(
                f"{self.path} was recorded with other output settings (task, outputs, select, classes): recorded "
                f"{kept[0][1]['reading']!r}, this session {data.reading!r}"
            )
        same = [number for number, dataset in read if dataset["key"] == data.fingerprint()]
        if same:
            return self._paired(same[0], student, data, same=True)
        many = [number for number, dataset in read if dataset["samples"] == len(student)]
        if not many:
            counts = ", ".join(f"{dataset['samples']:,}" for _, dataset in read)
            raise DataError(f"{self.path} is for {counts} samples, and here are {len(student):,}")
        return self._paired(many[0], student, data, same=False)

    def _paired(self, number: int, student: Outputs, data: EvalData, *, same: bool) -> Outputs:
        """Return outputs in the student's order: as they are for the same data, by id where samples are named."""
        recorded, named = self.load(number), not isinstance(student.ids, range)
        if named is isinstance(recorded.ids, range):
            names = "names no samples" if named else "names its samples"
            raise DataError(f"{self.path} {names}, unlike the evaluation data here")
        order = self._order(list(map(str, recorded.ids)), [str(sample) for sample in student.ids]) if named else None
        if same and order is None:
            return recorded
        if order is not None:
            recorded = _reordered(recorded, order)
        self._check_targets(recorded, student)
        spot = self.told["data"][number]["spot"]
        differ = [sample for sample, digest in data.row_hashes(spot).items() if digest != spot[sample]]
        if order is None or differ:
            where = f"sample {differ[0]} has others" if named and differ else "or these in another order"
            raise DataError(f"{self.path} is for other inputs: {where}. {RECORD_AGAIN}")
        return recorded

    def _order(self, theirs: list[str], ours: list[str]) -> npt.NDArray[np.intp] | None:
        if theirs == ours:
            return None
        for ids, whose in ((theirs, str(self.path)), (ours, "the evaluation data")):
            if len(set(ids)) < len(ids):
                raise DataError(f"{whose} has the id {twice(ids)!r} more than once: samples cannot be paired by it")
        where = {sample: at for at, sample in enumerate(theirs)}
        missing = [sample for sample in ours if sample not in where]
        if missing:
            raise DataError(f"{self.path} does not have {len(missing):,} of the samples here, such as {missing[0]!r}")
        return np.array([where[sample] for sample in ours])

    def _check_targets(self, recorded: Outputs, student: Outputs) -> None:
        if recorded.targets is None or student.targets is None:
            return
        theirs, ours = recorded.targets, student.targets
        if ours.dtype.kind not in "biuf":
            ours = ours.astype(str)
        same = theirs.shape == ours.shape and np.array_equal(theirs, ours, equal_nan=theirs.dtype.kind == "f")
        if same:
            return
        if theirs.shape != ours.shape:
            raise DataError(f"{self.path} has targets of shape {theirs.shape}, and here they have {ours.shape}")
        at = int(np.flatnonzero((theirs != ours).reshape(len(theirs), -1).any(axis=1))[0])
        raise DataError(
            f"{self.path} is for other targets, or another order: sample {student.ids[at]} has {theirs[at]} there "
            f"and {ours[at]} here. {RECORD_AGAIN}, or name the samples by EvalData(..., ids=)"
        )

    def load(self, number: int) -> Outputs:
        """Read the teacher's outputs over one evaluation set, part by part; many are mapped from a temporary file.

        Raises:
            DataError: a part is missing, cut off or altered.
        """
        try:
            return self._read(self.told["data"][number])
        except (LookupError, ValueError, TypeError) as error:
            raise DataError(f"{self.path} was altered: {message_of(error)}. {RECORD_AGAIN}") from error

    def _read(self, dataset: Mapping[str, Any]) -> Outputs:
        columns: dict[str, Column] = {}
        finite = Flags(True)
        ids: list[str] = []
        for arrays in self._parts(dataset["parts"]):
            size = len(arrays["outputs"])
            finite.append(arrays.get("input_finite", np.ones(size, dtype=bool)))
            for name in ("outputs", "targets"):
                if name in arrays:
                    columns.setdefault(name, Column()).append(arrays[name])
            ids.extend(_unpacked(arrays) if dataset["has_ids"] else ())
        joined = {name: column.array() for name, column in columns.items()}
        for name, words in dataset["words"].items():
            joined[name] = np.asarray(words)[joined[name]]
        array = joined["outputs"]
        bad = np.zeros(len(array), dtype=np.int32)
        if array.dtype.kind == "f":
            for part in slices(len(array), rows=rows_of_part(array)):
                bad[part] = np.sum(~np.isfinite(array[part].reshape(len(array[part]), -1)), axis=1)
                release(array)
        return Outputs(
            model="teacher",
            array=array,
            targets=joined.get("targets"),
            ids=ids if dataset["has_ids"] else range(len(array)),
            nonfinite=bad,
            input_finite=finite.array(),
            classes=dataset["classes"],
            calls=0,
        )

    def _parts(self, parts: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Array]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            with zipfile.ZipFile(self.path) as file:
                for part in parts:
                    content = _content(file, part["name"])
                    if hashlib.sha256(content).hexdigest() != part["sha256"]:
                        raise DataError(f"{self.path}: {part['name']} was altered. {RECORD_AGAIN}")
                    yield load(content)
        except (OSError, KeyError, SafetensorError, *BROKEN) as error:
            raise DataError(f"{self.path} was cut off or altered: {message_of(error)}. {RECORD_AGAIN}") from error


def _content(file: zipfile.ZipFile, name: str) -> bytes:
    """Return one file of a contract, which says how large it is before it is unpacked.

    Raises:
        zipfile.BadZipFile: it is larger than any that is written.
    """
    entry = file.getinfo(name)
    if entry.file_size > MOST_BYTES or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise zipfile.BadZipFile(f"{name} is none of its files")
    return file.read(entry)


def twice(ids: Sequence[str]) -> str:
    """Return the first id that comes a second time."""
    seen: set[str] = set()
    return next(sample for sample in ids if sample in seen or seen.add(sample))  # type: ignore[func-returns-value]


def _read_reading(recorded: Mapping[str, Any]) -> RecordedReading:
    return RecordedReading(
        kpi=recorded["kpi"],
        pillar=recorded["pillar"],
        options=recorded["options"],
        data=recorded["data"],
        reading=reading_of(recorded["reading"]),
        reference=reference_of(recorded["reference"]),
        settings=recorded["settings"],
        test=recorded.get("test", ""),
    )


def _reordered(outputs: Outputs, order: npt.NDArray[np.intp]) -> Outputs:
    column = Column()
    for part in slices(len(order), rows=rows_of_part(outputs.array)):
        column.append(outputs.array[order[part]])
        release(outputs.array)
    return Outputs(
        model=outputs.model,
        array=column.array(),
        targets=None if outputs.targets is None else outputs.targets[order],
        ids=[outputs.ids[at] for at in order],
        nonfinite=outputs.nonfinite[order],
        input_finite=outputs.input_finite[order],
        classes=outputs.classes,
        calls=0,
    )
