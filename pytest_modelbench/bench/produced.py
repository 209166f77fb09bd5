"""What a KPI may ask for of predictions that were recorded in production (see `kpis.kpi.Measurements`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.production import Production
from pytest_modelbench.errors import DataError, NotApplicable, UsageMistake, shown
from pytest_modelbench.kpis.fidelity.drift import CLUSTERS
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.probes.answers.distributions import Distribution, Produced, distributions_of
from pytest_modelbench.probes.answers.meaning import Predictions, interpret
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.kinds import PRODUCTION, ProbeKind
from pytest_modelbench.stats.design_effect import effect_of
from pytest_modelbench.store.contract import Contract

Array = npt.NDArray[Any]
MODEL = "production"
TASKS = ("multiclass", "binary", "regression")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What is known of the accepted answers: the task, distributions by what was counted, and why some are absent."""

    task: str | None = None
    distributions: Mapping[str, Distribution]
    absent: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """How recorded predictions are read: the task, and `outputs` as `EvalData` takes it; None is inferred."""

    task: str
    outputs: str | None = None


class ProductionMeasurements:
    """Answers of production, and of the teacher to the same rows where a contract has them.

    Args:
        production: the rows.
        meaning: how they are read.
        reference: the accepted answers.
        teacher: the teacher's outputs for the same rows.
        every: False for the rows with labels only, where there are any.
    """

    def __init__(
        self,
        production: Production,
        meaning: Meaning,
        reference: Reference,
        *,
        teacher: Outputs | None = None,
        every: bool = False,
    ) -> None:
        self.production, self._meaning, self._reference = production, meaning, reference
        self._teacher, self._every = teacher, every
        labelled = production.labels is not None and not every
        self._rows = production.only(np.flatnonzero(production.labelled)) if labelled else production

    @functools.cached_property
    def _all(self) -> ProductionMeasurements:
        return ProductionMeasurements(self.production, self._meaning, self._reference, every=True)

    def of_all_rows(self) -> ProductionMeasurements:
        """Return the same with the rows that have no label, and without the labels of the others."""
        return self._all

    def paired_with(self, rows: Array, teacher: Outputs) -> ProductionMeasurements:
        """Return some rows with the teacher's outputs for them.

        Args:
            rows: their positions, in the order of the outputs.
            teacher: the outputs.
        """
        production = self.production.only(rows)
        labelled = production.labels is not None
        kept = np.flatnonzero(production.labelled) if labelled else np.arange(len(rows))
        if not len(kept):
            raise DataError(f"none of the {len(rows):,} rows that the contract knows has a label")
        return ProductionMeasurements(production, self._meaning, self._reference, teacher=_some(teacher, kept))

    def notes(self) -> tuple[str, ...]:
        """Say how many rows count, if not all of them."""
        production = self.production
        if len(self._rows) == len(production) and self._teacher is None:
            return ()
        if self._teacher is not None:
            return (f"{len(self._rows):,} rows that the contract knows",)
        return (f"{len(self._rows):,} of {len(production):,} rows have a label",)

    def without_labels(self) -> str:
        """Say that production has no labels; empty if it has."""
        if self.production.labels is not None:
            return ""
        return "it needs labels, and production has none. Name their column by --label"

    def has(self, role: str) -> bool:
        """Whether there are answers of a role."""
        return role == "student" or (role == "teacher" and self._teacher is not None)

    def of(self, kind: ProbeKind[Any], role: str) -> Any:
        """Return what was recorded, as a kind of measurement."""
        if kind == PRODUCTION:
            reference = self._reference
            return Produced(
                predictions=self.predictions(role), reference=reference.distributions, absent=reference.absent
            )
        taken: Mapping[str, Callable[[str], Any]] = {"outputs": self.outputs, "predictions": self.predictions}
        if kind.name not in taken:
            raise NotApplicable("it cannot be derived from recorded predictions")
        return taken[kind.name](role)

    @functools.cached_property
    def _data(self) -> EvalData:
        rows = self._rows
        task, outputs = self._meaning.task, self._meaning.outputs
        if outputs is None and rows.classes is None and task == "multiclass":
            outputs = "labels"
        return EvalData(
            np.arange(len(rows)),
            None if self._every else rows.labels,
            ids=rows.names,
            task=task,
            outputs=None if task == "regression" else outputs,
            classes=rows.classes,
            sensitive=dict(rows.groups.get("sensitive", {})) or None,
            slices=dict(rows.groups.get("slices", {})) or None,
        )

    def data(self) -> EvalData:
        """Return the rows as evaluation data, whose inputs are not known: their positions."""
        return self._data

    @functools.cached_property
    def _outputs(self) -> Outputs:
        rows = self._rows
        array = rows.outputs
        bad = np.zeros(len(array), dtype=np.int32)
        if array.dtype.kind == "f":
            bad = np.asarray(np.sum(~np.isfinite(array.reshape(len(array), -1)), axis=1), dtype=np.int32)
        return Outputs(
            model=MODEL,
            array=array,
            targets=None if self._every else rows.labels,
            ids=rows.names,
            nonfinite=bad,
            input_finite=np.broadcast_to(np.asarray(True), len(array)),
            classes=rows.classes,
            calls=0,
        )

    def outputs(self, role: str) -> Outputs:
        """Return recorded outputs.

        Raises:
            NotApplicable: there are none of the teacher.
        """
        if role == "student":
            return self._outputs
        if self._teacher is None:
            raise NotApplicable("it needs the teacher's answers to the same rows: give --contract")
        return replace(self._teacher, targets=None if self._every else self._rows.labels)

    @functools.cached_property
    def _student(self) -> Predictions:
        labels = self._rows.labels
        if self._meaning.task == "regression" and labels is not None and labels.dtype.kind == "U":
            number, text = self._rows.row[0], shown(str(labels[0]))
            raise UsageMistake(
                f"{self.production.path}: the labels are texts, such as {text} in row {number:,}, and the task is "
                "regression; expected numbers. Correct them, or write --task multiclass"
            )
        return interpreted(self._outputs, self._data, str(self.production.path))

    @functools.cached_property
    def _of_teacher(self) -> Predictions:
        data = EvalData(np.arange(len(self._rows)), self._rows.labels, task=self._meaning.task)
        return interpret(self.outputs("teacher"), data)

    def merged(self, _: Question) -> None:
        """Return nothing: what is recorded is in one part."""

    def predictions(self, role: str) -> Predictions:
        """Return recorded outputs with their meaning."""
        return self._student if role == "student" else self._of_teacher

    @functools.cached_property
    def design_effect(self) -> float:
        """By how much less rows are worth because right and wrong ones, or small and large errors, come in spells."""
        predictions = self.predictions("student")
        targets, labels = predictions.targets, predictions.labels
        if targets is None or labels.shape != targets.shape:
            return 1.0
        if predictions.task != "regression":
            return effect_of(np.asarray(labels == targets), CLUSTERS)
        errors = np.abs(labels - targets)
        return effect_of(np.asarray(errors > np.median(errors)), CLUSTERS)

    def first_nonfinite_layer(self, _role: str, _index: Array) -> str | None:
        """Return None: no model is there to look into."""
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotApplicable(f"it cannot be derived from recorded predictions ({name.replace('_', ' ')})")


