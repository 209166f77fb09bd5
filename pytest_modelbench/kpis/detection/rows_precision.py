"""Average precision and average recall of detections: the KPIs and their definitions."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_SOURCE = "Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; pycocotools.cocoeval.COCOeval.summarize"
_MEAN = "average precision of the precision-recall curve at 101 recalls, mean over classes"
_OVER = "at IoU 0.50 to 0.95 in steps of 0.05"
_SIZES = {
    "small": "with an area below 32 x 32 pixels",
    "medium": "with an area from 32 x 32 to 96 x 96 pixels",
    "large": "with an area above 96 x 96 pixels",
}


def _kpi(name: str, definition: str) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit="%",
        better="higher",
        definition=definition,
        method="one forward pass; matches by pycocotools; paired bootstrap of images or groups",
        source=_SOURCE,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.detection.average_precision:{'recall' if name.startswith('mar') else 'precision'}",
        statistic=name,
        bounds=SHARE,
        options={"confidence": None},
    )


PRECISION: tuple[Kpi, ...] = (
    _kpi("map", f"{_MEAN} and {_OVER}"),
    _kpi("map_50", f"{_MEAN}, at IoU 0.50"),
    _kpi("map_75", f"{_MEAN}, at IoU 0.75"),
    *(_kpi(f"map_{size}", f"map of objects {which}") for size, which in _SIZES.items()),
    *(
        _kpi(
            f"mar_{most}",
            f"share of objects that the {most} best detections of a class in an image find, mean over classes and "
            f"{_OVER}",
        )
        for most in (1, 10, 100)
    ),
    *(_kpi(f"mar_{size}", f"mar_100 of objects {which}") for size, which in _SIZES.items()),
)
