"""Memory that is faulted in again in every call; fresh processes, since thresholds cannot be lowered again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
import torch
from torch import nn
from subjects import subject_of
from pytest_modelbench.diagnosis.hypotheses.allocator_churn import allocator_churn
from pytest_modelbench.probes.timing.allocator import is_steady, steady_allocator

torch.set_num_threads(1)

class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 if k == 0 else 16, 16, 1) for k in range(8)])
    def forward(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x).relu()
            kept.append(x)
        return torch.cat([one.mean((2, 3)) for one in kept], 1)

if {steady}:
    steady_allocator()
with subject_of(Dense(), None, torch.randn(1, 3, {side}, {side})) as subject:
    found = allocator_churn(subject)
print(json.dumps([found and found.to_json(), is_steady()]))
"""


def churn(side: int, *, steady: bool = False) -> tuple[dict[str, Any] | None, bool]:
    """Return the finding of a model on images of a size, and whether the allocator keeps memory after it."""
    script = SCRIPT.format(tests=str(TESTS), side=side, steady=steady)
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    finding, is_steady = json.loads(run.stdout.splitlines()[-1])
    return finding, is_steady


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="thresholds are glibc's")


def test_kept_outputs_are_faulted_in_again() -> None:
    """Eight large outputs that live until the end of a call; kept memory gives their time back."""
    finding, steady = churn(192)
    assert finding is not None
    assert steady
    assert finding["evidence"]["page_faults_a_call"] > 200
    before, after = (finding["evidence"][f"page_faults_{when}"] for when in ("a_call", "with_memory_kept"))
    assert after < before / 4
    assert finding["gives_back"] > 0.05


def test_small_tensors_fault_nothing() -> None:
    """And the allocator stays as it was."""
    assert churn(8) == (None, False)


def test_a_process_that_keeps_memory_gives_no_sign() -> None:
    """There is nothing to compare with."""
    assert churn(192, steady=True) == (None, True)
