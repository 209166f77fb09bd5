"""Memory that goes back to the kernel after a call, and is faulted in again in the next one."""

from __future__ import annotations

import math
import time

from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject
from pytest_modelbench.probes.timing.allocator import is_steady, minor_faults, steady_allocator
from pytest_modelbench.stats.intervals import centre_interval

LEAST_FAULTS = 50.0
"""Page faults of a call below which memory stays in the process."""
BLOCKS, BLOCK_NS = 10, 5_000_000
ONE_SIDE = 0.025
SETTLING_CALLS = 5
"""Calls until the memory that is kept holds all tensors of a call."""


def allocator_churn(subject: Subject) -> Finding | None:
    """Time the student before and after the C library's thresholds are raised; None if they already are.

    Raised thresholds cannot be taken back, so that blocks do not alternate, and this comes before all that allocates:
    the thresholds follow the largest block that was ever freed. They are only raised for a student that faults.
    """
    if is_steady():
        return None
    faults = _faults(subject)
    if faults < LEAST_FAULTS:
        return None
    finding = Finding(
        cause="allocator_churn",
        evidence={"page_faults_a_call": faults},
        counterfactual="freed memory kept in the process",
        remedy="In deployment set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_, or use jemalloc or tcmalloc",
        explains=("memory_bound",),
    )
    before = _blocks(subject)
    mode = steady_allocator()
    if mode != "steady":
        return finding.because(f"the allocator's mode is {mode}")
    for _ in range(SETTLING_CALLS):
        subject.call()
    after = _blocks(subject)
    ratio = centre_interval([math.log(b / a) for a, b in zip(before, after, strict=True)], ONE_SIDE).map(math.exp)
    gain = ratio.map(lambda value: 1.0 - value)
    left = _faults(subject)
    return Finding(
        cause=finding.cause,
        text=f"a call faults {faults:.0f} pages in; with freed memory kept in the process {left:.0f}, and "
        f"{100 * gain.value:.0f}% of the time is saved",
        evidence={**finding.evidence, "page_faults_with_memory_kept": left},
        counterfactual=finding.counterfactual,
        gives_back=gain,
        remedy=finding.remedy,
        explains=finding.explains,
    )


def _faults(subject: Subject, calls: int = 3) -> float:
    subject.call()
    before = minor_faults()
    for _ in range(calls):
        subject.call()
        subject.beat()
    return (minor_faults() - before) / calls


def _blocks(subject: Subject) -> list[float]:
    """Return the processor time of a call in nanoseconds, from blocks of calls."""
    start = time.thread_time_ns()
    subject.call()
    calls = max(1, BLOCK_NS // max(time.thread_time_ns() - start, 1))
    times = []
    for _ in range(BLOCKS):
        start = time.thread_time_ns()
        for _ in range(calls):
            subject.call()
        times.append(max(time.thread_time_ns() - start, 1) / calls)
        subject.beat()
    return times
