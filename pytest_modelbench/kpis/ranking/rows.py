"""Items in order of relevance by query: the KPIs and their definitions."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_METHOD = "one forward pass over the evaluation data; interval of the mean by query or group"
_RETRIEVAL = "Manning et al., Introduction to Information Retrieval, chapter 8"


def _row(name: str, definition: str, source: str, derive: str, **others: Any) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=others.pop("unit", "%"),
        better=others.pop("better", "higher"),
        definition=definition,
        method=_METHOD,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.ranking.{derive}",
        statistic=name,
        bounds=others.pop("bounds", SHARE),
        options={**others.pop("options", {}), "confidence": None},
        **others,
    )


def _measure(name: str, definition: str, source: str, k: int | None = 10, **options: Any) -> Kpi:
    return _row(name, definition, source, "quality:measure", options={"k": k, **options, "empty": "exclude"})


KPIS: tuple[Kpi, ...] = (
    _measure(
        "ndcg",
        "mean over queries of the discounted gain of the first k= items over that of the best order",
        "Järvelin and Kekäläinen, ACM TOIS 20:422 (2002); sklearn.metrics.ndcg_score",
        gain="linear",
    ),
    _measure(
        "mrr",
        "mean over queries of one over the position of the first relevant item, 0 where it is beyond k=",
        "Voorhees, TREC-8 Question Answering Track Report (1999)",
        None,
    ),
    _measure("recall_at_k", "mean over queries of the share of relevant items among the first k=", _RETRIEVAL),
    _measure("precision_at_k", "mean over queries of the share of the first k= items that are relevant", _RETRIEVAL),
    _measure("hit_rate", "share of queries with a relevant item among the first k=", _RETRIEVAL),
    _measure(
        "mean_average_precision",
        "mean over queries and their relevant items of the share of relevant ones down to each, within k=",
        f"{_RETRIEVAL}; sklearn.metrics.average_precision_score",
        None,
    ),
    _row(
        "top_k_overlap",
        "mean over queries of the share of the teacher's first k= items that are among the student's",
        "Fagin et al., Comparing top k lists, SIAM J. Discrete Math. 17:134 (2003)",
        "fidelity:top_k_overlap",
        options={"k": 10},
        paired=True,
    ),
    _row(
        "rank_correlation",
        "mean over queries of Spearman's correlation of both models' scores",
        "scipy.stats.spearmanr",
        "fidelity:rank_correlation",
        unit="",
        bounds=(-1.0, 1.0),
        paired=True,
    ),
    _row(
        "lost_hits",
        "share of queries for which only the teacher has a relevant item among the first k=",
        "Yan et al., Positive-Congruent Training, CVPR 2021",
        "quality:lost_hits",
        better="lower",
        options={"k": 10},
        paired=True,
    ),
)
