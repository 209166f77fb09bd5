"""A result tracker: a text file to which each run adds a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_modelbench.extend import NameRule, Shipment, Tracker

NAMES = NameRule(refused=re.compile(r"[\s=]"), most=100)


def send(shipment: Shipment) -> Iterator[str]:
    """Add a line for each run."""
    path = Path(shipment.where or "runs.txt")
    for run in shipment.runs:
        names = NAMES.names(run.metrics)
        values = " ".join(f"{names[key]}={metric.value:g}" for key, metric in run.metrics.items())
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{run.student} {run.verdict} {values}\n")
        yield f"in {path}"


TRACKER = Tracker(
    title="Acme",
    package="acme_modelbench",
    install="pip install acme-modelbench",
    send=send,
    amiss=lambda where: None if where.endswith(".txt") or not where else "expected a path that ends in .txt",
)
