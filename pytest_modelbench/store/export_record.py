"""The record of exports that ran on another machine, such as one with a GPU: accepted while the model is the same.

A JSON object: `{"schema_version": "1", "exports": {"STUDENT@FORMAT": {"model", "recorded", "exported"}}}`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.probes.machine import environment
from pytest_modelbench.store.replacing import replacing

VERSION = "1"


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """The exports of one file, by student and format.

    Attributes:
        path: of the file.
        exports: the entries by "STUDENT@FORMAT".
    """

    path: Path
    exports: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> ExportRecord:
        """Read a record.

        Raises:
            UsageMistake: there is no such file, or it is not a record; the message says what to write.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageMistake(
                f"there is no file {path}. Record it on a machine that can run the format: "
                f"--modelbench-record-export={path}"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise UsageMistake(f"{path} cannot be read as a record of exports: {error}") from error
        if not is_record(content):
            raise UsageMistake(f"{path} is not a record of exports, version {VERSION}, found {shown(content)}")
        return cls(path=path, exports=content["exports"])

    def find(self, student: str, exported: Exported, model: str) -> Exported:
        """Return what was recorded of a format that this machine could not try, or the failure that the record is.

        Args:
            student: its label.
            exported: what this machine found.
            model: the hash of the model that is judged now.
        """
        entry = self.exports.get(f"{student}@{exported.target}")
        if entry is None:
            return exported
        recorded = entry["recorded"]
        machine = recorded.get("gpu") or recorded.get("processor")
        origin = f"recorded on {recorded.get('date')} with {machine} in {self.path.name}"
        if entry["model"] != model:
            stale = Step(
                name="record",
                status=Status.FAIL,
                evidence=f"{origin}, of another model: its content has changed since",
                remedy=f"Run the suite there again with --modelbench-record-export={self.path.name}",
            )
            return replace(exported, steps=(stale,))
        earlier = Exported.from_json(entry["exported"])
        accepted = Step(name="record", status=Status.PASS, evidence=f"{origin}, of this very model")
        return replace(earlier, steps=(accepted, *earlier.steps), file=None)


def keep_export(path: Path, student: str, exported: Exported, model: str) -> None:
    """Add an export to a record, which other workers may add to at the same time.

    Raises:
        UsageMistake: the file cannot be written, or is something else.
    """
    about = environment()
    entry = {
        "model": model,
        "recorded": {
            "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            **{name: about.get(name) for name in ("gpu", "processor", "platform", "packages")},
        },
        "exported": {**exported.to_json(), "file": None},
    }
    with FileLock(f"{path}.lock"):
        exports = dict(ExportRecord.read(path).exports) if path.exists() else {}
        exports[f"{student}@{exported.target}"] = entry
        text = json.dumps({"schema_version": VERSION, "exports": exports}, indent=1, sort_keys=True)
        try:
            with replacing(path, "record of exports") as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageMistake(f"cannot write {path}: {error.strerror or error}") from error


def is_record(value: object) -> bool:
    """Whether a JSON value is a record that this version reads."""
    if not isinstance(value, dict) or value.get("schema_version") != VERSION:
        return False
    exports = value.get("exports")
    return isinstance(exports, dict) and all(map(_is_entry, exports.values()))


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("recorded"), dict):
        return False
    try:
        Exported.from_json(entry["exported"])
    except (KeyError, TypeError, ValueError):
        return False
    return isinstance(entry.get("model"), str)
