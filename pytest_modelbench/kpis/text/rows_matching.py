"""Answers that equal a reference, share its words, or are as long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import GENERATIONS

_JUDGED = {"confidence": None, "allow_weak_teacher": False}
_SQUAD = "Rajpurkar et al., SQuAD, arXiv 1606.05250 (2016)"


def check_of(_kpi: Kpi, options: Mapping[str, Any], _limits: Sequence[BoundLimit]) -> None:
    """Check what lengths are compared with.

    Raises:
        UsageMistake: `of` is a word that another KPI takes.
    """
    if options["of"] not in {"teacher", "references"}:
        raise UsageMistake(f"of={shown(options['of'])}, expected 'teacher' or 'references': whose lengths to compare")


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
        options={"of": "teacher", "confidence": None},
        alone=True,
        checks=f"{ROOM}.text.rows_matching:check_of",
        two_sided=True,
    ),
)
