"""Generated text: the KPIs of all subjects."""

from __future__ import annotations

from pytest_modelbench.kpis.text import rows_cache as cache
from pytest_modelbench.kpis.text import rows_matching as matching
from pytest_modelbench.kpis.text import rows_times as times

KPIS = (
    *matching.KPIS,
    *times.KPIS,
    *cache.KPIS,
)
