"""The file of the history: lines that are added whole, and what is read of a damaged or a foreign file."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from histories import line, write_history

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.store.history import append, read_history
from pytest_modelbench.store.recognising import is_history
from pytest_modelbench.store.replacing import why_not


def added(path: str, name: str, count: int) -> None:
    """Add lines in another process; each is much longer than a pipe's or a page's atomic size."""
    for number in range(count):
        append(Path(path), line(number, branch=name * 20_000))


def test_lines_come_back_in_their_order(tmp_path: Path) -> None:
    """What was added is read, numbered from 1."""
    path = tmp_path / "h.jsonl"
    for number in range(3):
        append(path, line(number))
    history = read_history(path)
    assert [(run.number, run.line) for run in history.runs] == [(1, 1), (2, 2), (3, 3)]
    assert history.runs[2].content["gates"] == line(2)["gates"]
    assert history.notes == []


def test_concurrent_writers_never_mix(tmp_path: Path) -> None:
    """Four processes that add 25 long lines each leave 100 whole lines."""
    path = tmp_path / "h.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=added, args=(str(path), name, 25)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    history = read_history(path)
    assert history.notes == [] or all("is dated" in note for note in history.notes)
    branches = [run.content["branch"] for run in history.runs]
    assert sorted(branches) == sorted(name * 20_000 for name in "abcd" for _ in range(25))


def test_writer_waits_for_the_one_that_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives up with the reason, without touching it."""
    path = write_history(tmp_path / "h.jsonl", [line(0)])
    before = path.read_bytes()
    hold = "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr("pytest_modelbench.store.history.LOCK_S", 0.0)
        with pytest.raises(OSError, match="another process has held it"):
            append(path, line(1))
        other.stdin.close()
    assert path.read_bytes() == before
    append(path, line(1))
    assert len(read_history(path).runs) == 2


def test_killed_writer_holds_nothing(tmp_path: Path) -> None:
    """A process that is killed while it adds lines leaves whole lines, and the next writer need not wait."""
    path = tmp_path / "h.jsonl"
    writer = multiprocessing.get_context("spawn").Process(target=added, args=(str(path), "a", 100_000))
    writer.start()
    while not path.exists() or path.stat().st_size < 200_000:
        assert writer.is_alive()
    writer.kill()
    writer.join()
    append(path, line(0, branch="next"))
    runs = read_history(path).runs
    assert len(runs) > 5
    assert [run.content["branch"] for run in runs] == ["a" * 20_000] * (len(runs) - 1) + ["next"]


@pytest.mark.parametrize("kept", [1, 20, 60, 300])
def test_part_of_a_line_is_left_out_and_ended(tmp_path: Path, kept: int) -> None:
    """A writer that was killed costs its own run, also in the middle of a file and on its first line."""
    path = write_history(tmp_path / "h.jsonl", [line(0)])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    history = read_history(path)
    assert len(history.runs) == 1
    assert "line 2 is cut off: its writer was ended. It is left out" in history.notes
    append(path, line(1))
    history = read_history(path)
    assert [run.line for run in history.runs] == [1, 3]
    if kept >= 20:
        assert "line 2 is cut off: its writer was ended. It is left out" in history.notes
    path.write_bytes(whole[:kept])
    assert why_not(path, "history", is_history, appends=True) is None
    append(path, line(1))
    assert len(read_history(path).runs) == 1


def test_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that fitted is taken back."""
    path = write_history(tmp_path / "h.jsonl", [line(0)])
    before = path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:10]))
    with pytest.raises(OSError, match="No space left on device"):
        append(path, line(1))
    assert path.read_bytes() == before


def test_clock_that_went_back_is_noted(tmp_path: Path) -> None:
    """The order of the file counts."""
    path = write_history(tmp_path / "h.jsonl", [line(5), line(1), line(6)])
    history = read_history(path)
    assert [run.number for run in history.runs] == [1, 2, 3]
    (note,) = history.notes
    assert note.startswith("run 2 (0000001) is dated 2026-01-02 00:00, before the run above it (2026-01-06 00:00)")


def test_conflict_markers_of_git_are_noted(tmp_path: Path) -> None:
    """Both sides are read."""
    path = write_history(tmp_path / "h.jsonl", [line(0), line(1)])
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n<<<<<<< HEAD\n{second}\n=======\n{second}\n>>>>>>> other\n")
    history = read_history(path)
    assert len(history.runs) == 3
    assert "line 2 is a conflict marker of git. It is left out" in history.notes


def edited(**more: Any) -> str:
    """Return a line of a history with other fields."""
    return json.dumps({"modelbench_history": 1, **line(0), **more}) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty. Write one with --modelbench-history=PATH"),
        ('{"users": []}\n', "is not a history of pytest-modelbench: its first line is not one"),
        ("hello\n", "is not a history of pytest-modelbench: its first line is not one"),
        (
            edited() + edited(modelbench_history=2),
            "line 2: found schema 2, and this version of pytest-modelbench reads 1. Update",
        ),
        (edited()[:50], "has no whole line of a run"),
        (edited(gates=[{}]), "has no whole line of a run"),
        (edited(time="yesterday"), "has no whole line of a run"),
        (edited(time="2026-01-01T00:00:00"), "has no whole line of a run"),
    ],
)
def test_foreign_files(tmp_path: Path, text: str, words: str) -> None:
    """One message that names the file."""
    path = tmp_path / "h.jsonl"
    path.write_text(text)
    with pytest.raises(UsageMistake, match="h.jsonl") as caught:
        read_history(path)
    assert words in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """And a folder in its place."""
    for path in (tmp_path / "h.jsonl", tmp_path):
        with pytest.raises(UsageMistake, match="cannot read"):
            read_history(path)


def test_nothing_is_added_to_a_file_of_others(tmp_path: Path) -> None:
    """Also if it came after the session's start."""
    path = tmp_path / "h.jsonl"
    path.write_text("mine\n")
    with pytest.raises(OSError, match="it is not a history"):
        append(path, line(0))
    assert path.read_text() == "mine\n"


def test_branches(tmp_path: Path) -> None:
    """Runs of one branch, and a message for one without runs."""
    path = write_history(tmp_path / "h.jsonl", [line(0), line(1, branch="topic"), line(2, branch=None)])
    history = read_history(path)
    assert [run.number for run in history.of_branches(["topic"]).runs] == [2]
    assert len(history.of_branches([]).runs) == 3
    with pytest.raises(UsageMistake, match="has no run of the branch 'nope'. Its branches: None, main, topic"):
        history.of_branches(["nope"])
