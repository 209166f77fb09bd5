"""Boxes around objects: the KPIs and their definitions."""

from __future__ import annotations

from pytest_modelbench.kpis.detection import rows_fidelity as fidelity
from pytest_modelbench.kpis.detection.rows_precision import PRECISION
from pytest_modelbench.kpis.kpi import Kpi

KPIS: tuple[Kpi, ...] = (*PRECISION, *fidelity.KPIS)
