"""Which answers under corruptions are right, for the student and its teacher: samples in rows, cells in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.corruptions.names import Cell
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.evidence import judged_predictions, meaning_of, pair_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.corrupted import CorruptedPasses, same_inputs
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import CORRUPTED

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
RISES_PP = 0.5
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Table:
    """What models answered under corruptions.

    Attributes:
        cells: corruptions with severity and seed, one for each column.
        right: by role, (samples, cells): whether an answer counts as right; none that was not given does.
        judged: (samples, cells): False where the teacher could not answer, so that nothing is compared.
        clean: by role, (samples,): whether it is right on the data as they are.
        predictions: by role, on the data as they are, of all samples.
        passes: by role.
        of_targets: whether labels are compared with the targets; otherwise with those on the data as they are.
    """

    cells: Sequence[Cell]
    right: Mapping[str, Mask]
    judged: Mask
    clean: Mapping[str, Mask]
    predictions: Mapping[str, Predictions]
    passes: Mapping[str, CorruptedPasses]
    of_targets: bool = True

    @property
    def chosen(self) -> IntArray:
        """The positions of the samples among all."""
        return self.passes["student"].chosen

    def groups(self, by: str = "corruption") -> dict[str, IntArray]:
        """Return the columns of each corruption, or of each severity, by its name."""
        names = [str(cell.corruption) if by == "corruption" else f"severity {cell.severity}" for cell in self.cells]
        return {name: np.flatnonzero([other == name for other in names]) for name in dict.fromkeys(names)}

    def by_sample(self, values: npt.NDArray[Any], columns: IntArray | None = None) -> tuple[FloatArray, IntArray]:
        """Return the mean of each sample over the cells that are judged, and which samples have any."""
        where = slice(None) if columns is None else columns
        judged = self.judged[:, where]
        counts = judged.sum(axis=1)
        (rows,) = np.nonzero(counts)
        sums = np.where(judged, values[:, where], 0).sum(axis=1, dtype=np.float64)
        return sums[rows] / counts[rows], rows

    @property
    def method(self) -> str:
        """Say what was measured, for a reading's method."""
        corruptions, severities = self.groups(), sorted({cell.severity for cell in self.cells})
        seeds = sorted({cell.seed for cell in self.cells})
        n, of = len(self.chosen), len(self.predictions["student"])
        part = f"{n:,} samples" if n == of else f"{n:,} of {of:,} samples (each class in proportion)"
        listed = ", ".join(map(str, severities))
        return (
            f"{len(corruptions)} corruption{'s' * (len(corruptions) > 1)} at severity {listed}, {part}, seed "
            f"{', '.join(map(str, seeds))}; {meaning_of(self.predictions['student'])}"
        )


def read_table(question: Question, measurements: Measurements, *, targets: bool = True) -> Table:
    """Return which answers of the models are right; without `targets`, which are the same as on the clean data.

    Raises:
        DoesNotFit: the task is regression, or there are no targets.
        DataError: the two models were given different inputs.
        MeasurementError: nothing is left to be judged.
    """
    predictions = models_of(question, measurements, targets=targets)
    passes = {role: measurements.of(CORRUPTED, role) for role in predictions}
    check_inputs(passes)
    right, clean, judged = {}, {}, np.ones((0, 0), dtype=bool)
    for role, measured in passes.items():
        expected = predictions[role].targets if targets else predictions[role].labels
        if expected is None:
            raise DoesNotFit(f"{question.kpi.name} needs targets, and the evaluation data have none")
        expected = expected[measured.chosen]
        columns = [equal(answers.labels, expected) & answers.answered for answers in measured.answers]
        right[role] = np.stack(columns, axis=1)
        clean[role] = equal(predictions[role].labels[measured.chosen], expected)
        judged = judged if judged.size else np.ones_like(right[role])
    if "teacher" in passes:
        judged = np.stack([answers.answered for answers in passes["teacher"].answers], axis=1)
    if not judged.any():
        raise MeasurementError(f"{question.kpi.name}: the teacher answers no corrupted input, so nothing is compared")
    return Table(
        cells=passes["student"].cells,
        right=right,
        judged=judged,
        clean=clean,
        predictions=predictions,
        passes=passes,
        of_targets=targets,
    )


def models_of(question: Question, measurements: Measurements, *, targets: bool = True) -> dict[str, Predictions]:
    """Return the predictions on the data as they are, of the student and of a teacher that is compared."""
    if question.kpi.paired or question.with_teacher:
        student, teacher = pair_of(question, measurements, targets=targets)
        models = {"student": student, "teacher": teacher}
    else:
        models = {"student": judged_predictions(question, measurements, "student", targets=targets)}
    if question.kpi.statistic != "corruption_rmse_ratio" and models["student"].task == "regression":
        raise DoesNotFit(
            f"{question.kpi.name} is about labels, and the task is regression. Write corruption_rmse_ratio, or a "
            "KPI such as kpi('rmse', 'increase <= 10%', under='column_noise:3')"
        )
    return models


def check_inputs(passes: Mapping[str, CorruptedPasses]) -> None:
    """Refuse to pair answers to different inputs.

    Raises:
        DataError: a corruption gave the two models different ones.
    """
    if "teacher" in passes and not same_inputs(passes["student"].answers, passes["teacher"].answers):
        raise DataError(
            "the corruptions gave student and teacher different inputs: nothing can be paired. A custom corruption "
            "takes all random numbers from its third argument, rng, and keeps nothing from call to call"
        )


