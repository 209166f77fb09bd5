"""Samples that attacks lost, kept as files: the ids of all, and the first ones as they were and as they became."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError, message_of
from pytest_modelbench.probes.attacks.outcome import Assault, Mask
from pytest_modelbench.results import json_types
from pytest_modelbench.store.replacing import replacing

IDS, PAIRS = "lost.json", "examples.npz"


def keep(assault: Assault, folder: Path) -> Assault:
    """Write what an attack lost into a folder, and return the measurement with the folder's name.

    `lost.json` has the ids by attack; `examples.npz` has `clean` and `adversarial`, (k, ...), and for each of the k
    samples `ids` and `attacks` as text, and the labels `before` and `after`.

    Raises:
        MeasurementError: the files cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / IDS) as path:
            path.write_text(json.dumps(_ids(assault), indent=1), encoding="utf-8")
        (folder / PAIRS).unlink(missing_ok=True)
        if assault.pairs:
            with replacing(folder / PAIRS) as path, path.open("wb") as file:
                np.savez_compressed(file, **_arrays(assault))
    except OSError as error:
        raise MeasurementError(
            f"samples that attacks lost cannot be written to {folder}: {message_of(error)}. Write another folder: "
            "--modelbench-artifacts=DIR"
        ) from error
    return replace(assault, kept=str(folder))


def _ids(assault: Assault) -> object:
    def named(mask: Mask) -> object:
        return json_types([assault.ids[row] for row in np.flatnonzero(mask & assault.right)])

    lost = {name: named(mask) for name, mask in assault.lost.items()}
    return {"method": assault.method, "attacked": len(assault.ids), "lost": named(~assault.surviving()), "by": lost}


def _arrays(assault: Assault) -> dict[str, Any]:
    pairs = assault.pairs
    return {
        "clean": np.stack([pair.clean for pair in pairs]),
        "adversarial": np.stack([pair.adversarial for pair in pairs]),
        "ids": np.asarray([str(assault.ids[pair.row]) for pair in pairs]),
        "attacks": np.asarray([pair.attack for pair in pairs]),
        "before": np.asarray([pair.before for pair in pairs]),
        "after": np.asarray([pair.after for pair in pairs]),
    }
