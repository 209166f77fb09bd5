"""Only regular files of a bounded size are read whole."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.store.readable import regular_file, why_unreadable


def test_regular_file_is_returned(tmp_path: Path) -> None:
    """Also through a link; the bound belongs to it."""
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "link").symlink_to("file")
    assert regular_file(tmp_path / "link", 2) == tmp_path / "link"
    with pytest.raises(UsageMistake, match="it has 2 bytes, expected at most 1"):
        regular_file(tmp_path / "link", 1)


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a pipe, a socket, a device, and links that lead nowhere or in circles."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        told = {name: why_unreadable(Path(name)) for name in (".", "pipe", "socket", "gone", "loop", "/dev/zero")}
    assert told == {
        ".": "it is a folder, expected a file",
        "pipe": "it is a named pipe, expected a file",
        "socket": "it is a socket, expected a file",
        "gone": "No such file or directory",
        "loop": "Too many levels of symbolic links",
        "/dev/zero": "it is a device, expected a file",
    }


@pytest.mark.parametrize(("name", "words"), [("x" * 5000, "File name too long"), ("a\0b", "embedded null")])
def test_name_that_no_file_can_have(name: str, words: str) -> None:
    """Python's own errors are told, not raised."""
    assert words in why_unreadable(Path(name))
