"""Keywords of KPIs of detection, segmentation, tagging, forecasting, ranking and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword

TASKS: Mapping[str, Keyword] = {}
