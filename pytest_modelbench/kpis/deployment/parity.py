"""The reading of `parity`: one number, and everything that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.exports.parity import Parity
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.deployed import ParityMeasurement
from pytest_modelbench.probes.kinds import PARITY
from pytest_modelbench.results import Estimate, Evidence, Reading


def parity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the parity of the worst pass, or the share of elements outside of `atol=` and `rtol=`.

    Raises:
        MeasurementError: no finite element was compared.
    """
    found = measurements.of(PARITY, "student")
    for name, one in found.passes.items():
        if one.nothing:
            raise MeasurementError(f"{question.kpi.name}, {name}: {one.as_words()}")
    values = {name: found.outside.get(name, one.value) for name, one in found.passes.items()}
    values |= {name: one.value for name, one in found.passes.items() if one.broken}
    worst_pass = max(values, key=lambda name: values[name])
    worst = found.passes[worst_pass]
    yield Evidence(
        student=Reading(
            estimate=Estimate.exact(values[worst_pass]),
            unit="",
            n=worst.samples,
            method="; ".join(_method(question, found, worst_pass)),
        ),
        notes=tuple(_notes(question, found, worst)),
        worst_samples=(str(found.ids[worst.worst_sample]),) if 0 <= worst.worst_sample < len(found.ids) else (),
        breakdown=tuple(_rows(found)),
    )


def _method(question: Question, found: ParityMeasurement, worst_pass: str) -> Iterator[str]:
    worst = found.passes[worst_pass]
    if found.outside:
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
    yield f"passes: {', '.join(found.passes)}"
    yield f"reference: {found.reference}"
    told = {name.replace("_", " "): _told(value) for name, value in found.precision.items() if value}
    if told:
        yield ", ".join(f"{name} {value}" for name, value in told.items())


def _told(value: Any) -> str:
    """Return counts as words.

    >>> _told({"float32": 3, "int8": 1}), _told("float32")
    ('float32 x 3 and int8', 'float32')
    """
    if not isinstance(value, Mapping):
        return str(value)
    return " and ".join(f"{name} x {count}" if count != 1 else str(name) for name, count in value.items())


def _notes(question: Question, found: ParityMeasurement, worst: Parity) -> Iterator[str]:
    if worst.broken:
        yield worst.broken
    else:
        yield f"{worst.as_words()}, output {worst.worst_output!r}"
    if worst.mislabelled and not worst.broken:
        yield f"{worst.mislabelled}. Export with output_names in the order of the model's outputs"
    if outputs := question.options["outputs"]:
        yield f"compared outputs only: {outputs if isinstance(outputs, str) else ', '.join(outputs)}"
    if worst.by_position:
        yield "outputs were compared by position: one side has no names"
    for name, cast in found.casts.items():
        yield f"input {name!r} was cast: {cast}"


def _rows(found: ParityMeasurement) -> Iterator[dict[str, Any]]:
    for name, one in found.passes.items():
        if not one.outputs:
            yield {"name": name, "value": None, "samples": one.samples, "broken": one.broken}
        for output in one.outputs:
            numbers = output.to_json()
            finite = {key: None if isinstance(n, float) and math.isinf(n) else n for key, n in numbers.items()}
            yield {**finite, "name": f"{output.name}, {name}", **({"broken": output.broken} if output.broken else {})}
