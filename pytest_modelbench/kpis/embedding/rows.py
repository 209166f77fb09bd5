"""Vectors whose distances mean something: the KPIs and their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import TASK_ANSWERS

_READ = "one forward pass over the evaluation data"
_BY_QUERY = f"{_READ}; Wilson interval with the variance of the values, by query or group"
_MANNING = "Manning et al., Introduction to Information Retrieval, ch. 8 (2008)"
_DYADIC = f"{_READ}; dyadic variance: pairs that share a sample or group are dependent"
CORRELATION = (-1.0, 1.0)


def _row(  # noqa: PLR0913 - a row of the table
    name: str,
    unit: str,
    bounds: tuple[float, float],
    definition: str,
    method: str,
    source: str,
    derive: str,
    *,
    paired: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Kpi:
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better="higher",
        definition=definition,
        method=method,
        source=source,
        probe=TASK_ANSWERS,
        derive=f"{ROOM}.embedding.{derive}",
        statistic=name,
        bounds=bounds,
        options={**(options or {}), "confidence": None},
        paired=paired,
    )


def _search(name: str, definition: str, source: str = _MANNING) -> Kpi:
    return _row(
        name,
        "%",
        SHARE,
        f"mean over queries of {definition}",
        _BY_QUERY,
        source,
        "retrieval:retrieval",
        options={"k": 10},
    )


KPIS: tuple[Kpi, ...] = (
    _search("retrieval_recall", "the share of relevant samples that are among the k nearest"),
    _search("retrieval_precision", "the share of the k nearest that are relevant"),
    _search("retrieval_mrr", "one over the rank of the first relevant of the k nearest, 0 if there is none"),
    _search(
        "retrieval_ndcg",
        "the discounted gain of the k nearest over the largest possible",
        "Järvelin and Kekäläinen, ACM TOIS 20:422 (2002); sklearn.metrics.ndcg_score",
    ),
    _row(
        "sts_correlation",
        "",
        CORRELATION,
        "Spearman's correlation of similarities of pairs with similarity=",
        _DYADIC,
        "scipy.stats.spearmanr; Cer et al., SemEval-2017 Task 1",
        "pairs:sts_correlation",
    ),
    _row(
        "verification_auc",
        "",
        (0.0, 1.0),
        "area under the ROC curve of similarities, for pairs with same=",
        _DYADIC,
        "sklearn.metrics.roc_auc_score",
        "pairs:verification_auc",
    ),
    _row(
        "triplet_accuracy",
        "%",
        SHARE,
        "share of triplets whose anchor is more similar to the positive than to the negative; ties are wrong",
        _DYADIC,
        "Schroff et al., FaceNet, CVPR 2015",
        "pairs:triplet_accuracy",
    ),
    _row(
        "neighbour_overlap",
        "%",
        SHARE,
        "mean share of the student's k nearest neighbours that are the teacher's, too",
        f"{_READ} of each model; jackknife by sample or group, of queries and neighbours",
        "Hellrich and Hahn, COLING 2016",
        "spaces:neighbour_overlap",
        paired=True,
        options={"k": 10},
    ),
    _row(
        "similarity_correlation",
        "",
        CORRELATION,
        "Spearman's correlation of the student's similarities of pairs with the teacher's",
        _DYADIC,
        "Kriegeskorte et al., Representational similarity analysis, Front. Syst. Neurosci. 2:4 (2008)",
        "pairs:similarity_correlation",
        paired=True,
    ),
    _row(
        "cka",
        "",
        CORRELATION,
        "linear centred kernel alignment of both models' vectors, debiased",
        f"{_READ} of each model; jackknife of parts of the samples or groups",
        "Kornblith et al., ICML 2019; Nguyen et al., ICLR 2021",
        "spaces:cka",
        paired=True,
    ),
    _row(
        "embedding_cosine",
        "",
        CORRELATION,
        "mean cosine of the student's and the teacher's vector of a sample",
        f"{_READ} of each model; jackknife by sample or group",
        "cosine similarity",
        "spaces:embedding_cosine",
        paired=True,
    ),
)
