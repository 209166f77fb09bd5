"""The Matthews correlation coefficient, of two classes and more."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, Kpi
from pytest_modelbench.probes.kinds import PREDICTIONS

KPI = Kpi(
    name="matthews",
    pillar="quality",
    unit="",
    better="higher",
    definition="Matthews correlation coefficient of answers and labels, from -1 to 1; 0 is chance",
    method="one forward pass over the evaluation data; paired bootstrap by sample",
    source="sklearn.metrics.matthews_corrcoef; Gorodkin, Comput. Biol. Chem. 28:367 (2004)",
    probe=PREDICTIONS,
    derive=f"{ROOM}.accuracy.matthews:matthews",
    per_sample=True,
    bounds=(-1.0, 1.0),
    options={"confidence": None, "allow_weak_teacher": False},
)
