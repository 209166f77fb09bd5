"""How far predicted masks and targets overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.tasks.segmentation import SegmentationData, unpacked
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import summed_evidence
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of


def pixel_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of pixels that are right, over all images together."""
    answers = answered(question, measurements, SegmentationData)
    sums = {role: _right_and_all(answers, role) for role in answers.answers}
    evidence = summed_evidence(
        question, answers.data, sums, lambda total: 100 * share_of(total[:, 0], total[:, 1]), "right pixels over all"
    )
    wrong = sums["student"][:, 1] - sums["student"][:, 0]
    order = np.argsort(-wrong, kind="stable")
    yield replace(evidence, worst_samples=answers.worst(order[wrong[order] > 0]))


def _right_and_all(answers: Answered[SegmentationData], role: str) -> FloatArray:
    """Return how many pixels of each image are right, and how many count, (n, 2)."""
    measured, ignored = answers.answers[role], answers.data.ignore_index
    table = np.zeros((len(measured), 2))
    for sample in range(len(measured)):
        mask = unpacked(measured.answers["mask"][sample], measured.answers["size"][sample])
        target = unpacked(measured.targets["mask"][sample], measured.targets["size"][sample])
        if mask.shape != target.shape:
            raise MeasurementError(
                f"{measured.model} returned a mask of {mask.shape} for the sample {measured.ids[sample]!r}, whose "
                f"target is {target.shape}"
            )
        counts = np.ones(target.shape, dtype=bool) if ignored is None else target != ignored
        table[sample] = (counts & (mask == target)).sum(), counts.sum()
    return table
