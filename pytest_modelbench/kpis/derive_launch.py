"""Readings of what starting a model takes: memory, and the time until its first output."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import ModelbenchError, NotApplicable
from pytest_modelbench.kpis.derive_footprint import exact_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.launch import Launch
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.intervals import FloatArray, mean_interval
from pytest_modelbench.tiers import fitting, smallest_tier, tiers
from pytest_modelbench.units import humanise


def peak_memory(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the most resident memory that a model adds."""

    def reading(role: str) -> Reading:
        launch = measurements.launch(role)
        return _exact(launch.peak_bytes, memory_method(launch))

    yield exact_evidence(question, reading)


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
        told = f"fresh process, batch size {launch.batch_size}, {reserved} reserved by the caching allocator"
        return _exact(launch.gpu_bytes, told)

    yield exact_evidence(question, reading)


def hardware_tier(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the smallest tier that holds a model, in bytes; the teacher's where it is launched anyway."""
    headroom = float(question.options["headroom"])

    def reading(role: str) -> Reading:
        launch = measurements.launch(role)
        needed = (launch.peak_bytes if launch.gpu_bytes is None else launch.gpu_bytes) * headroom
        fits = fitting(needed)
        told = f"fits {', '.join(fits)}" if fits else f"fits none of {', '.join(tiers())}"
        where = "memory" if launch.gpu_bytes is None else "GPU memory"
        method = f"{told}: {humanise(needed, 'B')} of {where} with a headroom of {headroom:g}"
        return Reading(estimate=Estimate.exact(smallest_tier(needed)), unit="tier", n=1, method=method)

    evidence = exact_evidence(question, reading)
    if evidence.teacher is None and measurements.launches_teacher():
        with contextlib.suppress(ModelbenchError):  # the fault of whoever compares with it, told there
            evidence = replace(evidence, teacher=reading("teacher"))
    yield evidence


def _exact(size_bytes: int, method: str) -> Reading:
    return Reading(estimate=Estimate.exact(float(size_bytes)), unit="B", n=1, method=method)


def memory_method(launch: Launch) -> str:
    """Say how a peak was seen, and what it is made of."""
    peak, held, run, base = (
        humanise(float(size), "B")
        for size in (launch.load_peak_bytes, launch.loaded_bytes, launch.run_peak_bytes, launch.base_bytes)
    )
    return (
        f"fresh process, {launch.method}: loading {peak} at most and {held} held, running {run} at batch size "
        f"{launch.batch_size}; {base} of interpreter, libraries and tests subtracted"
    )


def cold_start(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the seconds until the first output, over fresh processes."""
    launches = measurements.cold_starts()
    seconds = {role: np.array([one.load_s + one.first_output_s for one in taken]) for role, taken in launches.items()}
    comparison = None
    if question.with_teacher:
        comparison = _compare(seconds["student"], seconds["teacher"], question.alpha)
    readings = {role: _reading(question, taken, seconds[role]) for role, taken in launches.items()}
    yield Evidence(
        student=readings["student"],
        teacher=readings["teacher"] if question.with_teacher else None,
        comparison=comparison,
        sampled=True,
    )


def _reading(question: Question, launches: Sequence[Launch], seconds: FloatArray) -> Reading:
    parts = {
        "library imported in": [one.import_s for one in launches],
        "loaded in": [one.load_s for one in launches],
        "first output in": [one.first_output_s for one in launches],
    }
    told = ", ".join(f"{name} {humanise(float(np.mean(taken)), 's')}" for name, taken in parts.items())
    return Reading(
        estimate=mean_interval(seconds, question.alpha),
        unit="s",
        n=len(launches),
        confidence=question.confidence,
        method=f"mean of {len(launches)} fresh processes, Student's interval; {told}; batch size "
        f"{launches[0].batch_size}",
    )


def _compare(student: FloatArray, teacher: FloatArray, alpha: float) -> Comparison:
    logs = mean_interval(np.log(student / teacher), alpha)
    return Comparison(
        ratio=logs.map(lambda log: math.exp(min(log, 700.0))),
        difference=mean_interval(student - teacher, alpha),
        method=f"log-ratio of {len(student)} pairs of fresh processes, Student's interval",
    )
