"""Times of tokens: each prompt is asked of every model in a random order, round after round."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.text import LikelihoodModel, TextModel
from pytest_modelbench.probes.text.measured_times import LOOKS, TokenSetup, TokenTimes, Visit

END_TOKEN = 1
"""A server's count of tokens may hold the end token."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What times are measured of.

    Attributes:
        models: by role, all on one clock.
        data: the prompts.
        setup: how answers are asked for.
        budget_s: of all models together, in seconds.
        seed: of the order.
        decided: called at each look; True ends the measurement.
        progress: told the seconds elapsed and the budget.
        beat: called after each call of a model.
    """

    models: Mapping[str, TextModel]
    data: TextData
    setup: TokenSetup
    budget_s: float = 60.0
    seed: int = 0
    decided: Callable[[TokenTimes], bool] = lambda _: False
    progress: Callable[[float, float], None] = lambda _elapsed_s, _budget_s: None
    beat: Callable[[], None] = lambda: None


def measure_token_times(given: Given) -> TokenTimes:
    """Time the answers to the prompts until limits are decided or the budget ends.

    The first prompt of the order is asked once of each model before the clock of the budget starts, which is left
    out. Another visit begins only if one as long as the longest so far ends within the budget; one is made in any
    case.

    Raises:
        MeasurementError: the models are on different clocks, or a model does not follow the set-up.
        ModelError: a request failed.
    """
    return _Run(given).run()


class _Run:
    """The state of one measurement."""

    def __init__(self, given: Given) -> None:
        clocks = {model.clock_ns for model in given.models.values()}
        if len(clocks) != 1:
            raise MeasurementError("teacher and student are on different clocks; give both fakes the same FakeClock")
        self.clock = clocks.pop()
        self.given, self.rng = given, np.random.default_rng(given.seed)
        cache = given.setup.cache or ("cold" if any(model.runs_at for model in given.models.values()) else None)
        self.setup = replace(given.setup, cache=cache)
        self.prompts: Sequence[Prompt] = list(given.data.prompts)
        self.units = self._units()
        self.settings = _settings(given.data.prompts.settings, given.setup)
        self.session, self.requests = uuid.uuid4().hex[:8], 0
        self.visits: list[Visit] = []
        self.prompt_tokens: dict[str, list[int | None]] = {role: [None] * len(self.prompts) for role in given.models}

    def _units(self) -> tuple[tuple[int, ...], ...]:
        """Return the positions of the prompts of each batch, drawn by the seed; full batches if there is one."""
        size, order = self.setup.batch_size, self.rng.permutation(len(self.prompts)).tolist()
        batches = [tuple(order[at : at + size]) for at in range(0, len(order), size)]
        return tuple(batch for batch in batches if len(batch) == len(batches[0]))

    def run(self) -> TokenTimes:
        with contextlib.ExitStack() as stack:
            for model in self.given.models.values():
                stack.enter_context(model.running())
            self._visit(0)
            return self._until_decided()

    def _until_decided(self) -> TokenTimes:
        """Visit batch after batch; limits are judged where the next visit would end after a share of the budget."""
        start, longest, budget_s = self.clock(), 0, self.given.budget_s
        taken: list[tuple[int, float, int]] = []
        for unit in self._order():
            before = self.clock()
            self.visits.append(self._visit(unit))
            now = self.clock()
            longest = max(longest, now - before)
            self.given.progress((now - start) / 1e9, budget_s)
            number = sum((now + longest - start) / 1e9 > share * budget_s for share in LOOKS) - 1
            if number <= max((earlier for _, _, earlier in taken), default=-1):
                continue
            taken.append((len(self.visits), (now - start) / 1e9, number))
            measurement = self._measured(taken)
            if number == len(LOOKS) - 1 or self.given.decided(measurement):
                break
        return measurement

    def _order(self) -> Iterator[int]:
        """Yield batches round by round, each round in another order; the first one comes last in the first round."""
        yield from [*range(1, len(self.units)), 0]
        while True:
            yield from self.rng.permutation(len(self.units)).tolist()

    def _visit(self, unit: int) -> Visit:
        """Ask every model for the answers to one batch, in a random order."""
        roles = list(self.given.models)
        answers = {roles[at]: self._answers(roles[at], unit) for at in self.rng.permutation(len(roles))}
        return Visit(unit=unit, answers={role: answers[role] for role in roles})

    def _answers(self, role: str, unit: int) -> tuple[Generation, ...]:
        model, prompts = self.given.models[role], [self.prompts[at] for at in self.units[unit]]
        for _ in range(2 if self.setup.cache == "warm" else 1):
            self.requests += 1
            salt = f"{self.session}-{self.requests:06}" if self.setup.cache == "cold" else ""
            try:
                answers = tuple(model.generating(prompts, replace(self.settings, salt=salt))())
            except BaseException as error:
                raise model.failure(prompts, error) from error
            self.given.beat()
        self._check(model, answers)
        self._count(role, unit, answers)
        return answers

    def _check(self, model: TextModel, answers: Sequence[Generation]) -> None:
        """Refuse answers that are not asked for as the set-up says.

        Raises:
            MeasurementError: their length is another one than `tokens=`, or they are not of one batch.
        """
        if len({answer.start_ns for answer in answers}) > 1:
            raise MeasurementError(
                f"{model.name} answers the prompts of a batch one after the other, so that batch_size="
                f"{self.setup.batch_size} says nothing about it. Write batch_size=1"
            )
        for answer in answers if self.setup.tokens else ():
            if answer.tokens is None or not 0 <= answer.tokens - (self.setup.tokens or 0) <= END_TOKEN:
                counted = "an unknown number of" if answer.tokens is None else answer.tokens
                raise MeasurementError(
                    f"{model.name} gave an answer of {counted} tokens, and tokens={self.setup.tokens} asks for "
                    "exactly so many: it cannot be told to. Leave tokens= out, and judge length_ratio too"
                )

    def _measured(self, taken: Sequence[tuple[int, float, int]]) -> TokenTimes:
        """Return the visits so far, with the looks: the visits, the seconds and the number of each."""
        models = self.given.models
        return TokenTimes(
            visits=self.visits,
            units=self.units,
            ids=list(range(len(self.prompts))) if self.given.data.ids is None else list(self.given.data.ids),
            characters=tuple(map(_characters, self.prompts)),
            prompt_tokens={role: tuple(counts) for role, counts in self.prompt_tokens.items()},
            names={role: model.name for role, model in models.items()},
            vocabularies={role: model.vocabulary() for role, model in models.items()},
            setup=self.setup,
            looks=tuple(visits for visits, _, _ in taken),
            elapsed_s=tuple(seconds for _, seconds, _ in taken),
            numbers=tuple(number for _, _, number in taken),
        )

    def _count(self, role: str, unit: int, answers: Sequence[Generation]) -> None:
        """Note the tokens of each prompt: by the server's count, else by the model's tokeniser."""
        model, counts = self.given.models[role], self.prompt_tokens[role]
        for at, answer in zip(self.units[unit], answers, strict=True):
            counts[at] = answer.usage.get("prompt_tokens", counts[at])
            if counts[at] is None and isinstance(model, LikelihoodModel):
                counts[at] = len(model.prompt_ids(self.prompts[at], self.settings))


def _settings(settings: GenerationSettings, setup: TokenSetup) -> GenerationSettings:
    """Return how answers are generated; one of a forced length is not ended by a text."""
    if setup.tokens is None:
        return settings
    return replace(settings, max_new_tokens=setup.tokens, exactly=True, stop=())


def _characters(prompt: Any) -> int:
    return len(prompt) if isinstance(prompt, str) else sum(len(str(message["content"])) for message in prompt)
