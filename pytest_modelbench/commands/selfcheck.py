"""What `--modelbench-selfcheck` does: time copies of the reference model with the machine for itself, print, exit."""

from __future__ import annotations

import sys

import pytest

from pytest_modelbench.bench.machine_lock import MachineLock
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.probes.timing.engine import TimingSettings
from pytest_modelbench.probes.timing.selfcheck import reference_batches, reference_model, self_check
from pytest_modelbench.reports.layout import encodable
from pytest_modelbench.settings import Given, resolve_settings

PAIRS = 12
SECONDS = 2.5


def run_self_check(config: pytest.Config) -> int:
    """Check the machine and return the exit code, 4 for a mistake in an option."""
    import torch

    command_line = {option.name: getattr(config.option, option.name, None) for option in OPTIONS}
    settings, mistakes = resolve_settings([Given(values=command_line, where=lambda option: option.flag)])
    if mistakes:
        raise pytest.UsageError(*mistakes)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)

    def progress(done: int) -> None:
        if sys.stdout.isatty():
            print(f"\rmodelbench self-check: {done} of {PAIRS} pairs", end="", flush=True)

    once = TimingSettings(budget_s=SECONDS, seed=settings.seed, allocator=settings.allocator)
    with MachineLock().exclusive():
        check = self_check(reference_model, reference_batches(), pairs=PAIRS, settings=once, progress=progress)
    print("\r" if sys.stdout.isatty() else "", end="")
    print(f"modelbench self-check, {torch.get_num_threads()} threads")
    for line in check.lines():
        print(encodable(f"  {line}", getattr(sys.stdout, "encoding", None)))
    return 0
