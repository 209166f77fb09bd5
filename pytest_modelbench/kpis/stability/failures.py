"""Readings of the reliability pillar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.task_data import TaskData
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.kpis.by_task import check_paired
from pytest_modelbench.kpis.evidence import exact_comparison
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import Outputs, in_common, shown_ids
from pytest_modelbench.probes.kinds import NEXT_TOKENS, TASK_ANSWERS, Measurement, ProbeKind
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.probes.text.measured_next_tokens import NextTokens
from pytest_modelbench.results import Estimate, Evidence, Reading


def nonfinite_outputs(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count NaN and infinite outputs where input and teacher are finite; the teacher is asked only if needed."""
    if isinstance(measurements.data(), TextData):
        yield _after_prompts(question, measurements)
        return
    if isinstance(measurements.data(), TaskData):
        yield _of_task(question, measurements)
        return
    outputs = measurements.outputs("student")
    counted = np.where(outputs.input_finite, outputs.nonfinite, 0)
    teacher = None
    if question.with_teacher or (counted.any() and measurements.has("teacher")):
        teacher = measurements.outputs("teacher")
        counted = np.where(teacher.nonfinite == 0, counted, 0)
    compared = outputs.input_finite if teacher is None else outputs.input_finite & (teacher.nonfinite == 0)
    if not compared.any():
        raise MeasurementError(
            f"{question.kpi.name} compared nothing: for no sample are the inputs and the teacher's outputs finite"
        )
    reading = _reading(outputs, int(counted.sum()), int((~compared).sum()))
    bad = np.flatnonzero(counted)
    notes: tuple[str, ...] = (
        f"{int(counted.sum())} values in {len(bad)} of {len(outputs)} samples{in_common(outputs, bad)}",
    )
    layer = measurements.first_nonfinite_layer("student", bad) if len(bad) else None
    notes += (f"first in layer {layer}, whose inputs are finite",) if layer else ()
    if not question.with_teacher or teacher is None:
        yield Evidence(student=reading, notes=notes if len(bad) else (), worst_samples=shown_ids(outputs.ids, bad))
        return
    theirs = _reading(teacher, int(np.where(teacher.input_finite, teacher.nonfinite, 0).sum()), 0)
    yield Evidence(
        student=reading,
        teacher=theirs,
        comparison=exact_comparison(reading.value, theirs.value),
        notes=notes if len(bad) else (),
        worst_samples=shown_ids(outputs.ids, bad),
    )


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


def _reading(outputs: Outputs, count: int, excused: int) -> Reading:
    method = f"counted over {outputs.array.size:,} output values of {len(outputs):,} samples"
    method += f", {excused:,} of them excused: input or teacher not finite" if excused else ""
    return Reading(estimate=Estimate.exact(float(count)), unit="", n=len(outputs), method=method)
