"""Fewer floating-point operations, and more bytes: the time is moving tensors that no cache holds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_modelbench.data.arrays import join, rows, take
from pytest_modelbench.diagnosis.counterfactual import timed
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.operators import trace
from pytest_modelbench.diagnosis.subject import Call, Subject

TILE_BYTES = 128 * 2**10
"""The largest tensor of a tile: with its neighbours it stays in the second cache of usual processors."""
COPIED_BYTES = 64 * 2**20
"""What the bandwidth is measured on: more than the caches of most processors hold."""
LEAST_TENSOR_BYTES = 2**20
"""Tensors below that stay in a cache anyway."""


def memory_bound(subject: Subject) -> Finding | None:
    """Run the same operators on a few rows at a time, so that tensors stay in the cache between operators."""
    if not subject.student.computes_here:
        return None  # the bandwidth is that of this machine's memory
    operators = trace(subject)
    largest = max((operator.largest_bytes for operator in operators), default=0)
    moved = sum(operator.moved_bytes for operator in operators)
    if largest < LEAST_TENSOR_BYTES:
        return None
    finding = Finding(
        cause="memory_bound",
        evidence={"bytes_a_call": moved, "largest_tensor_bytes": largest, "bytes_per_second_of_a_copy": bandwidth()},
        counterfactual="the same operators on tiles of the batch that fit into the cache",
        remedy="Fuse elementwise operators by torch.compile, use smaller types, or serve smaller batches",
    )
    variant = _in_tiles(subject, largest)
    if variant is None:
        return finding.because("the batch cannot be split into tiles")
    finding = timed(subject, finding, variant)
    if finding.gives_back is None:
        return finding
    seconds = _seconds(subject.call)
    share = moved / bandwidth() / seconds
    return replace(
        finding,
        text=f"a call moves {moved / 1e6:.0f} MB in tensors of up to {largest / 1e6:.1f} MB, at the bandwidth of a "
        f"copy {100 * share:.0f}% of its time; in tiles that fit into the cache it takes "
        f"{100 * (1 - finding.gives_back.value):.0f}%",
        evidence={**finding.evidence, "share_at_the_bandwidth_of_a_copy": share},
    )


def _in_tiles(subject: Subject, largest: int) -> Call | None:
    """Return a call that runs the batch a few rows at a time and joins the outputs; None if it cannot be split."""
    try:
        count = rows(subject.inputs)
        each = max(1, int(count * TILE_BYTES / largest))
        if each >= count:
            return None
        parts = [
            subject.student.bind(take(subject.inputs, at, min(at + each, count))) for at in range(0, count, each)
        ]
        variant = functools.partial(_joined, parts)
        variant()
        subject.beat()
    except Exception:  # noqa: BLE001 - a batch or a model of one fixed size refuses by any exception
        return None
    return variant


def _joined(parts: list[Callable[[], Any]]) -> Any:
    return join([part() for part in parts])


def _seconds(call: Call, calls: int = 3) -> float:
    """Return the least processor time of a call."""
    times = []
    for _ in range(calls):
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return max(min(times), 1) / 1e9


@functools.cache
def bandwidth() -> float:
    """Return how many bytes a second one thread reads and writes while it copies; measured once in a process."""
    import torch

    source = torch.ones(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        least = _seconds(lambda: target.copy_(source), calls=8)
    finally:
        torch.set_num_threads(threads)
    return 2 * COPIED_BYTES / least
