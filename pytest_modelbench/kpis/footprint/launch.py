"""Readings of what starting a model takes: memory, and the time until its first output."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.errors import ModelbenchError, NotApplicable
from pytest_modelbench.grammar.tiers import fitting, smallest_tier, tiers
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.evidence import exact_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.cost.launch import Launch
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.intervals import FloatArray, mean_interval
from pytest_modelbench.stats.sequential import look_schedule, spent_alpha

GRANULARITY_BYTES = 2.5e5
"""What pages, arenas and the top of a heap are rounded to: two launches of one model differ by less."""
COARSE_BYTES = 2e6
SINGLE_BYTES, SINGLE_SHARE = 5e5, 0.02


def peak_memory(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the most resident memory that a model adds: one launch where that decides, three at most."""
    for launches in _looks(measurements, question.with_teacher):
        sizes = {role: memory_interval(taken) for role, taken in launches.items()}
        readings = {role: _resident(launches[role], sizes[role]) for role in launches}
        student, teacher = sizes["student"], sizes.get("teacher")
        yield Evidence(
            student=readings["student"],
            teacher=readings.get("teacher"),
            comparison=_apart(student, teacher) if teacher is not None else None,
            sampled=True,
            notes=_first_builds(launches),
            breakdown=tuple(_parts(role, taken) for role, taken in launches.items()),
        )


def _looks(measurements: Measurements, with_teacher: bool) -> Iterator[Mapping[str, Sequence[Launch]]]:
    """Yield the launches of each model so far, one more at each look."""
    roles = ("student", "teacher") if with_teacher else ("student",)
    taken: dict[str, list[Launch]] = {role: [] for role in roles}
    for number in range(measurements.launches_at_most()):
        for role in roles:
            taken[role].append(measurements.launch(role, number))
        yield {role: list(launches) for role, launches in taken.items()}


def memory_interval(launches: Sequence[Launch]) -> Estimate:
    """Return the mean peak with its resolution: the spread of launches and what allocators round to.

    One launch knows no spread, so more is allowed for it. A first build, or one that was sampled, is known less well.
    """
    peaks = [float(launch.peak_bytes) for launch in launches]
    value = sum(peaks) / len(peaks)
    floor = GRANULARITY_BYTES if all(launch.exact for launch in launches) else COARSE_BYTES
    half = max(peaks) - min(peaks) + floor if len(peaks) > 1 else max(SINGLE_BYTES, floor) + SINGLE_SHARE * value
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half)


def _apart(student: Estimate, teacher: Estimate) -> Comparison:
    """Compare two intervals that say where the values are, at their furthest ends."""
    ends = [end if end is not None else math.nan for end in (student.low, student.high, teacher.low, teacher.high)]
    low_s, high_s, low_t, high_t = ends
    ratio = None
    if teacher.value > 0:
        ratio = Estimate(
            value=student.value / teacher.value,
            low=low_s / high_t,
            high=high_s / low_t if low_t > 0 else math.inf,
        )
    difference = Estimate(value=student.value - teacher.value, low=low_s - high_t, high=high_s - low_t)
    return Comparison(ratio=ratio, difference=difference, method="the ends of both resolutions")


def _first_builds(launches: Mapping[str, Sequence[Launch]]) -> tuple[str, ...]:
    """Say which figures may hold library imports, and why."""
    reasons = {role: launch.first_build for role, taken in launches.items() for launch in taken if launch.first_build}
    return tuple(
        f"the {role}'s memory is that of its first build, library imports may be in the figure: {why}"
        for role, why in reasons.items()
    )


def _parts(role: str, launches: Sequence[Launch]) -> dict[str, Any]:
    """Return what the last launch's memory is made of, in bytes."""
    last = launches[-1]
    return {
        "name": role,
        "peak_bytes": last.peak_bytes,
        "load_peak_bytes": last.load_peak_bytes,
        "loaded_bytes": last.loaded_bytes,
        "run_peak_bytes": last.run_peak_bytes,
        "weights_bytes": last.weights_bytes,
        "imported_bytes": last.imported_bytes,
        "base_bytes": last.base_bytes,
    }


def _resident(launches: Sequence[Launch], size: Estimate) -> Reading:
    return Reading(estimate=size, unit="B", method=memory_method(launches))


