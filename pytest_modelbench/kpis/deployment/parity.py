"""The reading of `parity`: one number, and everything that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.exports.parity import Parity
from pytest_modelbench.exports.remedies import ANOTHER_MODEL
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.deployed import ParityMeasurement
from pytest_modelbench.probes.kinds import PARITY
from pytest_modelbench.results import Estimate, Evidence, Reading


def parity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the parity of the worst pass, or the share of elements outside of `atol=` and `rtol=`.

    Raises:
        MeasurementError: no finite element was compared.
    """
    measurement = measurements.of(PARITY, "student")
    for name, parity in measurement.passes.items():
        if parity.nothing:
            raise MeasurementError(f"{question.kpi.name}, {name}: {parity.as_words()}")
    values = {name: measurement.outside.get(name, parity.value) for name, parity in measurement.passes.items()}
    values |= {name: parity.value for name, parity in measurement.passes.items() if parity.broken}
    worst_pass = max(values, key=lambda name: values[name])
    worst = measurement.passes[worst_pass]
    ids, at = measurement.ids, worst.worst_sample
    yield Evidence(
        student=Reading(
            estimate=Estimate.exact(values[worst_pass]),
            unit="",
            n=worst.samples,
            method="; ".join(_method(question, measurement, worst_pass)),
        ),
        notes=tuple(_notes(question, measurement, worst)),
        worst_samples=(str(ids[at]),) if 0 <= at < len(ids) else (),
        breakdown=tuple(_rows(measurement)),
    )


def _method(question: Question, measurement: ParityMeasurement, worst_pass: str) -> Iterator[str]:
    worst = measurement.passes[worst_pass]
    if measurement.outside:
        atol, rtol = (question.options[name] or 0 for name in ("atol", "rtol"))
        yield f"share of elements outside of atol={atol:g} and rtol={rtol:g} (numpy.allclose)"
        yield f"parity {worst.value:.2g}"
    yield worst.as_words()
    if not worst.broken:
        yield f"worst in output {worst.worst_output!r} with {worst_pass}"
        yield f"max abs {worst.max_abs:.3g}"
        yield f"allclose from rtol={worst.rtol:.3g} (atol=0), or atol={worst.atol:.3g} (rtol=1e-5)"
    if worst.argmax_agreement is not None:
        yield f"argmax agreement {100 * worst.argmax_agreement:.4g}%"
    yield f"{worst.elements:,} elements of {worst.samples:,} samples"
    yield f"passes: {', '.join(measurement.passes)}"
    yield f"reference: {measurement.reference}"
    precision = {name.replace("_", " "): _told(value) for name, value in measurement.precision.items() if value}
    if precision:
        yield ", ".join(f"{name} {value}" for name, value in precision.items())


def _told(value: Any) -> str:
    """Return counts as words.

    >>> _told({"float32": 3, "int8": 1}), _told("float32")
    ('float32 x 3 and int8', 'float32')
    """
    if not isinstance(value, Mapping):
        return str(value)
    return " and ".join(f"{name} x {count}" if count != 1 else str(name) for name, count in value.items())


def _notes(question: Question, measurement: ParityMeasurement, worst: Parity) -> Iterator[str]:
    if worst.broken:
        yield worst.broken
    else:
        yield f"{worst.as_words()}, output {worst.worst_output!r}"
    if worst.mislabelled and not worst.broken:
        yield f"{worst.mislabelled}. Export with output_names in the order of the model's outputs"
    if worst.unrelated:
        yield f"{worst.unrelated}. {ANOTHER_MODEL}"
    if outputs := question.options["outputs"]:
        yield f"compared outputs only: {outputs if isinstance(outputs, str) else ', '.join(outputs)}"
    if worst.by_position:
        yield "outputs were compared by position: one side has no names"
    for name, cast in measurement.casts.items():
        yield f"input {name!r} was cast: {cast}"
    if measurement.padding:
        yield f"{measurement.padding}, the size that the file takes"


def _rows(measurement: ParityMeasurement) -> Iterator[dict[str, Any]]:
    for name, parity in measurement.passes.items():
        if not parity.outputs:
            yield {"name": name, "value": None, "samples": parity.samples, "broken": parity.broken}
        for output in parity.outputs:
            numbers = output.to_json()
            finite = {key: None if isinstance(n, float) and math.isinf(n) else n for key, n in numbers.items()}
            yield {**finite, "name": f"{output.name}, {name}", **({"broken": output.broken} if output.broken else {})}
