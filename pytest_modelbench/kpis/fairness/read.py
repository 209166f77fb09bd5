"""What some samples add to a KPI of fairness: counts of targets and answers in each group, or sums of losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.groups import Grouping, combinations
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import facts_of
from pytest_modelbench.kpis.evidence import judged_models, known_classes, positions, targets_of
from pytest_modelbench.kpis.fairness.compared_groups import EACH, features_of, read_groups, treatment_asked
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.summary import Key, Summary
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.stats.cells import CellSums

Array = npt.NDArray[Any]
Models = Mapping[str, Predictions]


def read(question: Question, measurements: Measurements, *, both: bool) -> Summary:
    """Read what all features add.

    Features that do not fit, such as numbers that form no groups, are noted where each of several is asked for.

    Raises:
        DoesNotFit: the data name no sensitive feature, or the task is another one.
        DataError: a feature that is not there, or several and none chosen.
        MeasurementError: values of a feature that are missing.
    """
    data = measurements.data()
    features = features_of(question, data)
    models = judged_models(question, measurements, both=both)
    student = models["student"]
    _check_task(question, student)
    summary = Summary(n=len(student), facts={**facts_of(models), "features": features}, memo=student.memo)
    if student.task != "regression":
        summary.note_kinds("classes", known_classes(models).tolist())
    for names in features:
        try:
            _add_feature(summary, question, data, models, names)
        except MeasurementError as fault:
            if question.options["feature"] != EACH:
                raise
            if not isinstance(fault, DoesNotFit):
                raise MeasurementError(f"{names[0]}: {fault}") from fault
            summary.counts.setdefault("unfit", {})[names[0], str(fault)] = 1
    return summary


def _check_task(question: Question, student: Predictions) -> None:
    loss = question.kpi.statistic == "group_loss"
    if loss is not (student.task == "regression") or student.task == "multilabel":
        fits = "group_loss" if student.task == "regression" else "group_accuracy"
        other = f"{fits}_difference or {fits}_gap" if student.task != "multilabel" else "EvalData for each label"
        raise DoesNotFit(f"{question.kpi.name} does not fit the task {student.task}. Write {other}")
    if loss and student.labels.ndim > 1:
        raise DoesNotFit(f"{question.kpi.name} is for one value per sample, and there are {student.labels.shape[1]}")


def _add_feature(summary: Summary, question: Question, data: EvalData, models: Models, names: Sequence[str]) -> None:
    """Add what a feature's groups are and what they add, which all KPIs of the feature read once.

    It is kept with the student's predictions, and the teacher's beside them, for as long as these are.
    """
    treatment = tuple(map(repr, treatment_asked(question)))
    key = ("groups", *names, "within", question.options["control"], *treatment, *map(id, models.values()))
    if key not in summary.memo:
        part = Summary(n=summary.n)
        grouping = read_groups(question, data, names, part)
        feature = " & ".join(names)
        if models["student"].task == "regression":
            part.sums = {f"{feature}: {name}": sums for name, sums in _losses(models, grouping).items()}
        else:
            part.counts[f"answers of {feature}"] = _answers(models, grouping)
        summary.memo[key] = (tuple(models.values()), part)
    part = summary.memo[key][1]
    summary.facts |= part.facts
    summary.sums |= part.sums
    for what, counts in part.counts.items():
        summary.counts[what] = {**summary.counts.get(what, {}), **counts}


def _answers(models: Models, grouping: Grouping) -> dict[Key, int]:
    """Count the samples of each group, target and answer of each model."""
    classes = known_classes(models)
    labels = [*classes.tolist(), None]  # a label that is none of the classes is the last
    columns = [targets_of(models["student"]), *(predictions.labels for predictions in models.values())]
    tally: dict[Key, int] = {}
    for part in slices(len(grouping.codes)):
        counted = combinations(grouping.codes[part], *(positions(column[part], classes) for column in columns))
        for kind, count in counted.items():
            tally[kind] = tally.get(kind, 0) + count
    return {
        (grouping.names[group], *(labels[place] for place in places)): count
        for (group, *places), count in tally.items()
        if group >= 0
    }


def _losses(models: Models, grouping: Grouping) -> dict[str, CellSums]:
    """Return the sums of the losses of each group, which are resampled apart."""
    strata = [CellSums() for _ in grouping.names]
    for part in slices(len(grouping.codes)):
        hashes, codes = models["student"].outputs.hashes(part), grouping.codes[part]
        off = {
            role: np.abs(np.asarray(p.labels[part], dtype=np.float64) - targets_of(p)[part])
            for role, p in models.items()
        }
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(strata) + 1))
        for group in range(len(strata)):
            members = order[bounds[group] : bounds[group + 1]]
            cells, one = strata[group].place(hashes[members]), np.zeros(len(members), dtype=np.intp)
            strata[group].add("n", cells, one, 1)
            for role, losses in off.items():
                strata[group].add(role, cells, one, 1, losses[members])
    return dict(zip(grouping.names, strata, strict=True))
