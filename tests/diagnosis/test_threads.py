"""Threads that wait for each other."""

from __future__ import annotations

import concurrent.futures
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.threads import one_thread, threads, usable_processors
from pytest_modelbench.diagnosis.layers import students_calls


class Branches(nn.Module):
    """Parts that a pool of threads runs, each of which uses several threads of its own."""

    def __init__(self, parts: int, inner_threads: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList([copy.deepcopy(mlp(256, 256, 32)) for _ in range(parts)])
        self.inner_threads = inner_threads
        self.pool: concurrent.futures.ThreadPoolExecutor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool is None:
            self.pool = concurrent.futures.ThreadPoolExecutor(
                len(self.parts), initializer=torch.set_num_threads, initargs=(self.inner_threads,)
            )

        def run(part: nn.Module) -> Any:
            with torch.inference_mode():
                return part(x)

        return torch.cat(list(self.pool.map(run, self.parts)), 1)


@pytest.fixture
def branches() -> Iterator[Branches]:
    made = Branches(6, 8)
    yield made
    if made.pool is not None:
        made.pool.shutdown()


def test_pools_of_threads_with_threads_are_found(branches: Branches) -> None:
    """One thread computes the same in much less processor time; everything is as before after it."""
    before, submit = torch.get_num_threads(), concurrent.futures.ThreadPoolExecutor.submit
    with subject_of(branches, None, torch.randn(64, 256)) as subject:
        found = threads(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.1
    assert found.evidence["calls_to_thread_pools"] == 6
    assert torch.get_num_threads() == before
    assert concurrent.futures.ThreadPoolExecutor.submit is submit


def test_calls_in_other_threads_are_not_the_calling_threads(branches: Branches) -> None:
    """Their time does not show on its clock, so that no share of it can be theirs."""
    with subject_of(branches, None, torch.randn(4, 256)) as subject:
        assert students_calls(subject) == []
        with one_thread():
            assert len(students_calls(subject)) == 12


def test_one_thread_gives_no_sign() -> None:
    """There is nothing to take away."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with subject_of(mlp(64, 64), None, torch.randn(4, 64)) as subject:
            assert threads(subject) is None
    finally:
        torch.set_num_threads(before)


def test_a_task_that_fails_is_as_in_a_pool() -> None:
    """The exception comes with the result, and the pool is a pool again."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool, one_thread() as handed:
        future = pool.submit(int, "no number")
        with pytest.raises(ValueError, match="no number"):
            future.result()
    assert handed == [int]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense\n"}, math.inf),
        ({}, math.inf),
    ],
)
def test_a_quota_counts(files: dict[str, str], expected: float, tmp_path: Path) -> None:
    """Both versions of cgroups; without a quota the affinity is all there is."""
    for name, text in files.items():
        tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(name).write_text(text, encoding="ascii")
    found = usable_processors(tmp_path)
    assert found == (expected if expected < 1 else usable_processors(tmp_path / "nothing"))
    assert found <= expected
