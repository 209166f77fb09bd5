"""Keywords of KPIs of detection, segmentation, tagging, forecasting, ranking and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, number
from pytest_modelbench.grammar.option_values import Number

TASKS: Mapping[str, Keyword] = {
    "iou": number("the least intersection over union of boxes that match", Number(least=0, most=1, above=True)),
    "min_score": number(
        "the least score of a detection that counts",
        Number(least=0, most=1),
        unset="`score_threshold=` of the data, else 0.5",
    ),
}
