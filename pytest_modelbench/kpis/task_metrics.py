"""Metrics that users bring for boxes, masks, tags, forecasts and other answers beyond one label.

They get targets and answers as lists with an entry for each sample, as `TaskData.readable` has them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.tasks.task_data import Array, task_data
from pytest_modelbench.errors import DataError
from pytest_modelbench.kpis.by_task import check_paired
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.listed_metrics import computation, members_of, statistic
from pytest_modelbench.kpis.resampling import resampled
from pytest_modelbench.probes.kinds import TASK_ANSWERS
from pytest_modelbench.probes.tasks.measured import Ragged
from pytest_modelbench.results import Evidence


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a user's metric of a task, with a paired bootstrap of samples or groups.

    Raises:
        DataError: the data have no targets, or gave both models other samples.
        DoesNotFit: the metric is one for labels.
        MeasurementError: the metric raised, or gave no number.
    """
    data = task_data(measurements.data())
    compute = computation(question, data.TASK, "targets", _update)
    roles = ("student", "teacher") if question.with_teacher else ("student",)
    taken = {role: measurements.of(TASK_ANSWERS, role) for role in roles}
    student = taken["student"]
    if "teacher" in taken:
        check_paired(student, taken["teacher"])
    if not student.targets:
        raise DataError(f"{question.kpi.name} needs targets, and the evaluation data have none")
    alone = tuple(student.targets) if len(student.targets) == 1 else ()
    targets = data.readable(_chosen(student.targets, alone))
    members = members_of(data.group, len(student))
    statistics = {
        role: statistic(question, compute, targets, data.readable(_chosen(answers.answers, alone)), members)
        for role, answers in taken.items()
    }
    method = f"the metric receives {_form(targets[0])} as the target of each {data.UNIT}, and the same of answers"
    if data.group is not None:
        method += f"; resampled by group: {len(members)} of {len(student)} {data.UNIT}s"
    yield resampled(question, (statistics["student"], statistics.get("teacher")), len(members), method, student.model)


def _chosen(parts: Mapping[str, Ragged], alone: Sequence[str]) -> dict[str, list[Array]]:
    """Return the parts of all samples; of answers that have the only part of targets, this part."""
    names = [name for name in parts if name in alone] or list(parts)
    return {name: [parts[name][sample] for sample in range(len(parts[name]))] for name in names}


def _form(sample: Any) -> str:
    if isinstance(sample, Mapping):
        return f"a dict of arrays ({', '.join(sample)})"
    return f"an array with {sample.ndim} {'axis' if sample.ndim == 1 else 'axes'}"


def _update(metric: Any, targets: Sequence[Any], answers: Sequence[Any]) -> None:
    """Give targets and answers to a metric of torchmetrics: dicts as a list, arrays sample by sample."""
    if isinstance(targets[0], Mapping) and isinstance(answers[0], Mapping):
        metric.update([_tensors(sample) for sample in answers], [_tensors(sample) for sample in targets])
        return
    indexed = "indexes" in inspect.signature(metric.update).parameters
    for number, (target, answer) in enumerate(zip(targets, answers, strict=True)):
        own = {"indexes": _tensor(np.full(len(target), number))} if indexed else {}
        metric.update(_tensor(answer), _tensor(target), **own)


def _tensors(sample: Mapping[str, Array]) -> dict[str, Any]:
    """Return the boxes of an image under the names that torchmetrics has."""
    return {{"crowd": "iscrowd"}.get(name, name): _tensor(array) for name, array in sample.items()}


def _tensor(array: Array) -> Any:
    """Return an array as a tensor: whole numbers as long, an image's mask as a batch of one."""
    import torch

    whole = array.dtype.kind in "iub"
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64 if whole else np.float32))
    return tensor[None] if array.ndim == 2 and whole else tensor
