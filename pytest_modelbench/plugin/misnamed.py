"""Files that were meant to be a `modelbench.toml` and are not collected: a slip in the name, or no file at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from pytest_modelbench.store.readable import why_unreadable

NAME = "modelbench.toml"
_STEM = "modelbench"
_ENDINGS = (".toml", ".tml", ".tom", ".tolm", ".tmol", ".yml", ".yaml", ".toml.txt")


def is_sla(name: str) -> bool:
    """Whether a file of this name is collected.

    >>> [is_sla(name) for name in ("modelbench.toml", "int8.modelbench.toml", "Modelbench.toml")]
    [True, True, False]
    """
    return name == NAME or name.endswith(f".{NAME}")


def misnamed(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what lies in a folder and looks like a `modelbench.toml` that nothing is read from, with its fault."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return  # pytest tells
    for path in paths:
        name = path.name
        if is_sla(name):
            problem = "" if path.is_file() else why_unreadable(path)
            if problem:
                yield path, problem
        elif looks_meant(name) and not path.is_dir():
            yield path, f"only {NAME} and NAME.{NAME} are read. Rename it, or give it another name"


def looks_meant(name: str) -> bool:
    """Whether a name is one slip away from that of a file that is collected.

    >>> [looks_meant(name) for name in ("Modelbench.toml", "modelbench.tml", "model_bench.toml", "modelbench.yml")]
    [True, True, True, True]
    >>> [looks_meant(name) for name in ("pyproject.toml", "modelbench.json", "modelbench.toml.bak", "bench.toml")]
    [False, False, False, False]
    """
    low = name.lower()
    ending = next((ending for ending in _ENDINGS if low.endswith(ending)), None)
    if ending is None or is_sla(name):
        return False
    stem = low.removesuffix(ending).rpartition(".")[2]
    return difflib.SequenceMatcher(None, stem, _STEM).ratio() >= 0.85
