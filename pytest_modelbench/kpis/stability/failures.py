"""Readings of the reliability pillar."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.task_data import TaskData
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.kpis.by_task import check_paired
from pytest_modelbench.kpis.evidence import exact_comparison
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary, place_of_lowest
from pytest_modelbench.probes.answers.predictions import classes_of_bad, columns_of_bad, said_of_bad, shown_ids
from pytest_modelbench.probes.kinds import NEXT_TOKENS, TASK_ANSWERS, Measurement, ProbeKind
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.probes.text.measured_next_tokens import NextTokens
from pytest_modelbench.results import Estimate, Evidence, Reading


def _read(question: Question, measurements: Measurements) -> Summary:
    """Count NaN and infinite outputs where input and teacher are finite; the teacher is asked only if needed.

    A sample is excused where the student's outputs are not finite, and the inputs or the teacher's are not either.
    """
    student = measurements.outputs("student")
    excused, models = ~student.input_finite, {"student": student}
    if question.with_teacher or (((student.nonfinite > 0) & ~excused).any() and measurements.has("teacher")):
        models["teacher"] = teacher = measurements.outputs("teacher")
        excused = excused | (teacher.nonfinite > 0)
    excused = excused & (student.nonfinite > 0)
    summary = Summary(n=len(student), facts={"model": student.model, "shape": list(student.array.shape[1:])})
    bad = np.flatnonzero((student.nonfinite > 0) & ~excused)
    counted = {"excused": int(excused.sum()), "values": int(student.nonfinite[bad].sum()), "samples": len(bad)}
    if question.with_teacher:
        summary.facts["teacher"] = {"model": teacher.model, "shape": list(teacher.array.shape[1:])}
        counted["teacher"] = int(teacher.nonfinite[teacher.input_finite].sum())
    summary.counts["found"] = {(what,): count for what, count in counted.items()}
    summary.note_kinds("classes", classes_of_bad(student, bad) if len(bad) else [])
    summary.note_kinds("columns", columns_of_bad(student, bad) if len(bad) else [])
    summary.show(("bad",), student.ids, bad)
    if len(bad):
        lowest = np.array([place_of_lowest(student.ids, bad)])
        layer = measurements.first_nonfinite_layer("student", lowest)
        summary.show(("layer", layer), student.ids, lowest)
    return summary


def _conclude(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read how many outputs are NaN or infinite.

    Raises:
        MeasurementError: all samples are excused.
    """
    excused, values, samples = (summary.of("found", what) for what in ("excused", "values", "samples"))
    if excused == summary.n:
        raise MeasurementError(
            f"{question.kpi.name} compared nothing: for no sample are the inputs and the teacher's outputs finite"
        )
    shape = [summary.n, *summary.facts["shape"]]
    reading = _reading(shape, values, excused)
    notes: tuple[str, ...] = ()
    if samples:
        classes, columns = (sorted(kind for (kind,) in summary.counts[what]) for what in ("classes", "columns"))
        found = said_of_bad(classes, columns, shape)
        layer = summary.first("layer")
        notes = (f"{values} values in {samples} of {summary.n} samples{found}",)
        notes += (f"first in layer {layer}, whose inputs are finite",) if layer else ()
    evidence = Evidence(student=reading, notes=notes, worst_samples=summary.shown("bad"))
    if question.with_teacher:
        theirs = _reading([summary.n, *summary.facts["teacher"]["shape"]], summary.of("found", "teacher"), 0)
        comparison = exact_comparison(reading.value, theirs.value)
        evidence = replace(evidence, teacher=theirs, comparison=comparison)
    yield evidence


class _Nonfinite(Reduction):
    """Counts values of outputs; texts and the answers of a task are not read part by part."""

    def __call__(self, question: Question, measurements: Measurements) -> Iterator[Evidence]:
        """Yield the evidence."""
        data = measurements.data()
        if isinstance(data, TextData):
            yield _after_prompts(question, measurements)
        elif isinstance(data, TaskData):
            yield _of_task(question, measurements)
        else:
            yield from super().__call__(question, measurements)


nonfinite_outputs = _Nonfinite(_read, _conclude, excused=True)


