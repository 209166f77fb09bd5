"""Metrics that users bring for generated text: functions of references and answers, and objects with `.compute()`.

The answers are those of `GENERATIONS`, which all KPIs of generated text share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.listed_metrics import computation, members_of, statistic
from pytest_modelbench.kpis.resampling import resampled
from pytest_modelbench.kpis.text.evidence import answered
from pytest_modelbench.results import Evidence


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a user's metric of generated text, with a paired bootstrap of prompts or groups.

    Raises:
        DoesNotFit: the data have no references, or the metric is one for labels.
        MeasurementError: the metric raised, or gave no number.
    """
    read = answered(question, measurements, references=True)
    several = any(len(references) != 1 for references in read.references)
    references: list[Any] = [list(some) if several else some[0] for some in read.references]
    members = members_of(read.data.group, len(references))
    compute = computation(question, "text", "references", _update)
    statistics = {
        role: statistic(question, compute, references, answers, members) for role, answers in read.texts().items()
    }
    form = "a list of strings" if several else "a string"
    method = f"the metric receives {form} as the reference of each prompt, and the answer without spaces around it"
    method += f"; resampled by group: {len(members)} of {len(references)} prompts" * (read.data.group is not None)
    both = statistics["student"], statistics.get("teacher")
    evidence = resampled(question, both, len(members), method, read.answers["student"].model)
    yield replace(evidence, notes=(*read.notes, *evidence.notes))


def _update(metric: Any, references: Sequence[Any], answers: Sequence[Any]) -> None:
    metric.update(answers, references)
