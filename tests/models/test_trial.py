"""The first load of a file in a fresh process: what ends that process is an error here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.trial import try_first

LOADERS = """
import os, time
from pathlib import Path

def count(path):
    with Path(path).with_name("loads").open("a") as file:
        file.write("1")

def dies(path, loading): os.abort()
def hangs(path, loading): time.sleep(60)
def refuses(path, loading): raise ValueError
def leaves(path, loading): os._exit(7)
def works(path, loading):
    assert loading.alone and loading.threads == 3, loading
    assert loading.options == (("precision", "f16"),), loading
    count(path)
"""
LOADING = dataclasses.asdict(Loading(name="student", threads=3, options=(("precision", "f16"),)))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, and loaders of it that a fresh process can import."""
    (tmp_path / "trial_loaders.py").write_text(LOADERS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"model")
    return tmp_path / "model.bin"


@pytest.mark.parametrize(
    ("function", "limit_s", "words"),
    [
        ("dies", 60, r"model.bin ends the process that loads it \(SIGABRT\)"),
        ("leaves", 60, r"ends the process that loads it \(exit code 7\)"),
        ("hangs", 2, "did not load and run one batch of zeros within 2 s"),
    ],
)
def test_death_and_silence_are_errors(file: Path, function: str, limit_s: float, words: str) -> None:
    """The session learns of both and goes on."""
    with pytest.raises(ModelError, match=f"student: .*{words}"):
        try_first(f"trial_loaders:{function}", file, LOADING, limit_s)


def test_a_file_is_tried_once_until_it_changes(file: Path) -> None:
    """The process gets the options, the threads, and loads alone."""
    for _ in range(2):
        try_first("trial_loaders:works", file, LOADING)
    assert (file.parent / "loads").read_text() == "1"
    file.write_bytes(b"another model")
    try_first("trial_loaders:works", file, LOADING)
    assert (file.parent / "loads").read_text() == "11"


def test_an_exception_is_left_to_the_load_that_follows(file: Path) -> None:
    """It is raised again there, with its message."""
    try_first("trial_loaders:refuses", file, LOADING)
