"""Readings of which choice a model finds the likeliest after each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.by_group import share_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import CHOICES
from pytest_modelbench.probes.text.measured_likelihood import ChoiceScores, IntArray
from pytest_modelbench.results import Evidence

TIED = -1
"""Stands for the position of the likeliest choice where several are: a model that says nothing has chosen none."""


@dataclass(frozen=True)
class Chosen:
    """The data, and the position of the choice that each model finds the likeliest or TIED, (prompts,) by role."""

    data: TextData
    models: Mapping[str, ChoiceScores]
    positions: Mapping[str, IntArray]

    @property
    def right(self) -> IntArray:
        """The position of the right choice of each prompt.

        Raises:
            DoesNotFit: the data say none.
        """
        if self.data.answers is None:
            raise DoesNotFit("it needs to know the right choices. Write EvalData(prompts=, choices=, answers=[...])")
        return np.array(self.data.answers, dtype=np.intp)

    @property
    def ids(self) -> Any:
        """The ids of the prompts."""
        return range(len(self.positions["student"])) if self.data.ids is None else self.data.ids

    def worst(self, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of some samples, for the report."""
        return shown_ids(self.ids, index)

    @property
    def notes(self) -> tuple[str, ...]:
        """What may have made the choices unlikely, or equally likely."""
        glued, tied = self.models["student"].glued, int((self.positions["student"] == TIED).sum())
        text = f"{glued} prompts end with a word that a choice goes on with: does a space lack between them?"
        equal = f"the student finds several choices of {tied} prompts the likeliest, none of which counts as right"
        return (text,) * bool(glued) + (equal,) * bool(tied)


def choice_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of prompts after which the right choice is the likeliest."""
    chosen = _chosen(question, measurements, both=False)
    hits = {role: positions == chosen.right for role, positions in chosen.positions.items()}
    yield share_evidence(question, chosen, hits, _method(question, chosen))


def choice_flips(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of prompts whose likeliest choice is another one than the teacher's; lists the newly wrong."""
    chosen = _chosen(question, measurements, both=True)
    student, teacher = chosen.positions["student"], chosen.positions["teacher"]
    flipped = np.asarray(student != teacher)
    evidence = share_evidence(question, chosen, {"student": flipped}, _method(question, chosen))
    notes = evidence.notes
    if chosen.data.answers is not None:
        lost, won = flipped & (teacher == chosen.right), flipped & (student == chosen.right)
        notes = (f"{int(lost.sum())} prompts newly wrong, {int(won.sum())} newly right", *notes)
        evidence = replace(evidence, worst_samples=chosen.worst(np.flatnonzero(lost)))
    yield replace(evidence, notes=notes)


def _chosen(question: Question, measurements: Measurements, *, both: bool) -> Chosen:
    data, norm = text_data(measurements.data()), str(question.options["length_norm"])
    roles = ("student", "teacher") if both or question.with_teacher else ("student",)
    models = {role: measurements.of(CHOICES, role) for role in roles}
    return Chosen(data, models, {role: _likeliest(data, model, norm) for role, model in models.items()})


def _likeliest(data: TextData, model: ChoiceScores, norm: str) -> IntArray:
    """Return the position of the likeliest choice of each prompt; TIED where several are equally likely."""
    lengths = np.ones(len(model.nats))
    if norm == "tokens":
        lengths = model.tokens.astype(np.float64)
    if norm == "bytes":
        listed = [choice for choices in data.choices or () for choice in choices]
        lengths = np.array([len(choice.encode("utf-8", "surrogatepass")) for choice in listed], dtype=np.float64)
    scores = np.split(model.nats / lengths, np.cumsum(model.sizes)[:-1])
    return np.array([TIED if np.sum(some == some.max()) > 1 else np.argmax(some) for some in scores], dtype=np.intp)


def _method(question: Question, chosen: Chosen) -> str:
    norm = question.options["length_norm"]
    per = "" if norm == "none" else f" for each {str(norm).removesuffix('s')}"
    return f"largest log-likelihood{per} (length_norm={norm!r}), {chosen.models['student'].how}"
