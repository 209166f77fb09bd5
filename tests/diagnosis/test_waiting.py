"""Points where the processor waits for a GPU are counted by the operators that read values back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diagnosed import Written, diagnosed, perceptron

from pytest_modelbench.diagnosis.hypotheses import waiting
from pytest_modelbench.diagnosis.hypotheses.modes import debug_settings
from pytest_modelbench.diagnosis.hypotheses.waiting import REWRITE, points_of_waiting, synchronisation


def operator(name: str, devices: str = "cuda", **kwargs: Any) -> Any:
    """Return an operator as a trace has it, on written devices."""
    tensors = [SimpleNamespace(is_cuda=device == "cuda", device=torch.device(device)) for device in devices.split()]
    return SimpleNamespace(name=name, inputs=tensors, kwargs=kwargs)


def test_what_waits() -> None:
    """Reading a number or a size, and copies to the processor; not copies to the GPU or on it."""
    waits = points_of_waiting(
        [
            operator("_local_scalar_dense"),
            operator("nonzero"),
            operator("_to_copy", device=torch.device("cpu")),
            operator("_to_copy", device=torch.device("cuda")),
            operator("_to_copy", devices="cpu", device=torch.device("cuda")),
            operator("_to_copy", dtype=torch.float16),
            operator("copy_", devices="cpu cuda"),
            operator("copy_", devices="cuda cuda"),
            operator("addmm"),
        ]
    )
    assert waits == {"_local_scalar_dense": 1, "nonzero": 1, "_to_copy": 1, "copy_": 1}


def test_students_on_a_processor_wait_for_nothing() -> None:
    """No trace is taken."""
    with diagnosed(perceptron(4, 4), torch.ones(1, 4), Written([])) as subject:
        assert synchronisation(subject) is None


def test_it_is_told_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The student's own code waits, so there is no variant."""
    monkeypatch.setattr(waiting, "trace", lambda _: [operator("_local_scalar_dense")] * 3)
    with diagnosed(perceptron(4, 4), torch.ones(1, 4), Written([])) as subject:
        subject.student.device = torch.device("cuda")  # type: ignore[attr-defined]
        finding = synchronisation(subject)
    assert finding is not None
    assert finding.skipped == REWRITE
    assert "waits for the GPU 3 times" in finding.text


def test_launch_blocking_is_a_setting_for_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be turned off in the process, and means nothing on a processor."""
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    with diagnosed(perceptron(4, 4), torch.ones(1, 4), Written([])) as subject:
        assert debug_settings(subject) is None
        subject.student.device = torch.device("cuda")  # type: ignore[attr-defined]
        finding = debug_settings(subject)
    assert finding is not None
    assert "holds for the whole process" in finding.skipped
