"""The console command `diagnose`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_modelbench.commands.cli import main

MODELS = """
import torch
from torch import nn
from torch.nn.utils import prune

def teacher():
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(256, 256) for _ in range(3)])

def masked():
    student = teacher()
    for layer in student:
        prune.l1_unstructured(layer, "weight", 0.8)
    return student

def tiny():
    return nn.Linear(256, 256)

def batches():
    return torch.randn(64, 256), torch.zeros(64)

def broken():
    raise RuntimeError("no weights")
"""


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_turns: None) -> None:
    pytest.importorskip("torch")
    tmp_path.joinpath("small_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["diagnose", *arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_cause_is_printed_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Masks that are still attached, with the time that they take and what to do."""
    arguments = ["small_models.py:teacher", "small_models.py:masked", "small_models.py:batches", "--json=why.json"]
    code, told = run(capsys, *arguments, "--only=masks_attached", "--batch-size=4", "--threads=1")
    assert code == 0
    assert told.startswith("diagnosis of student (non-zero parameters are 2")
    assert "  1. masks_attached takes " in told
    assert "prune.remove" in told
    written = json.loads(Path("why.json").read_text())
    assert [one["cause"] for one in written["causes"]] == ["masks_attached"]
    assert written["causes"][0]["gives_back_low"] > 0.05


def test_fast_student_has_no_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    """A third of the layers in a third of the time."""
    code, told = run(capsys, "small_models.py:teacher", "small_models.py:tiny", "small_models.py:batches")
    assert (code, told) == (0, "student not diagnosed: the student is as fast as its size promises\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["small_models.py:broken", "small_models.py:tiny", "small_models.py:batches"], "raised RuntimeError: no w"),
        (["small_models.py:teacher", "nowhere.py:tiny", "small_models.py:batches"], "nowhere.py"),
        (["small_models.py:teacher", "small_models.py:tiny", "small_models.py:teacher"], "expected an array"),
        (
            ["small_models.py:teacher", "small_models.py:tiny", "small_models.py:batches", "--only=luck"],
            "--only: found 'luck', expected one of allocator_churn, ",
        ),
        (
            ["small_models.py:teacher", "small_models.py:tiny", "small_models.py:batches", "--batch-size=65"],
            "only 64",
        ),
        (
            ["small_models.py:teacher", "small_models.py:tiny", "small_models.py:batches", "--json=small_models.py"],
            "small_models.py exists already, and nothing is overwritten",
        ),
    ],
)
def test_mistake_is_one_message(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """Exit code 2, and what to write."""
    code, printed = run(capsys, *arguments)
    assert code == 2
    assert printed.startswith("pytest_modelbench: ")
    assert told in printed


def test_wrong_number_is_refused_with_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser."""
    with pytest.raises(SystemExit):
        main(["diagnose", "t", "s", "d", "--budget=0"])
    assert "argument --budget: found '0', expected a number from 1 to" in capsys.readouterr().err
