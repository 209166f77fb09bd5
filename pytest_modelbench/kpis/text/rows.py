"""Generated text: the KPIs of all subjects."""

from __future__ import annotations

from pytest_modelbench.kpis.text import rows_cache as cache
from pytest_modelbench.kpis.text import rows_failures as failures
from pytest_modelbench.kpis.text import rows_fidelity as fidelity
from pytest_modelbench.kpis.text import rows_likelihood as likelihood
from pytest_modelbench.kpis.text import rows_matching as matching
from pytest_modelbench.kpis.text import rows_overlap as overlap
from pytest_modelbench.kpis.text import rows_times as times

KPIS = (
    *overlap.KPIS,
    *matching.KPIS,
    *failures.KPIS,
    *likelihood.KPIS,
    *fidelity.KPIS,
    *times.KPIS,
    *cache.KPIS,
)
