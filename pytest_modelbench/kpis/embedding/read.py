"""The vectors of both models, fit to be compared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import Grouping
from pytest_modelbench.data.tasks.embedding import EmbeddingData
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import groups_of
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.stats.cells import FloatArray, IntArray

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Embeddings:
    """The data, the answers, and the vectors by role, (n, d) each."""

    answers: Answered[EmbeddingData]
    vectors: Mapping[str, Vectors]

    @property
    def data(self) -> EmbeddingData:
        """The evaluation data."""
        return self.answers.data

    def __len__(self) -> int:
        return len(self.answers.student)

    @property
    def ids(self) -> Sequence[Any]:
        """Of the samples."""
        return self.answers.student.ids

    @property
    def labels(self) -> IntArray | None:
        """The number of each sample's label, (n,); None where there are no targets."""
        targets = self.answers.student.targets
        return np.unique(targets["label"].values, return_inverse=True)[1] if "label" in targets else None

    @property
    def groups(self) -> IntArray:
        """The number of each sample's group, (n,)."""
        return groups_of(self.data.group, len(self))

    def similarities(self, role: str, first: IntArray, second: IntArray) -> FloatArray:
        """Return how alike samples are to a model, (pairs,): cosine, dot product, or distance times -1."""
        vectors = self.vectors[role]
        parts = [
            self._similar(vectors[first[at : at + 8192]], vectors[second[at : at + 8192]])
            for at in range(0, len(first), 8192)
        ]
        return np.concatenate(parts)

    def _similar(self, ones: Vectors, others: Vectors) -> FloatArray:
        a, b = ones.astype(np.float64), others.astype(np.float64)
        if self.data.metric == "euclidean":
            distances: FloatArray = np.linalg.norm(a - b, axis=1)
            return -distances
        products: FloatArray = np.einsum("nd,nd->n", a, b)
        return products


@dataclass(frozen=True)
class Part:
    """Some samples of the data as data: the queries."""

    UNIT: ClassVar[str] = "query"
    data: EmbeddingData
    index: IntArray

    @property
    def group(self) -> Sequence[Hashable] | None:
        """What each query belongs to."""
        return None if self.data.group is None else [self.data.group[position] for position in self.index]

    def kinds(self) -> list[Grouping]:
        """Return the slices of the queries."""
        return [replace(grouping, codes=grouping.codes[self.index]) for grouping in self.data.kinds()]


def embeddings(question: Question, measurements: Measurements, *, both: bool = False) -> Embeddings:
    """Return the vectors that a KPI is about; of the length 1 where the metric is cosine.

    Args:
        question: of the gate.
        measurements: of the session.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        MeasurementError: vectors with NaN, all alike, or 0 where they have no direction.
    """
    answers = answered(question, measurements, EmbeddingData, both=both)
    if len(answers.student) < 4:
        raise MeasurementError(f"{question.kpi.name} needs at least 4 samples, and there are {len(answers.student)}")
    metric = answers.data.metric
    return Embeddings(answers, {role: _checked(measured, metric) for role, measured in answers.answers.items()})


def _checked(measured: TaskAnswers, metric: str) -> Vectors:
    if ("vectors", metric) not in measured.derived:
        measured.derived["vectors", metric] = _normed(measured, metric)
    vectors: Vectors = measured.derived["vectors", metric]
    return vectors


def _normed(measured: TaskAnswers, metric: str) -> Vectors:
    vectors: Vectors = measured.answers["vector"].values
    _refuse(measured, (~np.isfinite(vectors)).any(axis=1), "with NaN or infinite values")
    if not np.ptp(vectors, axis=0).any():
        raise MeasurementError(f"{measured.model} returned the same vector for all {len(vectors):,} samples")
    if metric != "cosine":
        return vectors
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    _refuse(measured, lengths[:, 0] == 0, "of zeros, which have no direction for metric='cosine',")
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit


def _refuse(measured: TaskAnswers, wrong: Any, what: str) -> None:
    if wrong.any():
        ids = ", ".join(shown_ids(measured.ids, np.flatnonzero(wrong)[:3]))
        raise MeasurementError(
            f"{measured.model} returned vectors {what} for {int(wrong.sum()):,} of {len(wrong):,} samples, such as "
            f"{ids}"
        )


def same_width(read: Embeddings, kpi: str) -> None:
    """Refuse models whose vectors have other lengths.

    Raises:
        DoesNotFit: they have; the message names KPIs that compare such spaces.
    """
    student, teacher = (read.vectors[role].shape[1] for role in ("student", "teacher"))
    if student != teacher:
        raise DoesNotFit(
            f"{kpi} compares vectors of one length, and the student's have {student} numbers, the teacher's "
            f"{teacher}. Write neighbour_overlap, similarity_correlation or cka"
        )
