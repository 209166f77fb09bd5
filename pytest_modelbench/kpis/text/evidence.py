"""Evidence from generated text: shares of prompts, and values that follow from sums over prompts.

What is independent is the prompt, or the group that `EvalData(group=...)` puts it into: intervals resample those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import DoesNotFit, MeasurementError, shown
from pytest_modelbench.kpis.additive import PairedSums, compared, evidence_of
from pytest_modelbench.kpis.evidence import compared_shares
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import GENERATIONS
from pytest_modelbench.probes.text.measured import Generations
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, IntArray, resamples_for
from pytest_modelbench.stats.design_effect import FEWEST_CLUSTERS, design_effect, widened
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.paired import expanded, expanded_comparison, percentiles

Mask = npt.NDArray[np.bool_]


class Sampled(Protocol):
    """Samples that a share is of: the prompts, with their groups."""

    @property
    def data(self) -> TextData:
        """The evaluation data."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report says about both models."""

    def worst(self, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of some samples, for the report."""


@dataclass(frozen=True)
class Answered:
    """The data, and the answers of the student and, where they are compared, of the teacher."""

    data: TextData
    answers: Mapping[str, Generations]

    @property
    def references(self) -> tuple[tuple[str, ...], ...]:
        """The references of each prompt, which `answered` has asked for."""
        return self.data.references or ()

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return the answers of each model as texts, without the white space around them."""
        return {role: tuple(text.strip() for text in answers.texts) for role, answers in self.answers.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report says about both models: how what they were asked differs."""
        return (*self._requests(), *self._templates())

    def _templates(self) -> Iterator[str]:
        """Yield that models with equal tokens got others for the same prompts, as through a template of one only."""
        both = [self.answers[role] for role in ("student", "teacher") if role in self.answers]
        if len(both) < 2 or not both[0].vocabulary or both[0].vocabulary != both[1].vocabulary:
            return
        counts = [[answer.usage.get("prompt_tokens") for answer in answers.answers] for answers in both]
        unlike = sum(None not in pair and pair[0] != pair[1] for pair in zip(*counts, strict=True))
        if unlike:
            yield (
                f"student and teacher got different numbers of tokens for {unlike} of {len(both[0])} prompts: does "
                "the chat template of one of them differ, or lack?"
            )

    def _requests(self) -> tuple[str, ...]:
        """Return which fields the servers of both got differently."""
        sent = [self.answers[role].sent for role in ("student", "teacher") if role in self.answers]
        if len(sent) < 2 or not all(sent):
            return ()
        names = sorted(name for name in {*sent[0], *sent[1]} - {"model"} if sent[0].get(name) != sent[1].get(name))
        told = [f"{name} is {shown(sent[0].get(name))} and {shown(sent[1].get(name))}" for name in names]
        return (f"student and teacher got different requests: {', '.join(told)}",) if told else ()

    def worst(self, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of some samples, for the report."""
        return shown_ids(self.answers["student"].ids, index)


def answered(question: Question, measurements: Measurements, *, references: bool, both: bool = False) -> Answered:
    """Return the answers that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        references: whether the KPI holds answers against references.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data have no prompts or no references.
    """
    data = text_data(measurements.data())
    if references and data.references is None:
        raise DoesNotFit(
            f"{question.kpi.name} needs references, and the evaluation data have none. {data.advice_on_references()}"
        )
    roles = ("student", "teacher") if both or question.with_teacher else ("student",)
    return Answered(data, {role: measurements.of(GENERATIONS, role) for role in roles})


def groups_of(group: Sequence[Hashable] | None, n: int) -> IntArray:
    """Return the number of each sample's group, (n,); each sample is one of its own where none are stated."""
    if group is None:
        return np.arange(n)
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in group], dtype=np.intp)


def share_evidence(question: Question, answered: Sampled, hits: Mapping[str, Mask], method: str) -> Evidence:
    """Return the share of prompts that are hits as evidence, in percent.

    Wilson's interval for each model, Tango's for their difference; both wider by the design effect of groups.

    Args:
        question: of the gate.
        answered: the data and the answers.
        hits: (n,) by role.
        method: how a hit is found, in words.
    """
    groups = groups_of(answered.data.group, len(hits["student"]))
    readings = {role: _share_reading(question, mask, groups, method) for role, mask in hits.items()}
    student, teacher = hits["student"], hits.get("teacher")
    lower = question.kpi.better == "lower"
    lost = student if lower else ~student
    comparison = None
    if teacher is not None:
        lost = lost & (~teacher if lower else teacher)
        comparison = _compared(question, student, teacher, groups)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
        notes=(*answered.notes, *_unlike(groups, student)),
        worst_samples=answered.worst(np.flatnonzero(lost)),
        breakdown=_by_slice(answered.data, len(student), lambda members: _shares(hits, members)),
    )


def _unlike(groups: IntArray, hits: Mask) -> tuple[str, ...]:
    """Say that the design effect of groups cannot be seen: there are too few, or all prompts are alike."""
    count = int(groups.max()) + 1
    if count == len(groups) or (count >= FEWEST_CLUSTERS and np.ptp(hits.astype(np.intp))):
        return ()
    why = "are too few to show" if count < FEWEST_CLUSTERS else "without a difference do not show"
    return (f"the interval takes prompts as independent: {count} groups {why} how alike the prompts of one are",)