def peak_gpu_memory(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the most memory of its GPU that a model's tensors take.

    Raises:
        NotApplicable: the model is on no CUDA device.
    """

    def reading(role: str) -> Reading:
        launch = measurements.launch(role)
        if launch.gpu_bytes is None:
            raise NotApplicable(f"the {role} is on no CUDA device; --modelbench-device=cuda puts torch models there")
        reserved = humanise(float(launch.gpu_reserved_bytes or 0), "B")
        method = f"fresh process, batch size {launch.batch_size}, {reserved} reserved by the caching allocator"
        return _exact(launch.gpu_bytes, method)

    yield exact_evidence(question, reading)


def hardware_tier(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the smallest tier that holds a model, in bytes; the teacher's where it is launched anyway."""
    headroom = float(question.options["headroom"])
    gated = question.with_teacher
    for launches in _looks(measurements, gated):
        readings = {role: _tier(taken, headroom) for role, taken in launches.items()}
        student, teacher = readings["student"], readings.get("teacher")
        comparison = _apart(student.estimate, teacher.estimate) if teacher is not None else None
        if teacher is None and measurements.launches_teacher():
            with contextlib.suppress(ModelbenchError):  # the fault of whoever compares with it, told there
                teacher = _tier([measurements.launch("teacher")], headroom)
        notes = _first_builds(launches)
        yield Evidence(student=student, teacher=teacher, comparison=comparison, sampled=True, notes=notes)


def _tier(launches: Sequence[Launch], headroom: float) -> Reading:
    last = launches[-1]
    size = memory_interval(launches) if last.gpu_bytes is None else Estimate.exact(float(last.gpu_bytes))
    needed = size.value * headroom
    fits = fitting(needed)
    fit = f"fits {', '.join(fits)}" if fits else f"fits none of {', '.join(tiers())}"
    where = "memory" if last.gpu_bytes is None else "GPU memory"
    method = f"{fit}: {humanise(needed, 'B')} of {where} with a headroom of {headroom:g}"
    return Reading(estimate=size.map(lambda size: smallest_tier(size * headroom)), unit="tier", method=method)


def _exact(size_bytes: int, method: str) -> Reading:
    return Reading(estimate=Estimate.exact(float(size_bytes)), unit="B", n=1, method=method)


def memory_method(launches: Sequence[Launch]) -> str:
    """Say how a peak was seen, and what it is made of."""
    last = launches[-1]
    peak, held, run, weights, imported, base = (
        humanise(float(size), "B")
        for size in (
            last.load_peak_bytes,
            last.loaded_bytes,
            last.run_peak_bytes,
            last.weights_bytes,
            last.imported_bytes,
            last.base_bytes,
        )
    )
    which = "first build" if last.first_build else "second build"
    many = f"mean of {len(launches)} fresh processes" if len(launches) > 1 else "fresh process"
    own = f", weights {weights}" if last.weights_bytes else ""
    return (
        f"{many}, {which}, {last.method}: loading {peak} at most and {held} held, running {run} at batch size "
        f"{last.batch_size}{own}; {base} of interpreter, libraries and tests subtracted, and {imported} that the "
        "first build imported"
    )


def cold_start(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the seconds until the first output, over fresh processes: at scheduled looks, as many as decide."""
    for look, count in enumerate(_counts(int(question.options["processes"]))):
        launches = measurements.cold_starts(count)
        alpha = spent_alpha(question.alpha, look + 1)
        seconds = {
            role: np.array([launch.load_s + launch.first_output_s for launch in taken])
            for role, taken in launches.items()
        }
        comparison = _compare(seconds["student"], seconds["teacher"], alpha) if question.with_teacher else None
        readings = {role: _reading(question, taken, seconds[role], alpha) for role, taken in launches.items()}
        yield Evidence(
            student=readings["student"],
            teacher=readings["teacher"] if question.with_teacher else None,
            comparison=comparison,
            sampled=True,
        )


def _counts(most: int) -> Iterator[int]:
    """Yield the numbers of launches at which to look, the last of them `most`.

    >>> list(_counts(5)), list(_counts(2)), list(_counts(9))
    ([3, 5], [2], [3, 5, 8, 9])
    """
    for count in look_schedule():
        if count >= most:
            break
        yield count
    yield most


def _reading(question: Question, launches: Sequence[Launch], seconds: FloatArray, alpha: float) -> Reading:
    parts = {
        "library imported in": [launch.import_s for launch in launches],
        "loaded in": [launch.load_s for launch in launches],
        "first output in": [launch.first_output_s for launch in launches],
    }
    means = ", ".join(f"{name} {humanise(float(np.mean(taken)), 's')}" for name, taken in parts.items())
    return Reading(
        estimate=mean_interval(seconds, alpha),
        unit="s",
        n=len(launches),
        confidence=question.confidence,
        method=f"mean of {len(launches)} fresh processes, Student's interval; {means}; batch size "
        f"{launches[0].batch_size}",
    )


def _compare(student: FloatArray, teacher: FloatArray, alpha: float) -> Comparison:
    logs = mean_interval(np.log(student / teacher), alpha)
    return Comparison(
        ratio=logs.map(lambda log: math.exp(min(log, 700.0))),
        difference=mean_interval(student - teacher, alpha),
        method=f"log-ratio of {len(student)} pairs of fresh processes, Student's interval",
    )
