"""Evidence from generated text: shares of prompts, and values that follow from sums over prompts.

What is independent is the prompt, or the group that `EvalData(group=...)` puts it into: intervals resample those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import DoesNotFit, shown
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import GENERATIONS
from pytest_modelbench.probes.text.measured import Generations

Mask = npt.NDArray[np.bool_]


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
