"""Keywords of KPIs of detection, segmentation, tagging, forecasting, ranking and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, choice, number, truth
from pytest_modelbench.grammar.option_values import Number

TASKS: Mapping[str, Keyword] = {
    "strict": truth("count entities only if their tags follow the scheme, as seqeval's mode='strict'"),
    "iou": number("the least intersection over union of boxes that match", Number(least=0, most=1, above=True)),
    "min_score": number(
        "the least score of a detection that counts",
        Number(least=0, most=1),
        unset="`score_threshold=` of the data, else 0.5",
    ),
    "within_pixels": number(
        "how far from a boundary one of the other mask may be, in pixels",
        Number(least=0, most=10_000),
        unset="0.75% of the image's diagonal",
    ),
    "k": number("how many items of each list count", Number(least=1, most=1_000_000, whole=True), unset="all"),
    "gain": choice("what relevance r counts: r, or 2 to the power of r, less 1", ("linear", "exponential")),
    "empty": choice("what becomes of queries without a relevant item", ("exclude", "zero")),
    "zeros": choice("what becomes of values of 0, which have no relative error", ("refuse", "exclude")),
    "level": number(
        "the nominal level of the central interval", Number(least=0, most=0.9999, above=True, example="0.8")
    ),
}
