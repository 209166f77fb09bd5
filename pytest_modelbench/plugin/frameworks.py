"""What a model's library takes to import, timed before anything else of a fresh process. Standard library only."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
from pathlib import Path


def import_frameworks(asked: Path) -> float:
    """Import the frameworks that a request for a fresh process names; return the seconds it took, 0 if it names none.

    A missing module is ignored here: the code that builds the model reports it.
    """
    names = json.loads(asked.read_text(encoding="utf-8")).get("frameworks", [])
    start = time.perf_counter()
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return time.perf_counter() - start
