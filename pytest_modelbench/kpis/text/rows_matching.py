"""Answers that equal a reference, share its words, or are as long."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import GENERATIONS

_JUDGED = {"confidence": None, "allow_weak_teacher": False}
_SQUAD = "Rajpurkar et al., SQuAD, arXiv 1606.05250 (2016)"


KPIS = (
    Kpi(
        name="exact_match",
        pillar="quality",
        unit="%",
        better="higher",
        definition="share of answers that equal one of their references, or whose part by extract= does, normalised "
        "by normalise=",
        method="one greedy answer to each prompt; Wilson interval, Tango's for the difference, by prompt or group",
        source=_SQUAD,
        probe=GENERATIONS,
        derive=f"{ROOM}.text.matching:exact_match",
        bounds=SHARE,
        options={"normalise": "spaces", "extract": None, **_JUDGED},
    ),
    Kpi(
        name="token_f1",
        pillar="quality",
        unit="%",
        better="higher",
        definition="mean F1 of the words that answers share with their best reference, in any order",
        method="normalised as in SQuAD; paired bootstrap of the sums, by prompt or group",
        source=_SQUAD,
        probe=GENERATIONS,
        derive=f"{ROOM}.text.matching:token_f1",
        bounds=SHARE,
        options=_JUDGED,
    ),
    Kpi(
        name="length_ratio",
        pillar="quality",
        unit="x",
        better="higher",
        definition="length of all answers over that of the teacher's, or of the references, in tokens where both "
        "models state them by the same tokeniser, else in characters",
        method="sum over sum; bootstrap by prompt or group",
        source="MLPerf Inference rules: generated length within 90 to 110% of the reference's",
        probe=GENERATIONS,
        derive=f"{ROOM}.text.matching_length:length_ratio",
        bounds=NONNEGATIVE,
        options={"against": "teacher", "confidence": None},
        alone=True,
        two_sided=True,
    ),
)
