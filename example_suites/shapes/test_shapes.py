"""The service level agreement that a student of the shapes teacher must keep."""

from __future__ import annotations

import pytest


@pytest.mark.kpi("map", ">= 60%", "drop <= 7 pp")
@pytest.mark.kpi("map_50", ">= 80%", "drop <= 7 pp")
@pytest.mark.kpi("map_75", "drop <= 10 pp")
@pytest.mark.kpi("mar_100", "drop <= 6 pp")
def test_boxes() -> None:
    """The student finds nearly all shapes, about as exactly as the teacher."""


@pytest.mark.kpi("detection_precision", ">= 85%")
@pytest.mark.kpi("detection_recall", ">= 70%")
@pytest.mark.kpi("detection_ece", "<= 20%")
def test_what_is_shown() -> None:
    """Of the boxes that score at least 0.5, which an application shows, most are right."""


@pytest.mark.kpi("ap_drop", "<= 12 pp")
def test_every_shape() -> None:
    """No kind of shape is lost."""


@pytest.mark.kpi("detection_agreement", ">= 80%")
@pytest.mark.kpi("lost_detections", "<= 16%")
@pytest.mark.kpi("box_iou", ">= 80%")
def test_like_the_teacher() -> None:
    """The student shows the boxes that the teacher shows."""


@pytest.mark.kpi("nonfinite_outputs", "== 0")
def test_stability() -> None:
    """Nothing is NaN."""


@pytest.mark.kpi("size_on_disk", "reduction >= 50%")
@pytest.mark.kpi("parameters", "<= 16 k")
def test_size() -> None:
    """The student is at most half as large."""


@pytest.mark.kpi("latency_p50", "ratio <= 0.9", batch_size=1)
def test_speed() -> None:
    """An image takes less time."""
