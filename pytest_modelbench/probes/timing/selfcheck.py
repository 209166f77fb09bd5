"""How small an effect can this machine resolve, and how often would unchanged code be called slower?

Separately built copies of one model are timed against each other, again and again, as a gate would time them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.engine import TimingMeasurement, TimingSettings, measure_timing
from pytest_modelbench.stats.clustered import compare_medians
from pytest_modelbench.stats.sequential import spent_alpha

LIMIT = 1.05
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """What came of the pairs: the ratio of medians of each, its half-width, both as fractions; one measurement."""

    ratios: tuple[float, ...]
    half_widths: tuple[float, ...]
    false_alarms: int
    inconclusive: int
    seconds: float
    last: TimingMeasurement

    def lines(self) -> list[str]:
        """Return the result in words."""
        pairs = len(self.ratios)
        interval = binomtest(self.false_alarms, pairs).proportion_ci(method="wilson")
        widths, settings = sorted(self.half_widths), self.last.settings
        faults = ", ".join(f"{role} {count:.1f}" for role, count in settings["minor_faults_per_call"].items())
        resolved = f"{100 * widths[pairs // 2]:.2g}% (median; {100 * widths[0]:.2g} to {100 * widths[-1]:.2g}%)"
        alarms = f"{self.false_alarms} of {pairs} (95% interval {interval.low:.0%} to {interval.high:.0%})"
        disturbed = f"{settings['disturbed_rounds']} of {settings['rounds']}"
        return [
            f"{pairs} pairs of separately built copies, {self.seconds:g} s each, median latency, confidence 95%",
            f"smallest effect resolved: {resolved}",
            f"ratios found: {min(self.ratios):.4f} to {max(self.ratios):.4f}; the truth is 1",
            f"false alarms at 'ratio <= {LIMIT}': {alarms}; inconclusive: {self.inconclusive}",
            f"allocator {settings['allocator']}, page faults per call: {faults}",
            f"rounds with an involuntary switch: {disturbed}",
        ]


def self_check(
    build: Callable[[str], Model],
    batches: Sequence[Any],
    *,
    pairs: int,
    settings: TimingSettings,
    progress: Callable[[int], None],
) -> SelfCheck:
    """Time pairs of separately built copies against each other.

    Args:
        build: makes one copy anew, given its name.
        batches: what the calls rotate through.
        pairs: how many pairs.
        settings: of one measurement; each pair gets another seed.
        progress: told the number of pairs that are done.
    """
    ratios, widths = [], []
    false_alarms = inconclusive = 0
    for number in range(pairs):
        models = {role: build(role) for role in ("student", "teacher")}
        once = TimingSettings(budget_s=settings.budget_s, seed=settings.seed + number, allocator=settings.allocator)
        measurement = measure_timing(models, dict.fromkeys(models, batches), once, lambda _: False)
        alpha = spent_alpha(ALPHA, len(measurement.looks))
        ratio = compare_medians(measurement.calm["student"], measurement.calm["teacher"], alpha).ratio
        low, high = (0.0, math.inf) if ratio is None else (ratio.low or 0.0, ratio.high or math.inf)
        ratios.append(math.nan if ratio is None else ratio.value)
        widths.append((high - low) / 2)
        false_alarms += low > LIMIT
        inconclusive += low <= LIMIT < high
        progress(number + 1)
    return SelfCheck(
        ratios=tuple(ratios),
        half_widths=tuple(widths),
        false_alarms=false_alarms,
        inconclusive=inconclusive,
        seconds=settings.budget_s,
        last=measurement,
    )


def reference_model(name: str) -> Model:
    """Build a small stack of linear layers, about 0.1 ms a call on a processor of today."""
    import torch
    from torch import nn

    from pytest_modelbench.models.adapters.torch_module import TorchModel

    generator = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(8):
        layer = nn.Linear(128, 128)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(128, 128, generator=generator) / 12)
        layers += [layer, nn.ReLU()]
    return TorchModel(nn.Sequential(*layers), name)


def reference_batches() -> list[Any]:
    """Return inputs for the reference model."""
    import torch

    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, 128, generator=generator) for _ in range(8)]
