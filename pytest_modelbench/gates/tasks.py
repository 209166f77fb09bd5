"""Keywords of KPIs of detection, segmentation, tagging, forecasting, ranking and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, truth

TASKS: Mapping[str, Keyword] = {
    "strict": truth("count entities only if their tags follow the scheme, as seqeval's mode='strict'"),
}
