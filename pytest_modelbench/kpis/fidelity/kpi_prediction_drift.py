"""How far the predictions of production are from those of the accepted run."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, Kpi
from pytest_modelbench.probes.kinds import PRODUCTION

KPI = Kpi(
    name="prediction_drift",
    pillar="quality",
    unit="",
    better="lower",
    definition="Hellinger distance of production's predictions from those of the accepted run: of classes, or of "
    "numbers by their deciles; 0 to 1",
    method="from recorded predictions (`monitor`); noncentral chi-squared interval with effective sample size",
    source="Hellinger (1909); Anscombe, Biometrika 35:246 (1948); Rao & Scott, JASA 76:221 (1981)",
    probe=PRODUCTION,
    derive=f"{ROOM}.fidelity.drift:drift",
    statistic="predictions",
    bounds=(0.0, 1.0),
    options={"confidence": None},
    alone=True,
)
