"""A tag for each word or token: the KPIs and their definitions."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import Kpi

KPIS: tuple[Kpi, ...] = ()
