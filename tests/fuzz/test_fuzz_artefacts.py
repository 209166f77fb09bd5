"""Damaged saved models of every format: an error of ours or outputs, whatever byte is changed and wherever it is cut.

`MODELBENCH_FUZZ=220 pytest tests/fuzz/test_fuzz_artefacts.py` damages each format in more places.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from artefacts import OPTIONS, WRITERS, Damage, Runner, damages

PLACES = int(os.environ.get("MODELBENCH_FUZZ", "0"))
FEW, CUT_OF = 20, 10
"""How many places are damaged by default, and which part of them is cut instead of changed: one in so many."""
LIMIT_S = 60.0
SLOW = {"TorchScript", "torch.export", "torch.save", "AOTInductor", "OpenVINO", "ONNX", "ExecuTorch", "skops"}
"""Formats whose writers or runtimes take seconds to import."""
FIRST = {"SavedModel", "ExecuTorch"}
"""Formats that a fresh process loads first: each place takes a process, so that there are fewer."""
ENDS = {
    "SavedModel": Damage("model/variables/variables.index", 212, 187),
    "ExecuTorch": Damage("model.pte", 782, 235),
}
"""A place of each of these formats at which a changed byte ended the process that loaded it."""


NAMES = [name for name in WRITERS if PLACES or name != "AOTInductor"]
"""A package is compiled for a minute, and its checksums are compared before it is loaded: only on request."""


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """One process for all formats, as long as it lives."""
    with Runner(LIMIT_S) as runner:
        yield runner


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_damage_ends_in_an_error_or_in_outputs(tmp_path: Path, name: str, runner: Runner) -> None:
    """Never in another exception, in the death of the process, or in silence."""
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    whole.mkdir()
    path = WRITERS[name](whole)
    places = PLACES or (1 if name in FIRST else FEW)
    found: dict[str, str] = {}
    assert runner.outcome(f"{path}{OPTIONS.get(name, '')}").startswith(("outputs", "ModelError: student: /"))
    drawn = [*damages(whole, places - places // CUT_OF, places // CUT_OF, seed=0)]
    for damage in [*drawn, *([ENDS[name]] if name in ENDS else [])]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        damage.apply(copy)
        outcome = runner.outcome(f"{copy / path.name}{OPTIONS.get(name, '')}")
        if outcome.partition(":")[0] not in {"ModelError", "outputs"}:
            found[str(damage)] = outcome
    assert not found
