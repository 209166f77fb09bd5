"""Weights & Biases offline, read back from the files that its own process wrote."""

from __future__ import annotations

import importlib
import importlib.util
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report, gate, reading

from pytest_modelbench.grammar.option_values import destinations
from pytest_modelbench.options import TRACKERS
from pytest_modelbench.reports.trackers.sending import Sent, send
from pytest_modelbench.reports.trackers.wandb_runs import TRACKER

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None or importlib.util.find_spec("wandb").origin is None,  # type: ignore[union-attr]
    reason="W&B is not installed: pip install 'pytest-modelbench[wandb]'",
)
BLOCK, HEADER = 32_768, 7
FULL, LAST = 1, 4
"""The kinds of a part that ends a record, in the log format of LevelDB."""


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a run's file: parts in blocks, each with checksum, size and kind before it."""
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data = path.read_bytes()
    assert data.startswith(b":W&B")
    at, whole = HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in {FULL, LAST}:
            yield messages.Record.FromString(whole)
            whole = b""


class Logged:
    """One run as W&B would upload it."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("*.wandb")
        self.folder = folder
        self.metrics: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        for record in records(path):
            if record.HasField("run"):
                self.run = record.run
                self.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.HasField("summary"):
                self.metrics |= {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json)
                    for item in record.summary.update
                }
            if record.HasField("exit"):
                self.exit_code = record.exit.exit_code


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP", "WANDB_RUN_ID", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


def logged(folder: Path, report: dict[str, Any], where: str = "") -> tuple[Sent, dict[str, Logged]]:
    """Send a report; return the runs by the student's name."""
    path = folder / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    sent = send(path, destinations(TRACKERS)(f"wandb:{where}".strip(":"))[0], 120.0, folder)
    runs = [Logged(run) for run in folder.glob("wandb/offline-run-*")]
    return sent, {run.run.display_name: run for run in runs}


def test_each_student_is_a_run_with_values_and_files(tmp_path: Path) -> None:
    """Names that W&B can filter by, units and verdicts in the configuration, the runs of a session in a group."""
    report = {**full_report("small", "tiny"), "run": {"commit": "abc123", "branch": "main", "dirty": False}}
    sent, runs = logged(tmp_path, report, "team/compression")
    assert sent.ok
    folders = " ".join(sorted(str(run.folder.relative_to(tmp_path)) for run in runs.values()))
    assert sorted(sent.text.removesuffix(")").split()) == sorted(
        f"Weights & Biases: 2 runs offline (to upload: wandb sync {folders}".split()
    )
    run = runs["small"]
    assert (run.run.project, run.run.entity, run.run.job_type) == ("compression", "team", "modelbench")
    assert run.run.run_group == runs["tiny"].run.run_group
    assert run.run.run_id != runs["tiny"].run.run_id
    assert run.exit_code == 0
    assert run.metrics["latency_p50"] == 0.1
    assert run.metrics["latency_p50_ci_low"] == pytest.approx(0.09)
    assert run.metrics["latency_p50_teacher"] == 0.4
    assert run.metrics["latency_p50_speedup_margin"] == 2
    assert run.config["limit_latency_p50"] == "speedup >= 2x"
    assert run.config["unit_latency_p50"] == "ms"
    assert run.config["modelbench_verdict"] == "fail"
    assert run.config["modelbench_commit"] == run.run.git.commit == "abc123"
    assert list(run.run.tags) == ["fail"]
    files = run.folder / "files"
    assert json.loads((files / "report.json").read_text(encoding="utf-8"))["gates"] == report["gates"]
    assert (files / "report.html").stat().st_size > 10_000
    assert (files / "report.md").read_text(encoding="utf-8").startswith("<!--")


def test_incomplete_run_is_marked(tmp_path: Path) -> None:
    """W&B shows it as failed, and by a tag."""
    _, runs = logged(tmp_path, {**full_report("small"), "complete": False, "exit_status": 2})
    assert runs["small"].exit_code == 1
    assert list(runs["small"].run.tags) == ["fail", "incomplete"]


def test_variables_of_wandb_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project and the group; a run id would be one for all students, and is not."""
    monkeypatch.setenv("WANDB_PROJECT", "distillation")
    monkeypatch.setenv("WANDB_RUN_GROUP", "nightly")
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    _, runs = logged(tmp_path, full_report("small", "tiny"))
    assert {(run.run.project, run.run.run_group) for run in runs.values()} == {("distillation", "nightly")}
    assert len({run.run.run_id for run in runs.values()}) == 2


def test_unusual_names_stay_apart(tmp_path: Path) -> None:
    """Characters that W&B cannot filter by become underscores, and no value is lost."""
    gates = [
        gate(name, readings={"student": reading(value, "")})
        for name, value in (("a.b", 1.5), ("a b", 2.5), ("a_b", 3.5), ("_hidden", 4.5))
    ]
    sent, runs = logged(tmp_path, {**full_report("small"), "gates": gates})
    assert sent.ok, sent.text
    metrics = runs["small"].metrics
    assert metrics["a_b"] == 3.5
    assert metrics["k__hidden"] == 4.5
    assert {value for name, value in metrics.items() if name.startswith("a_b_")} == {1.5, 2.5}


def test_missing_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Online without a key, on a machine without a terminal."""
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    sent, runs = logged(tmp_path, full_report("small"))
    assert (sent.ok, runs) == (False, {})
    assert sent.text.startswith("Weights & Biases did not take the report: ")
    assert "api_key" in sent.text.lower() or "api key" in sent.text.lower()


@pytest.mark.parametrize(
    ("where", "fits"), [("a", True), ("team/a", True), ("", True), ("a/b/c", False), ("a#b", False)]
)
def test_place_must_be_a_project(where: str, fits: bool) -> None:
    """W&B refuses some characters, but only after the run."""
    assert (TRACKER.amiss(where) is None) is fits