def interpreted(outputs: Outputs, data: EvalData, where: str) -> Predictions:
    """Return outputs with their meaning; a mistake in them is one of the file's.

    Raises:
        UsageMistake: the outputs do not fit the task or the labels.
    """
    try:
        return interpret(outputs, data)
    except DataError as error:
        problem = by_option(str(error))
        advice = "Say how to read it by --task or --outputs, or correct the file"
        raise UsageMistake(f"{where}: {problem}. {advice}") from error


def by_option(text: str) -> str:
    """Return a message about evaluation data as one about a file: what is written is an option.

    >>> by_option("Write EvalData(..., task='regression') if that is wrong")
    'Write --task regression if that is wrong'
    """
    return _WRITTEN.sub(r"--\1 \2", text)


def task_of(production: Production, stated: str | None, reference: str | None) -> str:
    """Return the task: as stated, as it was accepted, or as the predictions look."""
    if stated or reference:
        return stated or reference or ""
    return "regression" if production.classes is None and production.outputs.dtype.kind == "f" else "multiclass"


def reference_of(report: Mapping[str, Any] | None, path: str, student: str) -> Reference:
    """Return what a report knows of how a student's answers were distributed."""
    if report is None:
        return _none("no reference. Give --baseline the report of the accepted run")
    notes = (report.get("models") or {}).get("students") or {}
    suites = [answers for answers in ((notes.get(student) or {}).get("answers") or {}).values() if answers]
    if not suites:
        return _none(
            f"{path} has no distribution of predictions: no gate was about them, or an earlier version wrote it. "
            "Accept the model again with --modelbench-save-baseline"
        )
    if len(suites) > 1:
        return _none(
            f"{path} has predictions of {student} on {len(suites)} evaluation sets: production can be one only"
        )
    task = suites[0].get("task")
    try:
        distributions = {what: Distribution.from_json(suites[0][what]) for what in DISTRIBUTIONS if what in suites[0]}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageMistake(f"{path} was altered: the distribution of {student}'s answers cannot be read") from error
    absent = {what: f"{path} has no distribution of {what}" for what in DISTRIBUTIONS if what not in distributions}
    return Reference(task=task if task in TASKS else None, distributions=distributions, absent=absent)


