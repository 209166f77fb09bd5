"""Detections at one score and beside the teacher's, in one run: verdicts, the report, and the plots of the page."""

from __future__ import annotations

import pytest
from suites import Judge

MODELS = """
import numpy as np
import pytest
from pytest_modelbench import EvalData

N = 60
IMAGES = np.stack([np.full((1, 100, 100), i, dtype=np.float32) for i in range(N)])
CAT, DOG = [10, 10, 40, 40], [50, 50, 90, 90]
TARGETS = [{"boxes": [CAT, DOG], "labels": [1, 2]} for _ in range(N)]

def detector(blind=0, score=0.9):
    '''Finds every cat, and the dogs of all but some images.'''
    def detect(images):
        answers = []
        for image in np.asarray(images)[:, 0, 0, 0].astype(int):
            dogs = [DOG] if image >= blind else []
            answers.append({"boxes": [CAT, *dogs], "labels": [1, 2][:1 + len(dogs)], "scores": [score, 0.8][:1 + len(dogs)]})
        return answers
    return detect

@pytest.fixture(scope="session")
def teacher_model():
    return detector()

@pytest.fixture(scope="session")
def student_model():
    return detector(blind=15, score=0.6)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(IMAGES, TARGETS, classes={1: "cat", 2: "dog"}, ids=[f"frame-{i}" for i in range(N)],
                    slices={"half": ["first"] * 30 + ["second"] * 30})
"""
GATES = """
import pytest

@pytest.mark.kpi("detection_f1", ">= 90%", "drop <= 10 pp")
@pytest.mark.kpi("detection_recall", "drop <= 5 pp", confidence=0.95)
@pytest.mark.kpi("detection_agreement", ">= 90%")
@pytest.mark.kpi("lost_detections", "<= 5%")
@pytest.mark.kpi("detection_ece", "<= 60%")
@pytest.mark.kpi("ap_drop", "<= 10 pp", min_n=30)
def test_shown(): ...
"""


def test_a_student_that_misses_dogs(judge: Judge, pytester: pytest.Pytester) -> None:
    """It finds 105 of 120 targets: the gates say so, where, and of which class."""
    finished = judge(GATES, "--modelbench-html=r.html", fakes=MODELS)
    verdicts = {name.rpartition(":")[2]: verdict for name, verdict in finished.verdicts.items()}
    assert verdicts == {
        "detection_f1": "pass",
        "detection_recall": "fail",
        "detection_agreement": "pass",
        "lost_detections": "fail",
        "detection_ece": "pass",
        "ap_drop": "fail",
    }
    lost = finished.gate("lost_detections")
    assert lost["readings"]["student"]["value"] == pytest.approx(12.5)
    assert lost["worst_samples"][:2] == ["frame-0", "frame-1"]
    rows = {row["name"]: row["student"] for row in lost["breakdown"]}
    assert rows == {
        "half=first": pytest.approx(25),
        "half=second": 0,
        "class=cat": 0,
        "class=dog": pytest.approx(25),
    }
    assert finished.gate("detection_ece")["readings"]["student"]["value"] == pytest.approx(
        100 * (60 * 0.4 + 45 * 0.2) / 105
    )
    assert "lost beyond chance (bootstrap, Holm): dog" in finished.gate("ap_drop")["notes"]
    page = (pytester.path / "r.html").read_text(encoding="utf-8")
    assert "What each class has lost (ap_drop)" in page
    assert "by its confidence (detection_ece)" in page
