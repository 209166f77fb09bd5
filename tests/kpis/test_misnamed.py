"""Names of KPIs as the field writes them."""

from __future__ import annotations

import pytest

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.misnamed import ALSO_CALLED


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("mAP", "map"),
        ("mAP@50", "map_50"),
        ("mAP50-95", "map"),
        ("mAP@0.5:0.95", "map"),
        ("ndcg_at_10", "ndcg with k=10"),
        ("mIoU", "mean_iou"),
        ("Jaccard", "mean_iou"),
        ("NDCG@10", "ndcg with k=10"),
        ("hits@3", "hit_rate with k=3"),
        ("Recall@10", "recall with k=10, recall_at_k with k=10"),
        ("MRR", "mrr"),
        ("sMAPE", "smape"),
        ("entity_F1", "entity_f1"),
        ("spearman", "rank_correlation"),
        ("latency", "latency_mean, latency_p50, latency_p90"),
        ("parametres", "parameters, nonzero_parameters"),
    ],
)
def test_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageMistake, match=f"unknown KPI '{name}'; nearest: {nearest}"):
        read_gate((name, ">= 1"), {})


def test_other_names_are_those_of_kpis() -> None:
    assert {name for several in ALSO_CALLED.values() for name in several} <= {
        *CATALOGUE,
        "similarity_correlation",
        "sts_correlation",
    }
