"""What attacks come to, for the plan. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GRADIENT = 3
"""Forward passes that a gradient takes: one forward, and a backward of about two."""
CHECKS, CHECKED = 500, 100
"""Forward passes that the checks of the gradient take for each of the samples that they use, about."""
AIMS, DRAWS = 3, 50


def fgsm(options: Mapping[str, Any]) -> str:
    """Say what one step comes to."""
    return _told(options, GRADIENT + 1)


def pgd(options: Mapping[str, Any]) -> str:
    """Say what two climbs come to, on the margin and on the cross entropy."""
    return _told(options, 2 * GRADIENT * int(options["steps"]))


transfer = pgd


def robustness(options: Mapping[str, Any]) -> str:
    """Say what all attacks come to: those along two gradients, noise, and squares where they are needed."""
    climbs = 2 * (2 + AIMS) * (GRADIENT + 1) * int(options["steps"])
    return _told(options, climbs + DRAWS + int(options["queries"]))


def _told(options: Mapping[str, Any], passes: int) -> str:
    if options["eps"] is None:
        return "left out: eps= is not stated"
    samples = int(options["samples"])
    total = samples * passes + min(samples, CHECKED) * CHECKS
    return f"up to {samples:,} samples: up to about {total:,} forward passes of one sample for each model"