def equal(labels: npt.NDArray[Any], expected: npt.NDArray[Any]) -> Mask:
    """Return for which samples all labels are equal."""
    same: Mask = np.asarray(labels == expected)
    return same if same.ndim == 1 else np.all(same.reshape(len(same), -1), axis=1)


def breakdown(table: Table) -> tuple[dict[str, Any], ...]:
    """Return a row for each corruption and severity: the share that is right, in percent, of each model."""
    names = [str(cell) for cell in table.cells]
    rows = []
    for name in dict.fromkeys(names):
        columns = np.flatnonzero([other == name for other in names])
        shares = {role: table.by_sample(right, columns)[0] for role, right in table.right.items()}
        row: dict[str, Any] = {"name": name, "n": len(shares["student"]), "value": _percent(shares["student"])}
        if "teacher" in shares:
            row |= {"teacher": _percent(shares["teacher"])}
            row |= {"drop": None if row["value"] is None else row["teacher"] - row["value"]}
        rows.append(row)
    return tuple(rows)


def _percent(shares: FloatArray) -> float | None:
    return 100 * float(shares.mean()) if len(shares) else None


def notes_of(table: Table) -> tuple[str, ...]:
    """Return what a reader should know of the measurement: what was left out, not answered, or does not grow."""
    return (
        *table.passes["student"].notes,
        *_worst_cells(table),
        *_failures(table.passes),
        *_at_the_floor(table),
        *_rising(table),
    )


def _worst_cells(table: Table) -> Iterator[str]:
    """Name the corruptions and severities under which the student loses most."""
    rows = [row for row in breakdown(table) if (row.get("drop") or 0) > 0]
    if rows and table.of_targets and len(table.cells) > 1:
        worst = sorted(rows, key=lambda row: -row["drop"])[:SHOWN]
        shown = (f"{row['name']} from {row['teacher']:.1f}% to {row['value']:.1f}%" for row in worst)
        yield f"largest drops: {', '.join(shown)}"


def _at_the_floor(table: Table) -> Iterator[str]:
    """Name where the teacher is right no more often than one that always gives the commonest label."""
    targets = table.predictions["student"].targets
    if "teacher" not in table.right or not table.of_targets or targets is None or targets.ndim > 1:
        return
    floor = 100 * float(np.unique(targets[table.chosen].astype(str), return_counts=True)[1].max()) / len(table.chosen)
    low = [row["name"] for row in breakdown(table) if row["teacher"] is not None and row["teacher"] <= floor]
    if low:
        more = f" and {len(low) - SHOWN} more" if len(low) > SHOWN else ""
        yield (
            f"the teacher is no better than always giving the commonest label ({floor:.1f}%) under "
            f"{', '.join(low[:SHOWN])}{more}: no student can lose much there"
        )


def _failures(passes: Mapping[str, CorruptedPasses]) -> Iterator[str]:
    """Say where a model gave no answer, and that it counts as wrong, or of the teacher that nothing is judged."""
    for role, measured in passes.items():
        cells = [
            (str(cell), int((~answers.answered).sum()), answers.failure)
            for cell, answers in zip(measured.cells, measured.answers, strict=True)
            if not answers.answered.all()
        ]
        if cells:
            count, n = sum(count for _, count, _ in cells), len(measured.chosen) * len(measured.cells)
            names = ", ".join(name for name, *_ in cells[:SHOWN]) + (", ..." if len(cells) > SHOWN else "")
            why = next((failure for *_, failure in cells if failure), "NaN or infinite outputs")
            then = "counted as wrong" if role == "student" else "not judged for either model"
            yield f"the {role} gives no answer to {count:,} of {n:,} corrupted samples ({names}): {then}. {why}"


def _rising(table: Table) -> Iterator[str]:
    """Name the corruptions under which accuracy rises with the severity."""
    role = "teacher" if "teacher" in table.right else "student"
    what = "accuracy" if table.of_targets else "share of unchanged labels"
    for name, columns in table.groups().items():
        severities = sorted({table.cells[column].severity for column in columns})
        shares = []
        for severity in severities:
            inside = np.array([column for column in columns if table.cells[column].severity == severity])
            share = table.by_sample(table.right[role], inside)[0]
            shares.append(100 * float(share.mean()) if len(share) else np.nan)
        rises = np.diff(shares)
        if len(rises) and np.nanmax(rises, initial=-np.inf) > RISES_PP:
            at = int(np.nanargmax(rises))
            yield (
                f"{name}: the {role}'s {what} rises from {shares[at]:.1f}% at severity {severities[at]} to "
                f"{shares[at + 1]:.1f}% at {severities[at + 1]}"
            )


def lost_samples(table: Table) -> tuple[str, ...]:
    """Return the ids of the samples that the student lost under most corruptions, or got wrong under most."""
    student = table.right["student"]
    lost = table.right["teacher"] & ~student if "teacher" in table.right else ~student
    counts = (lost & table.judged).sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    return shown_ids(table.predictions["student"].ids, table.chosen[order[counts[order] > 0]])
