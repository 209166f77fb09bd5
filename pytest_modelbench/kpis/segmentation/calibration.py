"""Reading of the calibration of pixels: whether as many of them are right as the model's confidence says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_modelbench.data.tasks.pixel_confidence import BINS
from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import paired_by_group
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.calibrated import calibration_evidence, named
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.segmentation.confusion import areas_of
from pytest_modelbench.kpis.segmentation.overlap import notes_of
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray

_ROUNDING = 1.001


def segmentation_ece(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the expected calibration error of pixels; its bins are the reliability diagram.

    Raises:
        DoesNotFit: it is not stated what scores are, or they are labels.
        MeasurementError: scores are NaN, or probabilities are above 1.
    """
    answers = answered(question, measurements, SegmentationData)
    tables = {role: _table(question, answers, role) for role in answers.answers}
    sums = paired_by_group(question, answers.data.group, tables)
    counts = f"{areas_of(answers, 'student').target.sum():,.0f} pixels"
    evidence = calibration_evidence(question, named(sums), counts, few=True)
    yield replace(evidence, notes=(*evidence.notes, *notes_of(answers)))


def _table(question: Question, answers: Answered[SegmentationData], role: str) -> FloatArray:
    """Return the bins of each image, (n, 3 * bins)."""
    bins, name = answers.answers[role].answers["bins"], f"{question.kpi.name} of the {role}"
    if len(bins.values) != 3 * BINS * len(bins):
        raise DoesNotFit(
            f"{name} needs scores, and to know which. Write EvalData(..., outputs='logits') or 'probabilities'"
        )
    areas = areas_of(answers, role)
    table: FloatArray = bins.values.reshape(len(bins), 3 * BINS)
    count, confidence = (table[:, start : start + BINS].sum() for start in (0, BINS))
    if count < areas.target.sum():
        raise MeasurementError(f"{name} is undefined: the scores of {areas.target.sum() - count:,.0f} pixels are NaN")
    if (table[:, BINS : 2 * BINS] > _ROUNDING * table[:, :BINS]).any():
        raise MeasurementError(
            f"{name} needs probabilities from 0 to 1, and those of its classes are {confidence / count:.3g} on "
            "average. Write outputs='logits', or return probabilities"
        )
    return table
