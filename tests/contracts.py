"""A suite with a contract of its teacher, and what tests do to it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from suites import Finished, Judge

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp", ">= 90%")
@pytest.mark.kpi("f1", "drop <= 2 pp")
@pytest.mark.kpi("agreement", ">= 95%")
@pytest.mark.kpi("negative_flip_rate", "<= 3%")
@pytest.mark.kpi("class_drop", "<= 20 pp")
@pytest.mark.kpi("ece", "difference <= 1 pp")
@pytest.mark.kpi("kl_divergence", "<= 1 nat")
@pytest.mark.kpi("equal_opportunity_drift", "<= 50 pp", min_n=5, positive=3)
@pytest.mark.kpi("group_accuracy_gap", "<= 10 pp")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("shape_mismatches", "== 0")
def test_behaviour(): ...

@pytest.mark.kpi("parameters", "reduction >= 85%")
@pytest.mark.kpi("size_on_disk", "reduction >= 85%", "<= 1 MB")
def test_footprint(): ...

@pytest.mark.kpi("latency_p50", "reduction >= 50%", "<= 1 s")
def test_latency(): ...
"""
DATA = """
@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, TARGETS, sensitive={{"sex": np.array(["a", "b"])[np.arange(ROWS) // 10 % 2]}} {more})
"""
GONE = """
@pytest.fixture(scope="session")
def teacher_model():
    raise RuntimeError("the teacher is not here")
"""


def data(more: str = "") -> str:
    return DATA.format(more=f", {more}" if more else "")


def record(judge: Judge, suite: str = SUITE, more: str = "", **options: Any) -> Finished:
    finished = judge(suite, "--modelbench-record-contract=teacher.mbc", more=more or data(), **options)
    assert Path("teacher.mbc").exists(), finished.text
    return finished


def rewrite(change: Any) -> None:
    """Change the text of a contract as somebody would who also writes its digest."""
    with zipfile.ZipFile("teacher.mbc") as file:
        files = {name: file.read(name) for name in file.namelist()}
    told = json.loads(files["contract.json"])
    change(told)
    files["contract.json"] = json.dumps(told).encode()
    files["contract.sha256"] = hashlib.sha256(files["contract.json"]).hexdigest().encode()
    with zipfile.ZipFile("teacher.mbc", "w") as file:
        for name, content in files.items():
            file.writestr(name, content)


IDS = 'ids=[f"s{i}" for i in range(ROWS)]'
QUALITY = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
@pytest.mark.kpi("agreement", ">= 95%")
def test_quality(): ...
"""
