"""Which KPI a name means that the catalogue lacks: as the field writes it, or with a typo. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "map50": ("map_50",),
    "ap50": ("map_50",),
    "map75": ("map_75",),
    "ap75": ("map_75",),
    "map5095": ("map",),
    "map05095": ("map",),
    "ap": ("map", "mean_average_precision"),
    "mar": ("mar_100",),
    "miou": ("mean_iou",),
    "iou": ("mean_iou", "box_iou"),
    "jaccard": ("mean_iou",),
    "dicescore": ("dice",),
    "bfscore": ("boundary_f",),
    "boundaryf1": ("boundary_f",),
    "seqeval": ("entity_f1",),
    "spanf1": ("entity_f1",),
    "hit": ("hit_rate",),
    "hits": ("hit_rate",),
    "recall": ("recall", "recall_at_k"),
    "precision": ("precision", "precision_at_k"),
    "spearman": ("rank_correlation", "similarity_correlation", "sts_correlation"),
    "mse": ("rmse", "forecast_rmse"),
    "quantileloss": ("pinball",),
    "picp": ("interval_coverage",),
    "ece": ("ece", "detection_ece"),
}
"""KPIs by other names of the field, in lower case and without signs."""


def meant(name: str, catalogue: Iterable[str]) -> str:
    """Return what a message advises in the place of a name; empty if nothing is near.

    >>> meant("NDCG@10", ["ndcg"]), meant("mIoU", ["mean_iou"]), meant("latncy", ["latency"])
    ('ndcg with k=10', 'mean_iou', 'latency')
    """
    names = list(catalogue)
    of_k = re.fullmatch(r"(.+?)(?:@|_at_)(\d+)", name)
    known = _named(name, names)
    if not known and of_k:
        known = [f"{other} with k={of_k[2]}" for other in _named(of_k[1], names)]
    known = known or [other for other in names if name.lower() in other.split("_")]
    return ", ".join((known or difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5))[:3])


def _named(name: str, names: list[str]) -> list[str]:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    known = [other for other in ALSO_CALLED.get(plain, ()) if other in names]
    return known or [other for other in names if re.sub("[^a-z0-9]", "", other.lower()) == plain]
