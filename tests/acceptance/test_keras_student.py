"""The distilled student of the digits suite as a Keras model on torch, against the suite's teacher of torch."""

from __future__ import annotations

import os
from pathlib import Path

import keras_digits
import pytest

pytestmark = pytest.mark.slow

UNTIMED = "not (latency or throughput or energy or carbon or memory or tier or corruption)"
"""Times and joules of the machine that runs the tests prove nothing of the adapter."""


def test_a_keras_student_is_judged_by_the_suites_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the weights of the student of torch, so it keeps the agreement; layers of Keras take no hooks."""
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    path = keras_digits.saved(tmp_path / "student.keras")
    output, report = keras_digits.judged(path, tmp_path / "report.json", "-k", UNTIMED)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in report["gates"]}
    assert report["models"]["students"]["keras"]["kind"] == "keras"
    assert verdicts.pop("headroom") == "not_applicable", output
    assert verdicts.pop("size_on_disk") in {"pass", "fail"}  # a .keras file also holds the configuration
    assert set(verdicts.values()) <= {"pass", "reported"}, output
    assert {"top1_accuracy", "flops", "parameters", "pgd_accuracy", "export", "determinism"} <= verdicts.keys()
