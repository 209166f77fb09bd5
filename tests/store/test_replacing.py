"""Files of ours take the place of ours alone; links, devices and FIFOs stay what they are."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from pytest_modelbench.store import replacing as module
from pytest_modelbench.store.recognising import is_benchmarks, is_contract, is_report
from pytest_modelbench.store.replacing import replacing, why_not

OURS = '{\n  "schema_version": "1",\n  "complete": true\n}\n'


def write(path: Path, text: str = OURS) -> None:
    with replacing(path, "JSON report", is_report) as temporary:
        temporary.write_text(text)


def test_report_replaces_a_report(tmp_path: Path) -> None:
    """An earlier report and an empty file hold nothing that would be missed."""
    path = tmp_path / "report.json"
    for before in (OURS, ""):
        path.write_text(before)
        write(path, OURS + " ")
        assert path.read_text() == OURS + " "


@pytest.mark.parametrize(
    "text",
    ["def test_a(): ...\n", '{"schema_version": "1", "users": []}', '{"name": "x", "schema_version": "1"}', "\0\xff"],
)
def test_something_else_is_refused_and_left(tmp_path: Path, text: str) -> None:
    """A test, another program's JSON and bytes of any kind are told, and stay."""
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(OSError, match="exists and is not a JSON report of pytest-modelbench. Write another path"):
        write(path)
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    """Also a link whose target is not there yet."""
    (tmp_path / "link.json").symlink_to("real.json")
    for _ in range(2):
        write(tmp_path / "link.json")
        assert (tmp_path / "link.json").is_symlink()
        assert (tmp_path / "real.json").read_text() == OURS


def test_link_to_something_else_is_refused(tmp_path: Path) -> None:
    """What a link stands for is what would be lost."""
    (tmp_path / "model.py").write_text("weights = 1")
    (tmp_path / "link.json").symlink_to("model.py")
    with pytest.raises(OSError, match="is not a JSON report"):
        write(tmp_path / "link.json")
    assert (tmp_path / "model.py").read_text() == "weights = 1"


def test_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    """A node such as /dev/null takes the text and is still there for every other program."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except (OSError, AttributeError):
        pytest.skip("device nodes cannot be made here")
    try:
        write(path)
    except PermissionError:
        pytest.skip("device nodes cannot be opened here")
    assert stat.S_ISCHR(path.stat().st_mode)


def test_fifo_with_a_reader_gets_the_whole_text(tmp_path: Path) -> None:
    """More than a pipe holds at once; and it stays a FIFO."""
    path, found, text = tmp_path / "pipe", [], OURS * 10_000
    os.mkfifo(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(handle, True)

    def read() -> None:
        with os.fdopen(handle, "rb") as file:
            found.append(file.read())

    reader = threading.Thread(target=read)
    with replacing(path, "JSON report", is_report) as temporary:
        temporary.write_text(text)
        opened = os.open(path, os.O_WRONLY)  # or the reader would see an end before the text
        reader.start()
    os.close(opened)
    reader.join(10)
    assert found == [text.encode()]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_fifo_without_a_reader_is_told(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="this FIFO has no reader"):
        write(tmp_path / "pipe")


def test_reader_that_stops_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pipe is not waited for without end."""
    monkeypatch.setattr(module, "READER_S", 0.0)
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="stopped reading"):
        write(tmp_path / "pipe", OURS * 10_000)
    os.close(handle)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "it is a folder"),
        ("missing/below/report.json", "Make it first: mkdir -p "),
        ("occupied/report.json", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null"),
        ("loop", "symbolic links"),
    ],
)
def test_place_that_cannot_be_written_is_told_beforehand(tmp_path: Path, name: str, words: str) -> None:
    """Before anything is measured; no folder is made on the way."""
    (tmp_path / "occupied").write_text("a file")
    (tmp_path / "loop").symlink_to("loop")
    told = why_not(tmp_path / name, "JSON report", is_report)
    assert told is not None
    assert words in told
    assert {entry.name for entry in tmp_path.iterdir()} == {"loop", "occupied"}


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    """A report is neither a contract nor a file of benchmarks."""
    path = tmp_path / "file"
    path.write_text(OURS)
    assert (is_report(path), is_benchmarks(path), is_contract(path)) == (True, False, False)
    path.write_text('{\n "machine_info": {"node": "x"}}')
    assert (is_report(path), is_benchmarks(path), is_contract(path)) == (False, True, False)