def _of_task(question: Question, measurements: Measurements) -> Evidence:
    """Count the values of a task's outputs that are NaN or infinite, and the teacher's and the inputs not.

    Raises:
        MeasurementError: inputs and the teacher's outputs are finite for no sample.
    """
    student = measurements.of(TASK_ANSWERS, "student")
    excused = _has_bad_inputs(student)
    teacher = _excusing(question, measurements, TASK_ANSWERS, asked=bool(student.nonfinite[~excused].any()))
    if teacher is not None:
        check_paired(student, teacher)
        excused = excused | (teacher.nonfinite > 0)
    if excused.all():
        raise MeasurementError(
            f"{question.kpi.name} compared nothing: for no sample are the inputs and the teacher's outputs finite"
        )
    counted = np.where(excused, 0, student.nonfinite)
    bad = np.argsort(-counted, kind="stable")[: np.count_nonzero(counted)]
    reading = _of_samples(student, int(counted.sum()), int(excused.sum()))
    notes = (f"{int(counted.sum()):,} values in {len(bad):,} of {len(student):,} samples",) if len(bad) else ()
    evidence = Evidence(student=reading, notes=notes, worst_samples=shown_ids(student.ids, bad))
    if not question.with_teacher or teacher is None:
        return evidence
    theirs = _of_samples(teacher, int(teacher.nonfinite[~_has_bad_inputs(teacher)].sum()), 0)
    return replace(evidence, teacher=theirs, comparison=exact_comparison(reading.value, theirs.value))


def _has_bad_inputs(answers: TaskAnswers) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(answers), dtype=bool)
    mask[list(answers.infinite_inputs)] = True
    return mask


def _of_samples(answers: TaskAnswers, count: int, excused: int) -> Reading:
    method = f"counted over the outputs of {len(answers):,} samples"
    method += f", {excused:,} of them excused: input or teacher not finite" if excused else ""
    return Reading(estimate=Estimate.exact(float(count)), unit="", n=len(answers), method=method)


def _after_prompts(question: Question, measurements: Measurements) -> Evidence:
    """Count the prompts after which a language model's log-probabilities are NaN or infinite, and the teacher's not.

    Raises:
        MeasurementError: the teacher's are for no prompt.
    """
    student = measurements.of(NEXT_TOKENS, "student")
    hits, compared = student.bad > 0, np.ones(len(student), dtype=bool)
    teacher = _excusing(question, measurements, NEXT_TOKENS, asked=bool(hits.any()))
    if teacher is not None:
        compared = teacher.bad == 0
    if not compared.any():
        raise MeasurementError(
            f"{question.kpi.name} compared nothing: the teacher's outputs are finite for no prompt"
        )
    bad = np.flatnonzero(hits & compared)
    reading = _of_prompts(student, len(bad), int((~compared).sum()))
    evidence = Evidence(student=reading, worst_samples=shown_ids(student.ids, bad))
    if len(bad):
        values = f"{int(student.bad[bad].sum()):,} values after {len(bad)} of {len(student)} prompts"
        layer = (f"first in layer {student.layer}, whose inputs are finite",) if student.layer else ()
        evidence = replace(evidence, notes=(values, *layer))
    if not question.with_teacher or teacher is None:
        return evidence
    theirs = _of_prompts(teacher, int((teacher.bad > 0).sum()), 0)
    return replace(evidence, teacher=theirs, comparison=exact_comparison(reading.value, theirs.value))


def _excusing(
    question: Question, measurements: Measurements, kind: ProbeKind[Measurement], *, asked: bool
) -> Measurement | None:
    """Return the teacher's measurement, where a limit is about it or it may excuse the student."""
    if question.with_teacher:
        return measurements.of(kind, "teacher")
    if asked and measurements.has("teacher"):
        with contextlib.suppress(DoesNotFit, NotApplicable):  # texts or a contract, which excuse nothing
            return measurements.of(kind, "teacher")
    return None


def _of_prompts(tokens: NextTokens, count: int, excused: int) -> Reading:
    method = f"prompts of {len(tokens):,} whose next token has log-probabilities that are NaN or infinite"
    method += f", {excused:,} of them excused: the teacher's are not finite" if excused else ""
    return Reading(estimate=Estimate.exact(float(count)), unit="", n=len(tokens), method=method)


def _reading(shape: Sequence[int], count: int, excused: int) -> Reading:
    method = f"counted over {math.prod(shape):,} output values of {shape[0]:,} samples"
    method += f", {excused:,} of them excused: input or teacher not finite" if excused else ""
    return Reading(estimate=Estimate.exact(float(count)), unit="", n=shape[0], method=method)
