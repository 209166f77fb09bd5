"""Files that were meant to be a modelbench.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_modelbench.plugin.misnamed import is_sla, looks_meant, misnamed


@pytest.mark.parametrize(
    "name",
    [
        "Modelbench.toml",
        "MODELBENCH.TOML",
        "modelbench.tml",
        "modelbench.yml",
        "modelbench.yaml",
        "model_bench.toml",
        "modelbnech.toml",
        "modelbench.toml.txt",
        "int8.Modelbench.toml",
        "modelbench-ci.toml",
    ],
)
def test_slip_in_the_name(name: str) -> None:
    """It is told, for nothing of the file would be judged."""
    assert looks_meant(name)
    assert not is_sla(name)


@pytest.mark.parametrize(
    "name",
    [
        "modelbench.toml",
        "a.modelbench.toml",
        "modelbench.json",
        "modelbench.html",
        "modelbench.xml",
        "modelbench.md",
        "modelbench.py",
        "modelbench.toml.bak",
        ".modelbench.toml.swp",
        "pyproject.toml",
        "benchmark.yml",
        "model.toml",
        "bench.toml",
    ],
)
def test_name_of_something_else(name: str) -> None:
    """Reports, backups and other tools' files are nobody's slip."""
    assert not looks_meant(name)


def test_what_a_folder_has(tmp_path: Path) -> None:
    """Right names of what is no file count as well; a folder of a near name does not."""
    (tmp_path / "modelbench.yml").mkdir()
    (tmp_path / "modelbench.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.modelbench.toml")
    (tmp_path / "good.modelbench.toml").touch()
    (tmp_path / "bad.modelbench.tml").touch()
    told = {path.name: fault for path, fault in misnamed(tmp_path)}
    assert told == {
        "bad.modelbench.tml": "only modelbench.toml and NAME.modelbench.toml are read. Rename it, or give it another "
        "name",
        "modelbench.toml": "it is a folder, expected a file",
        "pipe.modelbench.toml": "it is a named pipe, expected a file",
    }
    assert list(misnamed(tmp_path / "absent")) == []
