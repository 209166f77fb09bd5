"""What is measured of models that generate text, as values."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.models.generation import Generation


@dataclass(frozen=True, kw_only=True)
class Generations:
    """A model's answers in the order of the prompts.

    Attributes:
        model: its name.
        answers: one for each prompt.
        ids: of the samples.
        settings: that they were generated with.
        vocabulary: equal for equal tokenisers, "" where none is known.
        sent: the fields that a server got with each prompt; empty for a model without a server.
    """

    model: str
    answers: tuple[Generation, ...]
    ids: Sequence[Any]
    settings: GenerationSettings
    vocabulary: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.answers)

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """The answers as texts, as they came."""
        return tuple(answer.text for answer in self.answers)
