"""When the tokens of several models' answers came, prompt by prompt, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.models.generation import Generation

LOOKS = (0.1, 0.3, 1.0)
"""The shares of the budget after which limits are judged."""
SPENT = (0.1, 0.2, 0.7)
"""The share of the error that each of these looks may make: it is known when the last one is."""


@dataclass(frozen=True, kw_only=True)
class TokenSetup:
    """How answers are asked for; gates with equal set-ups share a measurement.

    Attributes:
        tokens: of each answer, forced; None for the length that the model gives it.
        batch_size: prompts in one call.
        cache: `cold`: each request begins with a line of its own; `warm`: each prompt is asked once before it is
            timed; None for `cold` where a model runs elsewhere, and for neither of them on this machine.
    """

    tokens: int | None = None
    batch_size: int = 1
    cache: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TokenSetup:
        """Return what a gate's options say."""
        return cls(tokens=options["tokens"], batch_size=int(options["batch_size"]), cache=options["cache"])

    def __str__(self) -> str:
        length = f"{self.tokens} tokens each" if self.tokens else "natural length"
        told = {"cold": ", cold cache of prefixes", "warm": ", warm cache of prefixes"}.get(self.cache or "", "")
        return f"{length}, batch size {self.batch_size}{told}"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One batch of prompts, asked of every model in a random order.

    Attributes:
        unit: the number of the batch.
        answers: by role, one for each prompt of the batch.
    """

    unit: int
    answers: Mapping[str, tuple[Generation, ...]]

    def first_ns(self, role: str) -> int:
        """When a model got its first request."""
        return min(answer.start_ns for answer in self.answers[role])

    def seconds(self, role: str) -> float:
        """How long a model took for all prompts of the batch."""
        return (max(answer.end_ns for answer in self.answers[role]) - self.first_ns(role)) / 1e9


@dataclass(frozen=True, kw_only=True)
class TokenTimes:
    """Answers with their times, in the order in which they were asked for.

    Attributes:
        visits: the batches of prompts, one after the other; each of them comes once in a round.
        units: the positions of the prompts of each batch.
        ids: of the samples.
        characters: of each prompt, its messages together.
        prompt_tokens: by role, of each prompt; None where neither the model nor its server counts them.
        names: of the models, by role.
        vocabularies: by role; equal for equal tokenisers, "" where none is known.
        setup: how answers were asked for.
        looks: the numbers of visits at which limits were judged.
        elapsed_s: the seconds spent by then.
        numbers: of the looks, each of which has a share of the error.
    """

    visits: Sequence[Visit]
    units: tuple[tuple[int, ...], ...]
    ids: Sequence[Any]
    characters: tuple[int, ...]
    prompt_tokens: Mapping[str, tuple[int | None, ...]]
    names: Mapping[str, str]
    vocabularies: Mapping[str, str]
    setup: TokenSetup
    looks: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    numbers: tuple[int, ...]

    def until(self, look: int) -> Sequence[Visit]:
        """Return the visits that were known at a look (from 0)."""
        return self.visits[: self.looks[look]]

    def alpha_at(self, alpha: float, look: int) -> float:
        """Return the error that a look (from 0) may make on one side."""
        return alpha * SPENT[self.numbers[look]]

    def same_tokens(self) -> bool | None:
        """Whether all models have one tokeniser; None where that is not known."""
        known = set(self.vocabularies.values())
        return None if "" in known else len(known) == 1
