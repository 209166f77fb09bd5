"""Detections beside those of the teacher, at one threshold, and their scores: the KPIs and their definitions."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_OPTIONS = {"min_score": None, "iou": 0.5, "confidence": None}
_SHARE = "one forward pass of each model; Wilson interval of the linearised share, by image or group"
_COCO = "Lin et al., Microsoft COCO, ECCV 2014 (matching of pycocotools.cocoeval)"


def _row(name: str, file: str, definition: str, source: str, **others: Any) -> Kpi:
    fields = {"better": "higher", "method": _SHARE, "unit": "%", "bounds": SHARE, "options": _OPTIONS, **others}
    return Kpi(
        name=name,
        pillar="quality",
        definition=definition,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.detection.{file}:{name}",
        **fields,
    )


def _paired(name: str, file: str, definition: str, source: str, **others: Any) -> Kpi:
    return _row(name, file, definition, source, paired=True, alone=True, **others)


KPIS = (
    _row(
        "detection_f1", "agreement_targets", "harmonic mean of precision and recall of the detections at one score",
        _COCO,
    ),
    _row(
        "detection_precision", "agreement_targets", "share of the detections at one score that match a target", _COCO,
    ),
    _row(
        "detection_recall", "agreement_targets", "share of the targets that a detection at one score matches", _COCO,
    ),
    _paired(
        "detection_agreement", "agreement", "F1 score of the student's detections with the teacher's in the place of "
        "targets: twice the boxes that both detect over the boxes of both",
        "van Rijsbergen, Information Retrieval (1979); Kuhn, Naval Research Logistics 2:83 (1955), for the matching",
    ),
    _paired(
        "box_iou", "agreement", "mean intersection over union of the boxes that both models detect",
        "Jaccard, New Phytologist 11:37 (1912)",
    ),
    _paired(
        "lost_detections", "agreement_targets", "share of the targets found by the teacher that the student misses",
        f"{_COCO}; Yan et al., Positive-Congruent Training (2021), for negative flips", better="lower",
    ),
    _row(
        "detection_ece", "calibration", "expected calibration error of detections: mean distance of score and "
        "precision over 15 equal, right-closed bins of the score, weighted by their detections",
        "Küppers et al., Multivariate Confidence Calibration for Object Detection, CVPR Workshops 2020",
        better="lower",
        method="one forward pass of each model; paired bootstrap by image or group, bounded for bins of either sign",
    ),
    _row(
        "ap_drop", "drops", "largest drop of a class's average precision at IoU 0.50 to 0.95",
        f"{_COCO}; Romano and Wolf, Econometrica 73:1237 (2005); Holm, Scand. J. Stat. 6:65 (1979)",
        better="lower", unit="pp", bounds=(-100.0, 100.0), options={"min_n": 20, "confidence": None}, paired=True,
        method="one forward pass of each model; studentised bootstrap by image or group, for all classes together",
    ),
)  # fmt: skip
