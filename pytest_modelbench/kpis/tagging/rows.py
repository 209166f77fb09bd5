"""A tag for each word or token: the KPIs and their definitions."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_READ = "one forward pass; "
_WILSON = (
    f"{_READ}Wilson interval with the design effect of sentences or groups; averages and differences by jackknife, "
    "corrected for skewness"
)
_SEQEVAL = "seqeval 1.2.2; Tjong Kim Sang and De Meulder, CoNLL-2003"


def _kpi(name: str, definition: str, source: str, derive: str, **others: Any) -> Kpi:
    fields: dict[str, Any] = {
        "unit": "%",
        "better": "higher",
        "method": _WILSON,
        "bounds": SHARE,
        "options": {"confidence": None},
        **others,
    }
    return Kpi(
        name=name,
        pillar="quality",
        definition=definition,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.tagging.{derive}",
        **fields,
    )


def _score(which: str, definition: str) -> Kpi:
    return _kpi(
        f"entity_{which}",
        f"{definition}, of all types together unless average= selects another",
        _SEQEVAL,
        "scores:entity_score",
        statistic=which,
        options={"average": "micro", "strict": False, "confidence": None},
        checks=f"{ROOM}.tagging.averages:check_average",
    )


KPIS: tuple[Kpi, ...] = (
    _kpi(
        "token_accuracy",
        "share of tokens that have the tag of the target, of all sentences together",
        "sklearn.metrics.accuracy_score over tokens",
        "scores:token_accuracy",
    ),
    _score("f1", "harmonic mean of entity_precision and entity_recall"),
    _score("precision", "share of predicted entities that have the tokens and the type of a true one"),
    _score("recall", "share of true entities that are found with all their tokens and their type"),
    _kpi(
        "tag_agreement",
        "share of tokens that student and teacher give one tag",
        "Stanton et al., Does Knowledge Distillation Really Work? (2021)",
        "fidelity:tag_agreement",
        paired=True,
    ),
    _kpi(
        "entity_agreement",
        "F1 of the student's entities with the teacher's as the true ones",
        _SEQEVAL,
        "fidelity:entity_agreement",
        paired=True,
        options={"strict": False, "confidence": None},
    ),
    _kpi(
        "lost_entities",
        "share of true entities that the teacher finds and the student does not",
        "Yan et al., Positive-Congruent Training (2021)",
        "fidelity:lost_entities",
        better="lower",
        paired=True,
        options={"strict": False, "confidence": None},
    ),
    _kpi(
        "entity_drop",
        "largest drop of the F1 of an entity type",
        _SEQEVAL,
        "fidelity:entity_drop",
        unit="pp",
        better="lower",
        method=f"{_READ}studentised bootstrap by sentence or group, of all types together",
        bounds=(-100.0, 100.0),
        paired=True,
        options={"min_n": 20, "strict": False, "confidence": None},
    ),
)
