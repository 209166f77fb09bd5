"""Readings of the student's errors under corruptions as a share of the teacher's: ratios of sums over samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.robustness.table import (
    Table,
    breakdown,
    check_inputs,
    lost_samples,
    models_of,
    notes_of,
    read_table,
)
from pytest_modelbench.probes.answers.corrupted import CorruptedPasses
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.kinds import CORRUPTED
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, resamples_for
from pytest_modelbench.stats.paired import bias_corrected

Mask = npt.NDArray[np.bool_]
ROLES = ("student", "teacher")
SHOWN = 5


def mce(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean over corruptions of the ratio of errors, each summed over severities."""
    table = read_table(question, measurements)
    yield _mean_ratio(question, table, {role: _errors(table, role) for role in ROLES})


def relative_mce(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the same of the errors beyond those that the model makes on the data as they are."""
    table = read_table(question, measurements)
    beyond = {}
    for role in ROLES:
        clean = np.where(table.judged, ~table.clean[role][:, None], 0)
        beyond[role] = _errors(table, role) - _by_corruption(table, clean)
    yield _mean_ratio(question, table, beyond)


def corruption_error_ratio(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the ratio of all errors."""
    table = read_table(question, measurements)
    errors = {role: _errors(table, role).sum(axis=1, keepdims=True) for role in ROLES}
    least = int(question.options["min_errors"])
    if errors["teacher"].sum() < least:
        raise DoesNotFit(
            f"{question.kpi.name}: the teacher makes {int(errors['teacher'].sum())} errors under all corruptions, "
            f"and {least} are needed. Take harder severities=, more samples=, or a smaller min_errors="
        )
    yield _evidence(question, table, _Resampled.of(errors, question), _ratio, ())


def _by_corruption(table: Table, values: npt.NDArray[np.generic]) -> FloatArray:
    """Sum cells of (samples, cells) by corruption."""
    return np.stack([values[:, columns].sum(axis=1) for columns in table.groups().values()], axis=1).astype(float)


def _errors(table: Table, role: str) -> FloatArray:
    """Return how often each sample is wrong under each corruption, over severities and seeds."""
    return _by_corruption(table, table.judged & ~table.right[role])


@dataclass(frozen=True, kw_only=True)
class _Resampled:
    """Sums over samples by role, (1, kinds), and those of resamples, (resamples, kinds), the same for both models."""

    totals: Mapping[str, FloatArray]
    drawn: Mapping[str, FloatArray]
    n: int
    method: str

    @classmethod
    def of(cls, values: Mapping[str, FloatArray], question: Question) -> _Resampled:
        """Resample what each sample adds, (samples, kinds) by role."""
        n = len(next(iter(values.values())))
        sums = CellSums()
        placed = sums.place(hashes_of(range(n)))
        for role, added in values.items():
            for kind in range(added.shape[1]):
                sums.add(role, placed, np.full(n, kind), added.shape[1], added[:, kind])
        start, count = time.perf_counter(), resamples_for(question.alpha)
        drawn = sums.resamples(count, question.seed)
        took = humanise(time.perf_counter() - start, "s")
        method = f"paired bootstrap of {n:,} samples, {count} resamples in {took}"
        return cls(totals=sums.total(), drawn=drawn, n=n, method=method)


Value = Callable[[Mapping[str, FloatArray]], FloatArray]


def _ratio(sums: Mapping[str, FloatArray]) -> FloatArray:
    """Return the mean over kinds of the student's sum as a percentage of the teacher's, NaN where that is 0."""
    student, teacher = sums["student"], sums["teacher"]
    ratios = np.divide(student, teacher, out=np.full(student.shape, np.nan), where=teacher > 0)
    mean: FloatArray = 100 * ratios.mean(axis=1)
    return mean


def _mean_ratio(question: Question, table: Table, errors: Mapping[str, FloatArray]) -> Evidence:
    """Return the evidence of the mean ratio over the corruptions that are hard enough for the teacher.

    Raises:
        DoesNotFit: none is.
    """
    least, names = int(question.options["min_errors"]), list(table.groups())
    teacher = errors["teacher"].sum(axis=0)
    kept = np.flatnonzero(teacher >= least)
    left_out = [f"{names[i]} ({teacher[i]:.0f})" for i in range(len(names)) if i not in set(kept.tolist())]
    what = "errors" if question.kpi.statistic == "mce" else "errors beyond those on the data as they are"
    if not len(kept):
        raise DoesNotFit(
            f"{question.kpi.name}: the teacher makes fewer than {least} {what} under every corruption: "
            f"{', '.join(left_out[:10])}. "
            "Take harder severities=, more samples=, or a smaller min_errors="
        )
    sums = _Resampled.of({role: errors[role][:, kept] for role in ROLES}, question)
    notes = (*_worst([names[i] for i in kept], sums), *_too_few(left_out, what))
    return _evidence(question, table, sums, _ratio, notes)


def _worst(names: Sequence[str], sums: _Resampled) -> Iterator[str]:
    """Say which corruptions have the largest ratios."""
    ratios = 100 * sums.totals["student"][0] / sums.totals["teacher"][0]
    order = np.argsort(-ratios, kind="stable")[:3]
    yield f"by corruption: {', '.join(f'{names[i]} {ratios[i]:.0f}%' for i in order)}"


def _too_few(left_out: Sequence[str], what: str) -> Iterator[str]:
    """List the corruptions that are not hard enough for the teacher."""
    if left_out:
        more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        yield f"too few {what} of the teacher to judge: {', '.join(left_out[:SHOWN])}{more}"


def _evidence(question: Question, table: Table, sums: _Resampled, value: Value, notes: tuple[str, ...]) -> Evidence:
    estimate = bias_corrected(float(value(sums.totals)[0]), value(sums.drawn), question.alpha)
    return Evidence(
        student=Reading(
            estimate=estimate,
            unit="%",
            n=sums.n,
            confidence=question.confidence,
            method=f"errors relative to the teacher's (100); {sums.method}; {table.method}",
        ),
        sampled=question.asked,
        notes=(*notes, *notes_of(table)),
        worst_samples=lost_samples(table),
        breakdown=breakdown(table),
    )


def corruption_rmse_ratio(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how many times as much the student's error grows as the teacher's.

    Raises:
        DoesNotFit: the task is not regression.
        MeasurementError: the student gives no answer, which has no error, or a model is perfect on the clean data.
    """
    models = models_of(question, measurements)
    if models["student"].task != "regression":
        raise DoesNotFit(
            f"{question.kpi.name} is for regression, and the task is {models['student'].task}. Write mce"
        )
    passes = {role: measurements.of(CORRUPTED, role) for role in ROLES}
    check_inputs(passes)
    _refuse_unanswered(question, passes["student"])
    answered = np.stack([one.answered for one in passes["teacher"].answers], axis=1)
    squares = {role: _squares(models[role], passes[role], answered) for role in ROLES}
    for role, sums in squares.items():
        if sums[:, 1].sum() == 0:
            raise MeasurementError(
                f"{question.kpi.name}: the {role} makes no error on the data as they are, and growth is undefined"
            )
    yield _grown(question, _Resampled.of(squares, question), passes["student"])


def _refuse_unanswered(question: Question, measured: CorruptedPasses) -> None:
    """Refuse a student without an answer: a missing value has no error."""
    for cell, one in zip(measured.cells, measured.answers, strict=True):
        if not one.answered.all():
            raise MeasurementError(
                f"{question.kpi.name} is undefined: the student gives no answer to {int((~one.answered).sum())} of "
                f"{len(one.answered)} samples under {cell}: {one.failure or 'NaN or infinite outputs'}"
            )


def _squares(predictions: Predictions, measured: CorruptedPasses, answered: Mask) -> FloatArray:
    """Return each sample's squared errors under corruptions and on the clean data, (samples, 2), over all cells."""
    targets = np.asarray(predictions.targets)[measured.chosen].astype(float)
    clean = _square(predictions.labels[measured.chosen], targets)[:, None] * answered
    harder = np.stack([_square(one.labels, targets) for one in measured.answers], axis=1)
    return np.stack([np.where(answered, harder, 0).sum(axis=1), clean.sum(axis=1)], axis=1)


def _grown(question: Question, sums: _Resampled, measured: CorruptedPasses) -> Evidence:
    estimate = bias_corrected(float(_growth(sums.totals)[0]), _growth(sums.drawn), question.alpha)
    grown = {role: float(np.sqrt(sums.totals[role][0, 0] / sums.totals[role][0, 1])) for role in ROLES}
    corruptions = dict.fromkeys(str(cell.corruption) for cell in measured.cells)
    return Evidence(
        student=Reading(
            estimate=estimate,
            unit="x",
            n=sums.n,
            confidence=question.confidence,
            method=f"growth of RMSE under {len(corruptions)} corruptions over the teacher's; {sums.method}",
        ),
        sampled=question.asked,
        notes=(
            f"RMSE grows {grown['student']:.3g}x, the teacher's {grown['teacher']:.3g}x",
            *measured.notes,
        ),
    )


def _square(values: npt.NDArray[np.generic], targets: FloatArray) -> FloatArray:
    squares = (np.nan_to_num(values.astype(float)) - targets) ** 2
    whole: FloatArray = squares.reshape(len(squares), -1).mean(axis=1)
    return whole


def _growth(sums: Mapping[str, FloatArray]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        student, teacher = (np.sqrt(sums[role][:, 0] / sums[role][:, 1]) for role in ROLES)
        ratio: FloatArray = student / teacher
    return ratio
