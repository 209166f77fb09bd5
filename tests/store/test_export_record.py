"""Records of exports that ran on another machine: accepted for the same model, and for no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.exports.steps import REQUIRED, Exported, Status, Step
from pytest_modelbench.store.export_record import ExportRecord, keep_export

READY = Exported(target="tensorrt", steps=tuple(Step(name=name, status=Status.PASS) for name in REQUIRED))
UNTRIED = Exported(target="tensorrt", steps=(Step(name="install", status=Status.ERROR, evidence="no GPU"),))


def test_the_same_model_is_accepted(tmp_path: Path) -> None:
    """The recorded steps count, and the evidence says when and where they ran."""
    path = tmp_path / "exports.json"
    keep_export(path, "int8", READY, "hash-1")
    keep_export(path, "pruned", UNTRIED, "hash-2")
    record = ExportRecord.read(path)
    assert set(record.exports) == {"int8@tensorrt", "pruned@tensorrt"}
    found = record.find("int8", UNTRIED, "hash-1")
    assert found.ready
    assert found.steps[0].name == "record"
    assert "in exports.json, of this very model" in found.steps[0].evidence


def test_another_model_is_a_failure(tmp_path: Path) -> None:
    """A record that is older than the model says so, and what to run again."""
    path = tmp_path / "exports.json"
    keep_export(path, "int8", READY, "hash-1")
    found = ExportRecord.read(path).find("int8", UNTRIED, "hash-2")
    step = found.stopped_at
    assert step is not None
    assert (step.name, step.status) == ("record", Status.FAIL)
    assert "its content has changed since" in step.evidence
    assert "--modelbench-record-export=exports.json" in step.remedy


def test_what_was_not_recorded_stays_untried(tmp_path: Path) -> None:
    """Of another student or format."""
    path = tmp_path / "exports.json"
    keep_export(path, "int8", READY, "hash-1")
    assert ExportRecord.read(path).find("pruned", UNTRIED, "hash-1") is UNTRIED


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema_version": "2", "exports": {}}', '{"schema_version": "1", "exports": {"a": {}}}']
)
def test_files_that_are_no_record(tmp_path: Path, text: str) -> None:
    """Each is one clear mistake, and is never replaced."""
    path = tmp_path / "exports.json"
    path.write_text(text)
    with pytest.raises(UsageMistake, match="record of exports"):
        ExportRecord.read(path)
    with pytest.raises(UsageMistake, match="record of exports"):
        keep_export(path, "int8", READY, "hash-1")
    assert path.read_text() == text


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(UsageMistake, match="there is no file .*Record it on a machine that can run the format"):
        ExportRecord.read(tmp_path / "none.json")


def test_the_file_is_json(tmp_path: Path) -> None:
    """Readable, with the machine it is of."""
    path = tmp_path / "exports.json"
    keep_export(path, "int8", READY, "hash-1")
    entry = json.loads(path.read_text())["exports"]["int8@tensorrt"]
    assert entry["recorded"]["platform"]
    assert entry["exported"]["ready"]
