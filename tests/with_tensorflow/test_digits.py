"""The distilled student of the digits suite on TensorFlow, against the suite's teacher of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_digits
import pytest

UNTIMED = "not (latency or throughput or energy or carbon or memory or tier or corruption)"
"""Times and joules of the machine that runs the tests prove nothing of the adapter."""
ALWAYS = {"top1_accuracy", "agreement", "parameters", "determinism", "batch_invariance", "ood_auroc", "ece"}


def judged(path: Path, report: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the gates by KPI, and the output."""
    output, found = keras_digits.judged(keras_digits.saved(path), report, "-k", UNTIMED)
    gates = {gate["kpi"]: gate for gate in found["gates"]}
    assert gates.pop("size_on_disk")["verdict"] in {"pass", "fail"}, output  # the files hold more than weights
    return gates, output


@pytest.mark.parametrize(
    ("name", "inconclusive"), [("student.keras", set()), ("student", {"pgd_accuracy", "robust_accuracy"})]
)
def test_a_student_on_tensorflow_is_judged_by_the_suites_file(
    tmp_path: Path, name: str, inconclusive: set[str]
) -> None:
    """What cannot apply says so and is not an error; attacks on a SavedModel, which has no gradient, prove nothing."""
    gates, output = judged(tmp_path / name, tmp_path / "report.json")
    verdicts = {kpi: gate["verdict"] for kpi, gate in gates.items()}
    of = {verdict: {kpi for kpi in verdicts if verdicts[kpi] == verdict} for verdict in verdicts.values()}
    assert of["not_applicable"] == {"headroom", "flops", "export"}, output
    assert of.get("inconclusive", set()) == inconclusive, output
    assert of.keys() <= {"pass", "reported", "not_applicable", "inconclusive"}, output
    assert of["pass"] >= ALWAYS
    assert all("no gradient comes back" in gates[kpi]["reason"] for kpi in inconclusive)
