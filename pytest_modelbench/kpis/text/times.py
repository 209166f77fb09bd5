"""Readings of how soon tokens come, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.timed import Quantity, answers_of, looks, refuse_whole
from pytest_modelbench.models.generation import Figure, Generation
from pytest_modelbench.probes.kinds import TOKEN_TIMES
from pytest_modelbench.probes.text.measured_times import TokenTimes, Visit
from pytest_modelbench.probes.text.token_energy import NO_COUNT
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.intervals import FloatArray

ALIKE = 1.1


def time_to_first_token(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the time from the request to the first text."""
    measurement, of = measurements.of(TOKEN_TIMES, "student"), str(question.options["of"])

    def figure(answer: Generation) -> Figure:
        return answer.time_to_first_token if of == "any" else answer.time_to_first_answer

    method = "to the first text" if of == "any" else "to the first text after reasoning"
    yield from looks(question, measurement, Quantity(values=defined(question, measurement, figure), method=method))


def generation_latency(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the time from the request to the end of the answer."""
    measurement = measurements.of(TOKEN_TIMES, "student")

    def values(role: str, visit: Visit) -> FloatArray:
        return np.array([answer.total.ms for answer in visit.answers[role]], dtype=float)

    yield from looks(question, measurement, Quantity(values=values, by_length=True))


def time_per_output_token(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the time of each token after the first arrival, of answers that are long enough."""
    measurement, least = measurements.of(TOKEN_TIMES, "student"), int(question.options["min_tokens"])

    def short(role: str, answer: Generation) -> bool:
        if answer.pieces and answer.tokens is None:
            name = measurement.names[role]
            raise NotApplicable(f"{question.kpi.name} is not defined for {name}: nothing counts tokens: {NO_COUNT}")
        return answer.tokens is not None and answer.tokens < least

    def left_out(role: str, visits: Sequence[Visit]) -> str:
        lengths = [short(role, answer) for answer in answers_of(role, visits)]
        told = f"{sum(lengths)} of {len(lengths)} answers are left out, which have fewer than min_tokens={least}"
        return told if any(lengths) else ""

    values = defined(question, measurement, lambda answer: answer.time_per_output_token, short)
    yield from looks(question, measurement, Quantity(values=values, left_out=left_out, per_token=True))


def inter_token_latency(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the gaps between the events of an answer, in which several tokens may come at once."""
    measurement = measurements.of(TOKEN_TIMES, "student")

    def values(role: str, visit: Visit) -> FloatArray:
        for answer in visit.answers[role]:
            refuse_whole(question, measurement.names, role, answer)
        gaps = [np.diff(_arrivals(answer)) / 1e6 for answer in visit.answers[role]]
        return np.concatenate(gaps).astype(float)

    def events(role: str, visits: Sequence[Visit]) -> str:
        each, events = _tokens_of_event(answers_of(role, visits)), [*map(_arrivals, answers_of(role, visits))]
        told = "an unknown number of" if each is None else f"about {each:.1f}"
        once = sum(len(times) < 2 for times in events)
        gapless = f"; {once} of {len(events)} answers came in one event, which has no gap" if once else ""
        return f"per event of {told} tokens{gapless}"

    quantity = Quantity(values=values, left_out=events, per_token=True, counts="gaps")
    yield from _alike(measurement, looks(question, measurement, quantity))


def _alike(measurement: TokenTimes, evidence: Iterator[Evidence]) -> Iterator[Evidence]:
    """Yield evidence without a comparison if the events of the models hold different numbers of tokens."""
    each = {role: _tokens_of_event(answers_of(role, measurement.visits)) for role in measurement.names}
    student, teacher = each["student"], each.get("teacher")
    for look in evidence:
        if look.teacher is None or (student and teacher and 1 / ALIKE <= student / teacher <= ALIKE):
            yield look
            continue
        told = " and ".join(f"{count:.1f}" if count else "an unknown number of" for count in (student, teacher))
        reason = f"an event of the student and one of the teacher hold {told} tokens. Judge time_per_output_token"
        yield replace(look, comparison=None, not_comparable=look.not_comparable or reason)


def _arrivals(answer: Generation) -> list[int]:
    return sorted({piece.at_ns for piece in answer.pieces})


def _tokens_of_event(answers: Iterator[Generation]) -> float | None:
    """Return the mean number of tokens that come together; None where nothing counts them."""
    counts = [(answer.tokens, len(_arrivals(answer))) for answer in answers if answer.pieces]
    if not counts or any(tokens is None for tokens, _ in counts):
        return None
    return sum(tokens or 0 for tokens, _ in counts) / sum(events for _, events in counts)


def defined(
    question: Question,
    measurement: TokenTimes,
    figure: Callable[[Generation], Figure],
    without: Callable[[str, Generation], bool] = lambda _role, _answer: False,
) -> Callable[[str, Visit], FloatArray]:
    """Return what reads a figure of each answer, and refuses one that is not defined.

    Raises:
        MeasurementError: when it is called, if a text came as a whole or the figure of an answer is not defined.
    """

    def values(role: str, visit: Visit) -> FloatArray:
        times = []
        for at, answer in zip(measurement.units[visit.unit], visit.answers[role], strict=True):
            refuse_whole(question, measurement.names, role, answer)
            if without(role, answer):
                continue
            time = figure(answer)
            if time.ms is None:
                raise MeasurementError(
                    f"{question.kpi.name} is not defined for {measurement.names[role]}'s answer to the prompt with "
                    f"id {measurement.ids[at]}: {time.reason}"
                )
            times.append(time.ms)
        return np.array(times, dtype=float)

    return values
