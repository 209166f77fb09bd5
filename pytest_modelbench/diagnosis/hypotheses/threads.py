"""More threads than the work or the machine has use for."""

from __future__ import annotations

import concurrent.futures
import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_modelbench.diagnosis.counterfactual import CHANGES_OUTPUTS, same_outputs
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

USUAL_LOSS = 0.2
"""What parallel work costs in processor time at most, so that it says nothing against its threads."""
_CGROUP = Path("/sys/fs/cgroup")


def threads(subject: Subject) -> Finding | None:
    """Time the student on one thread, and what it hands to thread pools in the calling thread, one after the other.

    The clock is the processor time of all threads: threads that wait for each other spin.
    """
    import torch

    asked, usable = torch.get_num_threads(), usable_processors()

    def alone() -> Any:
        with one_thread() as handed:
            outputs = subject.call()
        tasks.append(len(handed))
        return outputs

    tasks: list[int] = []
    alone()
    if asked <= 1 and not tasks[-1]:
        return None
    finding = Finding(
        cause="threads",
        evidence={
            "threads": asked,
            "usable_processors": usable,
            "calls_to_thread_pools": tasks[-1],
        },
        counterfactual="one thread, without thread pools",
        remedy=f"Set torch.set_num_threads(n) with n of at most {math.ceil(usable)}, also in threads of a pool "
        "(initializer=), and run parts of a small model one after the other",
    )
    if not same_outputs(subject, alone):
        return finding.because(CHANGES_OUTPUTS)
    gain = subject.watch.gives_back(alone, process_time=True)
    percent = 100 * gain.value
    if asked <= usable and gain.value <= USUAL_LOSS:
        return finding.because(f"one thread saves {percent:.0f}% of processor time, as parallel work usually costs")
    return replace(
        finding,
        text=f"{asked} threads and {tasks[-1]} tasks for thread pools on {usable:g} usable processors: one thread "
        f"does the same in {100 - percent:.0f}% of the processor time",
        gives_back=gain,
    )


@contextlib.contextmanager
def one_thread() -> Iterator[list[Callable[..., Any]]]:
    """Let torch use one thread and thread pools run their tasks at once, and yield the tasks; restored after it."""
    import torch

    handed: list[Callable[..., Any]] = []

    def submit(_pool: Any, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        handed.append(task)
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(task(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - a pool hands every exception to who asks for the result
            future.set_exception(error)
        return future

    threads_before = torch.get_num_threads()
    pool = concurrent.futures.ThreadPoolExecutor
    submit_before = pool.submit
    torch.set_num_threads(1)
    pool.submit = submit  # type: ignore[method-assign]
    try:
        yield handed
    finally:
        pool.submit = submit_before  # type: ignore[method-assign]
        torch.set_num_threads(threads_before)


def usable_processors(cgroup: Path = _CGROUP) -> float:
    """Return how many processors this process may use: its affinity, and no more than the quota of its cgroup.

    A quota (`cpu.max`, or `cpu.cfs_quota_us` of the first version) does not show in the affinity.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(float(affinity), _quota(cgroup))


def _quota(cgroup: Path) -> float:
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            )
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota in {"max", "-1"} else int(quota) / int(period)
