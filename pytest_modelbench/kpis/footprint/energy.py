"""Readings of energy, power and carbon, each marked with what its source is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.cost.energy import EnergyMeasurement
from pytest_modelbench.probes.kinds import TOKEN_ENERGY
from pytest_modelbench.probes.text.token_energy import ASSUMED, OTHER_TOKENS
from pytest_modelbench.results import Comparison, Evidence, Reading
from pytest_modelbench.stats.intervals import FloatArray, mean_interval
from pytest_modelbench.stats.sequential import spent_alpha

_JOULES_PER_WH = 3600.0
Values = Callable[[EnergyMeasurement, str, int], FloatArray]


def energy_per_1k(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read watt-hours of 1,000 samples."""

    def values(measurement: EnergyMeasurement, role: str, rounds: int) -> FloatArray:
        return measurement.above_idle(role, rounds) * 1e3 / _JOULES_PER_WH

    measurement = measurements.energy()
    for evidence in _looks(question, measurement, values):
        yield replace(evidence, breakdown=tuple(_by_component(measurement, evidence)))


def energy_per_1k_tokens(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read watt-hours of 1,000 output tokens, of all rows of the batches."""

    def values(measurement: EnergyMeasurement, role: str, rounds: int) -> FloatArray:
        return measurement.above_idle(role, rounds) * 1e3 / _JOULES_PER_WH

    measurement = measurements.of(TOKEN_ENERGY, "student")
    vocabularies = set(measurement.vocabularies.values())
    for evidence in _looks(question, measurement, values, "; prompts included, per output token"):
        if len(vocabularies) < 2 or "" in vocabularies:
            unknown = evidence.teacher is not None and "" in vocabularies
            yield replace(evidence, notes=(*evidence.notes, *[ASSUMED] * unknown))
            continue
        yield replace(evidence, comparison=None, not_comparable=OTHER_TOKENS)


def _by_component(measurement: EnergyMeasurement, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the watt-hours of 1,000 samples of each component that counts, for both models, and its provenance."""
    roles = ("student", "teacher") if evidence.teacher is not None else ("student",)
    rounds = evidence.student.n or len(measurement.idle)
    for component in filter(lambda component: component.counts, measurement.components):
        yield {
            "name": component.name,
            "provenance": component.provenance,
            **{
                role: measurement.component_above_idle(role, component, rounds) * 1e3 / _JOULES_PER_WH
                for role in roles
            },
        }


def power(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read watts above idle."""
    yield from _looks(question, measurements.energy(), EnergyMeasurement.watts)


def carbon_per_1m(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read kilograms of CO2 equivalents of a million samples."""
    grid = measurements.grid()

    def values(measurement: EnergyMeasurement, role: str, rounds: int) -> FloatArray:
        kwh = measurement.above_idle(role, rounds) * 1e6 / _JOULES_PER_WH / 1e3
        return kwh * grid.g_per_kwh / 1e3

    yield from _looks(question, measurements.energy(), values, f"; grid of {grid.source}")


def _looks(question: Question, measurement: EnergyMeasurement, values: Values, more: str = "") -> Iterator[Evidence]:
    for look, rounds in enumerate(measurement.looks):
        alpha = spent_alpha(question.alpha, look + 1)
        compared = question.with_teacher and "teacher" in measurement.windows
        roles = ("student", "teacher") if compared else ("student",)
        by_role = {role: values(measurement, role, rounds) for role in roles}
        readings = {role: _reading(question, measurement, by_role[role], alpha, more) for role in by_role}
        yield Evidence(
            student=readings["student"],
            teacher=readings["teacher"] if compared else None,
            comparison=_compare(by_role["student"], by_role["teacher"], alpha) if compared else None,
            sampled=True,
            seconds=measurement.elapsed_s[look],
            estimates_allowed=bool(question.options["allow_estimated"]),
        )


def _reading(
    question: Question, measurement: EnergyMeasurement, values: FloatArray, alpha: float, more: str
) -> Reading:
    parts = "; ".join(
        f"{component.name} {component.provenance} ({component.method})" + ("" if component.counts else ", left out")
        for component in measurement.components
    )
    idle = humanise(measurement.idle_watts(len(values)), "W")
    return Reading(
        estimate=mean_interval(values, alpha),
        unit=question.kpi.unit,
        n=len(values),
        confidence=question.confidence,
        provenance=measurement.provenance,
        method=f"mean of {len(values)} windows of {measurement.windows['student'][0].seconds:.1f} s, batch size "
        f"{measurement.batch_size}, idle {idle} subtracted; {parts}{more}",
    )


def _compare(student: FloatArray, teacher: FloatArray, alpha: float) -> Comparison:
    return Comparison(
        ratio=mean_interval(np.log(student / teacher), alpha).map(lambda log: math.exp(min(log, 700.0))),
        difference=mean_interval(student - teacher, alpha),
        method=f"log-ratio of {len(student)} rounds, Student's interval",
    )
