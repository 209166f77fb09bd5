"""What passes over shards leave is removed when it was not used for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pytest_modelbench.bench.shard_cache import KEPT_DAYS, prepared, short


def test_old_folders_go_and_those_in_use_stay(tmp_path: Path) -> None:
    """By the time of their last use, for outputs of models and for results of passes."""
    old = time.time() - (KEPT_DAYS + 1) * 86_400
    names = ["passes/old", "passes/new", f"outputs/{short('used')}", f"outputs/{short('unused')}"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "part.npz").touch()
        if name != "passes/new":
            os.utime(tmp_path / name, (old, old))
    assert prepared(tmp_path, ["used"]) == str(tmp_path / "outputs")
    assert [(tmp_path / name).exists() for name in names] == [False, True, True, False]
    assert (tmp_path / names[2]).stat().st_mtime > old + 86_400


def test_nothing_lasts_without_a_folder() -> None:
    """A session without pytest's cache."""
    assert prepared(None, ["used"]) == ""
