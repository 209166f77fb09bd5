"""Metrics that users bring for lists with an entry for each sample: texts, masks, boxes, tags, forecasts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError, cause_of
from pytest_modelbench.kpis.by_group import groups_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.resampling import number_in
from pytest_modelbench.stats.paired import IntArray, Statistic

Compute = Callable[[Sequence[Any], Sequence[Any]], Any]
Update = Callable[[Any, Sequence[Any], Sequence[Any]], None]


def computation(question: Question, task: str, targets: str, update: Update) -> Compute:
    """Return a user's metric as a function of targets and answers.

    Args:
        question: of the gate.
        task: of the data.
        targets: what the task calls its targets, as the metric's first argument.
        update: gives targets and answers to a metric of torchmetrics that has been reset.

    Raises:
        DoesNotFit: the metric is one for labels.
    """
    metric = question.kpi.metric
    if isinstance(metric, str) or question.options.get("inputs") is not None:
        what = "the metric is a scorer of scikit-learn" if isinstance(metric, str) else "inputs= is stated"
        raise DoesNotFit(
            f"{question.kpi.name}: {what}, which is for labels, and the task is {task}. Write metric= a function of "
            f"({targets}, answers) that returns a number"
        )
    if all(hasattr(metric, name) for name in ("update", "compute", "reset")):
        return lambda expected, answers: _accumulated(metric, update, expected, answers)
    if hasattr(metric, "compute"):
        return lambda expected, answers: metric.compute(references=expected, predictions=answers)
    compute: Compute = metric
    return compute


def _accumulated(metric: Any, update: Update, targets: Sequence[Any], answers: Sequence[Any]) -> Any:
    metric.reset()
    update(metric, targets, answers)
    return metric.compute()


def members_of(group: Sequence[Hashable] | None, n: int) -> list[IntArray]:
    """Return the positions of the samples of each group; each sample is one by itself where none are stated."""
    groups = groups_of(group, n)
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])


def statistic(
    question: Question,
    compute: Compute,
    targets: Sequence[Any],
    answers: Sequence[Any],
    members: Sequence[IntArray],
) -> Statistic:
    """Return a metric as a statistic of the groups in an index array; NaN where it is undefined on a resample.

    Args:
        question: of the gate.
        compute: the metric.
        targets: one for each sample.
        answers: one for each sample.
        members: the positions of the samples of each group.
    """

    def measured(index: IntArray) -> float:
        chosen = np.concatenate([members[number] for number in index])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = compute([targets[i] for i in chosen], [answers[i] for i in chosen])
            return number_in(value, question)
        except MeasurementError:
            raise
        except Exception as error:
            if len(np.unique(index)) < len(index):
                return math.nan
            raise MeasurementError(f"the metric of {question.kpi.name} raised {cause_of(error)}") from error

    return measured
