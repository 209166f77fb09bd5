"""Metrics that users bring for generated text: functions of references and answers, and objects with `.compute()`.

The answers are those of `GENERATIONS`, which all KPIs of generated text share.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError, cause_of
from pytest_modelbench.kpis.by_group import groups_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.resampling import number_in, resampled
from pytest_modelbench.kpis.text.evidence import answered
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.paired import IntArray, Statistic

Compute = Callable[[Sequence[Any], Sequence[str]], Any]


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a user's metric of generated text, with a paired bootstrap of prompts or groups.

    Raises:
        DoesNotFit: the data have no references, or the metric is one for labels.
        MeasurementError: the metric raised, or gave no number.
    """
    read = answered(question, measurements, references=True)
    several = any(len(references) != 1 for references in read.references)
    references: list[Any] = [list(some) if several else some[0] for some in read.references]
    groups = groups_of(read.data.group, len(references))
    members = [np.flatnonzero(groups == number) for number in range(int(groups.max()) + 1)]
    compute = _computation(question)
    statistics = {
        role: _statistic(question, compute, references, answers, members) for role, answers in read.texts().items()
    }
    form = "a list of strings" if several else "a string"
    method = f"the metric receives {form} as the reference of each prompt, and the answer without spaces around it"
    method += f"; resampled by group: {len(members)} of {len(references)} prompts" * (read.data.group is not None)
    both = statistics["student"], statistics.get("teacher")
    evidence = resampled(question, both, len(members), method, read.answers["student"].model)
    yield replace(evidence, notes=(*read.notes, *evidence.notes))


def _computation(question: Question) -> Compute:
    metric = question.kpi.metric
    if isinstance(metric, str) or question.options.get("inputs") is not None:
        what = "the metric is a scorer of scikit-learn" if isinstance(metric, str) else "inputs= is stated"
        raise DoesNotFit(
            f"{question.kpi.name}: {what}, which is for labels, and the task is text. Write metric= a function of "
            "(references, answers) that returns a number"
        )
    if all(hasattr(metric, name) for name in ("update", "compute", "reset")):
        return lambda references, answers: _torchmetrics(metric, references, answers)
    if hasattr(metric, "compute"):
        return lambda references, answers: metric.compute(references=references, predictions=answers)
    compute: Compute = metric
    return compute


def _torchmetrics(metric: Any, references: Sequence[Any], answers: Sequence[str]) -> Any:
    metric.reset()
    metric.update(answers, references)
    return metric.compute()


def _statistic(
    question: Question,
    compute: Compute,
    references: Sequence[Any],
    answers: Sequence[str],
    members: Sequence[IntArray],
) -> Statistic:
    """Return the metric as a statistic of the groups in an index array; NaN where it is undefined on a resample."""

    def measured(index: IntArray) -> float:
        chosen = np.concatenate([members[number] for number in index])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = compute([references[i] for i in chosen], [answers[i] for i in chosen])
            return number_in(value, question)
        except MeasurementError:
            raise
        except Exception as error:
            if len(np.unique(index)) < len(index):
                return math.nan
            raise MeasurementError(f"the metric of {question.kpi.name} raised {cause_of(error)}") from error

    return measured
