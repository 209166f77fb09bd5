"""The KPIs of deployment: whether the file that ships is the model that was judged."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, Kpi
from pytest_modelbench.probes.kinds import PARITY

KPIS = (
    Kpi(
        name="parity",
        pillar="reliability",
        unit="",
        better="lower",
        definition="largest difference between the student's outputs and those of the model that it was made from, "
        "|g - r| / (median |r| + |r|) over all elements and outputs; infinite if an output is missing, renamed, of "
        "another shape, or not finite where it was",
        method="both models on the first samples= samples, in each of batch_sizes=; exact for these samples",
        source="numpy.allclose, as one number without unit",
        probe=PARITY,
        derive=f"{ROOM}.deployment.parity:parity",
        options={
            "source": None,
            "samples": 256,
            "batch_sizes": None,
            "outputs": None,
            "atol": None,
            "rtol": None,
        },
        alone=True,
        percent=True,
    ),
)