def _shares(hits: Mapping[str, Mask], members: Mask) -> dict[str, float]:
    return {role: 100 * float(mask[members].mean()) for role, mask in hits.items()}


def _by_slice(data: TextData, n: int, values: Callable[[Mask], Mapping[str, float]]) -> tuple[dict[str, Any], ...]:
    """Return a row for each slice of the data: its name, its size, and the models' values, None where undefined.

    Args:
        data: whose slices they are.
        n: how many samples the values are of; other samples than the data's have no slices.
        values: returns the values by role for the members of a slice, (n,).
    """
    if n != len(data.inputs):
        return ()
    members = [named for grouping in data.kinds() for named in grouping.with_names() if named[1].any()]
    return tuple(
        {
            "name": name,
            "n": int(mask.sum()),
            **{role: value if np.isfinite(value) else None for role, value in values(mask).items()},
        }
        for name, mask in members
    )


def _share_reading(question: Question, hits: Mask, groups: IntArray, method: str) -> Reading:
    count, n, effect = int(hits.sum()), len(hits), _effect(hits.astype(np.intp), groups)
    estimate = widened(share_interval(count, n, question.alpha), effect).within(0.0, 1.0)
    grouped = f", design effect {effect:.2f} of {int(groups.max()) + 1} groups" if effect > 1 else ""
    return Reading(
        estimate=estimate.map(lambda share: 100 * share),
        unit="%",
        n=n,
        confidence=question.confidence,
        method=f"{method}: {count} of {n} prompts, Wilson interval{grouped}",
    )


def _compared(question: Question, student: Mask, teacher: Mask, groups: IntArray) -> Comparison:
    comparison = compared_shares(question, student, teacher)
    effect = _effect(1 + student.astype(np.intp) - teacher.astype(np.intp), groups)
    return replace(
        comparison,
        ratio=comparison.ratio and widened(comparison.ratio, effect),
        difference=comparison.difference and widened(comparison.difference, effect),
    )


def _effect(kinds: IntArray, groups: IntArray) -> float:
    """Return the design effect of groups, 1 where every sample is one of its own."""
    count = int(groups.max()) + 1
    if count == len(groups):
        return 1.0
    table = np.zeros((count, int(kinds.max()) + 1))
    np.add.at(table, (groups, kinds), 1.0)
    return design_effect(table)


def summed_evidence(
    question: Question,
    data: TextData,
    sums: Mapping[str, FloatArray],
    value: Callable[[FloatArray], FloatArray],
    method: str,
    group: Sequence[Hashable] | None = None,
) -> Evidence:
    """Return a value that follows from sums over samples as evidence, with a paired bootstrap by group.

    Args:
        question: of the gate.
        data: whose `group` is used where no other is stated.
        sums: what each sample adds, (n, kinds) by role.
        value: turns sums (resamples, kinds) into values (resamples,), in the KPI's unit; NaN where it is undefined.
        method: how the value is found, in words.
        group: of each sample, where samples are not the prompts.

    Raises:
        MeasurementError: the value is undefined on these data.
    """
    paired = _paired(question, data.group if group is None else group, sums)
    points = {role: float(value(totals["sums"])[0]) for role, totals in paired.totals.items()}
    for role, point in points.items():
        if not np.isfinite(point):
            raise MeasurementError(f"{question.kpi.name} of the {role} is {point} on these data")
    drawn = {role: value(resampled["sums"]) for role, resampled in paired.drawn.items()}
    n = len(sums["student"])

    def of_members(members: Mask) -> dict[str, float]:
        return {role: float(value(table[members].sum(axis=0, keepdims=True))[0]) for role, table in sums.items()}

    alpha = question.alpha
    estimates = {role: expanded(percentiles(points[role], drawn[role], alpha), paired.n, alpha) for role in points}
    comparison = None
    if "teacher" in points:
        comparison = expanded_comparison(compared(points, drawn, alpha, paired.method), paired.n, alpha)
    evidence = evidence_of(question, paired, estimates, comparison, method)
    return evidence if group is not None else replace(evidence, breakdown=_by_slice(data, n, of_members))


def _paired(question: Question, group: Sequence[Hashable] | None, sums: Mapping[str, FloatArray]) -> PairedSums:
    """Return the sums of all samples, and those of resamples of groups, the same for all models."""
    n = len(sums["student"])
    groups = groups_of(group, n)
    count = int(groups.max()) + 1
    cells = CellSums([count], question.seed)
    placed = cells.place(np.zeros(count, dtype=np.intp))
    for role, table in sums.items():
        for kind in range(table.shape[1]):
            added: FloatArray = np.bincount(groups, table[:, kind], count).astype(np.float64)
            cells.add(role, placed, np.full(count, kind), table.shape[1], added)
    start = time.perf_counter()
    drawn: Mapping[str, Any] = cells.resamples(resamples_for(question.alpha))
    seconds, total = time.perf_counter() - start, cells.total()
    return PairedSums(
        sums=cells,
        seconds=seconds,
        totals={role: {"sums": total[role]} for role in sums},
        drawn={role: {"sums": drawn[role]} for role in sums},
        n=count,
    )