_WRITTEN = re.compile(r"EvalData\(\.\.\., (\w+)='(\w+)'\)")
DISTRIBUTIONS = ("predictions", "confidences")


def _none(why: str) -> Reference:
    return Reference(distributions={}, absent=dict.fromkeys(DISTRIBUTIONS, why))


def answers_of(measured: ProductionMeasurements) -> dict[str, Any]:
    """Return how the answers of production are distributed, as a report has it."""
    predictions = measured.of_all_rows().predictions("student")
    each = {what: distribution.to_json() for what, distribution in distributions_of(predictions).items()}
    return {"task": predictions.task, **each}


def contract_rows(measured: ProductionMeasurements, contract: Contract) -> ProductionMeasurements:
    """Return the rows that a contract has the teacher's outputs for, with these.

    Raises:
        UsageMistake: production or the contract has no ids, or they have none in common.
    """
    ids = measured.production.ids
    if ids is None:
        raise UsageMistake("--contract pairs by id, and production has no ids. Name their column by --id")
    named = [number for number, data in enumerate(contract.told["data"]) if data["parts"] and data["has_ids"]]
    if not named:
        raise UsageMistake(
            f"--contract: {contract.path} names no samples, so nothing can be paired. Record it with "
            "EvalData(..., ids=...)"
        )
    places = {str(sample): at for at, sample in enumerate(ids)}
    best: tuple[Array, Array, Outputs] | None = None
    for number in named:
        outputs = contract.load(number)
        matched = [at for at, sample in enumerate(outputs.ids) if str(sample) in places]
        if matched and (best is None or len(matched) > len(best[0])):
            rows = np.array([places[str(outputs.ids[at])] for at in matched], dtype=np.intp)
            best = np.array(matched), rows, outputs
    if best is None:
        raise UsageMistake(
            f"--contract: {contract.path} has none of the {len(ids):,} ids of production, such as {ids[0]!r}"
        )
    samples, rows, outputs = best
    in_time = np.argsort(rows)
    rows = rows[in_time]
    return measured.paired_with(rows, _some(outputs, samples[in_time], [ids[row] for row in rows]))


def _some(outputs: Outputs, rows: Array, ids: list[str] | None = None) -> Outputs:
    """Return some samples of outputs; their targets are those of production."""
    return replace(
        outputs,
        array=outputs.array[rows],
        targets=None,
        ids=[outputs.ids[at] for at in rows] if ids is None else ids,
        nonfinite=outputs.nonfinite[rows],
        input_finite=outputs.input_finite[rows],
    )


def facts_of_rows(production: Production, task: str, baseline: str | None) -> dict[str, Any]:
    """Return what a report says of the rows: how many there are, how many have labels, and of when they are."""
    seconds = production.seconds
    first, last = (None, None) if seconds is None else (_time(seconds[0]), _time(seconds[-1]))
    return {
        "path": str(production.path),
        "rows": len(production),
        "labelled": int(production.labelled.sum()),
        "task": task,
        "first": first,
        "last": last,
        "baseline": baseline,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")
