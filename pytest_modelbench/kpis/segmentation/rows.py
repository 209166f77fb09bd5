"""A class for each pixel: the KPIs and their definitions."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_READ = "one forward pass over the evaluation data"
_POOLED = f"{_READ}; Wilson interval of the linearised share, by image or group"
_JACKKNIFE = f"{_READ}; Student's interval of the paired jackknife, by image or group"
_LONG = "Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015"


def _quality(name: str, definition: str, method: str, source: str, derive: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better="higher",
        definition=definition,
        method=method,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.{derive}",
        statistic=name,
        bounds=SHARE,
        options={"confidence": None},
    )


def _fidelity(name: str, better: str, definition: str, source: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better=better,
        definition=definition,
        method=f"{_READ} of each model; by image or group",
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.agreement:{name}",
        bounds=SHARE,
        options={"confidence": None},
        paired=True,
    )


KPIS: tuple[Kpi, ...] = (
    _quality(
        "mean_iou",
        "mean over classes of intersection over union, with the pixels of all images together",
        _JACKKNIFE,
        f"{_LONG}; torchmetrics.classification.MulticlassJaccardIndex",
        "overlap:mean_over_classes",
    ),
    _quality(
        "dice",
        "mean over classes of twice the common pixels over those of target and answer (F1 of pixels)",
        _JACKKNIFE,
        "Dice, Ecology 26:297 (1945); sklearn.metrics.f1_score of pixels",
        "overlap:mean_over_classes",
    ),
    _quality(
        "pixel_accuracy",
        "share of pixels that have the class of the target, of all images together",
        _POOLED,
        _LONG,
        "overlap:pixel_accuracy",
    ),
    _quality(
        "mean_pixel_accuracy",
        "mean over classes of the share of their pixels that are right",
        _JACKKNIFE,
        _LONG,
        "overlap:mean_over_classes",
    ),
    _quality(
        "frequency_weighted_iou",
        "mean of intersection over union, each class weighted by its share of the targets' pixels",
        _JACKKNIFE,
        _LONG,
        "overlap:frequency_weighted_iou",
    ),
    Kpi(
        name="boundary_f",
        pillar="quality",
        unit="%",
        better="higher",
        definition="mean over images and their classes of the F1 of boundary pixels that have one of the other mask "
        "within within_pixels=",
        method=_JACKKNIFE,
        source="Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013",
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.boundary:boundary_f",
        bounds=SHARE,
        options={"within_pixels": None, "confidence": None},
    ),
    Kpi(
        name="iou_drop",
        pillar="quality",
        unit="pp",
        better="lower",
        definition="largest drop of a class's intersection over union",
        method=f"{_READ} of each model; studentised bootstrap by image or group, of all classes together",
        source="Romano and Wolf, Econometrica 73:1237 (2005)",
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.drops:iou_drop",
        bounds=(-100.0, 100.0),
        options={"min_n": 20, "confidence": None},
        paired=True,
    ),
    Kpi(
        name="segmentation_ece",
        pillar="quality",
        unit="%",
        better="lower",
        definition="expected calibration error of pixels: by how much their confidence and the share that is right "
        "differ, over 15 bins of confidence",
        method=f"{_READ}; bounds for bins of either sign, by image or group",
        source="Guo et al., On Calibration of Modern Neural Networks, ICML 2017",
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.calibration:segmentation_ece",
        bounds=SHARE,
        options={"confidence": None},
    ),
    _fidelity(
        "mask_agreement",
        "higher",
        "share of pixels for which student and teacher have the same class",
        "as agreement",
    ),
    _fidelity(
        "mask_iou",
        "higher",
        "mean over the teacher's classes of intersection over union with the teacher's masks",
        _LONG,
    ),
    _fidelity(
        "lost_pixels",
        "lower",
        "share of pixels that the teacher has right and the student wrong",
        "Yan et al., Positive-Congruent Training, CVPR 2021",
    ),
)
