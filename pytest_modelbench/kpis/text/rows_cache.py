"""The footprint pillar: the memory that each token of a context takes in a model's cache."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, Kpi
from pytest_modelbench.probes.kinds import CACHE

KPIS = (
    Kpi(
        name="cache_bytes_per_token",
        pillar="footprint",
        unit="B",
        better="lower",
        definition="bytes of the cache of keys and values that each further token of a prompt takes",
        method="bytes of the cache's tensors after context= tokens and after half of them; counted",
        source="Pope et al., Efficiently Scaling Transformer Inference, arXiv 2211.05102 (2022)",
        probe=CACHE,
        derive=f"{ROOM}.text.cache:cache_bytes_per_token",
        bounds=NONNEGATIVE,
        options={"context": None},
    ),
)
