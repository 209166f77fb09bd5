"""Readings of how much text comes in a second: sums over all answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.timed import Quantity, characters_of, looks, not_defined, refuse_whole
from pytest_modelbench.probes.kinds import TOKEN_TIMES
from pytest_modelbench.probes.text.measured_times import TokenTimes, Visit
from pytest_modelbench.probes.text.token_energy import NO_COUNT, tokens_of
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.intervals import FloatArray


def tokens_per_second(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read output tokens per second, of all rows of a batch; the end token counts where only the server counts."""
    measurement = measurements.of(TOKEN_TIMES, "student")

    def values(role: str, visit: Visit) -> FloatArray:
        counts = [tokens_of(answer) for answer in visit.answers[role]]
        if None in counts:
            raise _uncounted(question, measurement, role, "tokens of its answers", "Judge characters_per_second")
        return np.array(counts, dtype=float)

    yield from looks(question, measurement, Quantity(values=values, over=_seconds, per_token=True))


def characters_per_second(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read characters per second."""
    measurement = measurements.of(TOKEN_TIMES, "student")

    def values(role: str, visit: Visit) -> FloatArray:
        return np.array([characters_of(answer) for answer in visit.answers[role]], dtype=float)

    yield from looks(question, measurement, Quantity(values=values, over=_seconds))


def prefill_tokens_per_second(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the tokens of prompts over the time to the first token."""
    measurement = measurements.of(TOKEN_TIMES, "student")

    def values(role: str, visit: Visit) -> FloatArray:
        counts = [measurement.prompt_tokens[role][at] for at in measurement.units[visit.unit]]
        if None in counts:
            raise _uncounted(question, measurement, role, "tokens of prompts", "Judge time_to_first_token")
        return np.array(counts, dtype=float)

    def seconds(role: str, visit: Visit) -> FloatArray:
        for answer in visit.answers[role]:
            refuse_whole(question, measurement.names, role, answer)
        times = [answer.time_to_first_token for answer in visit.answers[role]]
        known = [time.ms for time in times if time.ms is not None]
        if not known:
            at = measurement.units[visit.unit][0]
            raise not_defined(question, measurement, role, at, times[0])
        return np.array([max(known) / 1e3])

    quantity = Quantity(values=values, over=seconds, per_token=True, instead="time_to_first_token")
    yield from looks(question, measurement, quantity)


def _seconds(role: str, visit: Visit) -> FloatArray:
    return np.array([visit.seconds(role)])


def _uncounted(question: Question, measurement: TokenTimes, role: str, what: str, instead: str) -> NotApplicable:
    name = measurement.names[role]
    return NotApplicable(
        f"{question.kpi.name} is not defined: nothing counts the {what} for {name}: {NO_COUNT}. {instead}"
    )
