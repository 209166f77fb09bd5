"""The KPIs of deployment: whether the file that ships is the model that was judged."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, Kpi
from pytest_modelbench.probes.kinds import EXPORT, PARITY

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
    Kpi(
        name="export",
        pillar="reliability",
        unit="formats",
        better="higher",
        definition="the formats that the student is ready for: it exports, the file loads, and its outputs are the "
        "student's in every batch size",
        method="a fresh process for each format takes the steps install, export, check, load, run, parity and "
        "dynamic_batch; none follows one that failed",
        source="the exporter and the runtime of each format",
        probe=EXPORT,
        derive=f"{ROOM}.deployment.export:ready_formats",
        options={
            "formats": None,
            "opset": None,
            "batch_sizes": None,
            "dynamic": None,
            "parity": 1e-4,
            "size": None,
            "speed": None,
            "samples": 256,
        },
        alone=True,
        members="pytest_modelbench.exports.options:parse_target",
        lists="formats",
    ),
)
