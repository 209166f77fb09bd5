"""Answers that equal a reference."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import GENERATIONS

KPIS = (
    Kpi(
        name="exact_match",
        pillar="quality",
        unit="%",
        better="higher",
        definition="share of answers that equal one of their references, normalised by normalise=",
        method="one greedy answer to each prompt; Wilson interval, Tango's for the difference, by prompt or group",
        source="Rajpurkar et al., SQuAD, arXiv 1606.05250 (2016)",
        probe=GENERATIONS,
        derive=f"{ROOM}.text.matching:exact_match",
        bounds=SHARE,
        options={"normalise": "spaces", "confidence": None},
    ),
)
