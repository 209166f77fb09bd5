"""What passes over shards leave for later runs in one folder, and for how long."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

KEPT_DAYS = 14


def short(text: str) -> str:
    """Return 32 hexadecimal digits for a text, as the name of a file or folder."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def prepared(lasting: Path | None, contents: Iterable[str]) -> str:
    """Return the folder for outputs of models, and remove what was not used for `KEPT_DAYS` days.

    Args:
        lasting: the folder of all passes; None if nothing outlives the session.
        contents: the hashes of the models that are in use now.
    """
    if lasting is None:
        return ""
    outputs, oldest = lasting / "outputs", time.time() - KEPT_DAYS * 86_400
    outputs.mkdir(parents=True, exist_ok=True)
    in_use = {outputs / short(content) for content in contents}
    with contextlib.suppress(OSError):  # another session may be removing the same
        for folder in (*outputs.iterdir(), *(lasting / "passes").glob("*")):
            if folder in in_use:
                folder.touch()
            elif folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
    return str(outputs)
