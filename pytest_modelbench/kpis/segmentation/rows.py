"""A class for each pixel: the KPIs and their definitions."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

KPIS: tuple[Kpi, ...] = (
    Kpi(
        name="pixel_accuracy",
        pillar="quality",
        unit="%",
        better="higher",
        definition="share of pixels that have the class of the target, of all images together",
        method="one forward pass; paired bootstrap of the sums, by image or group",
        source="Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015",
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.segmentation.overlap:pixel_accuracy",
        bounds=SHARE,
        options={"confidence": None},
    ),
)
