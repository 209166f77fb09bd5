"""Generated text: the KPIs of all subjects."""

from __future__ import annotations

from pytest_modelbench.kpis.text import rows_failures as failures
from pytest_modelbench.kpis.text import rows_matching as matching
from pytest_modelbench.kpis.text import rows_overlap as overlap

KPIS = (
    *overlap.KPIS,
    *matching.KPIS,
    *failures.KPIS,
)
