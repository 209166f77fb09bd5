"""Custom KPIs: the derivation that fits the data."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modelbench.data.tasks.names import OWN_CLASSES
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Evidence


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a metric that the user brought, of labels and numbers, of generated text, or of another task."""
    task = measurements.data().task
    if task == "text":
        from pytest_modelbench.kpis.text.own_metrics import own_metric as derive
    elif task in OWN_CLASSES:
        from pytest_modelbench.kpis.task_metrics import own_metric as derive
    else:
        from pytest_modelbench.kpis.accuracy.metrics import own_metric as derive
    yield from derive(question, measurements)
