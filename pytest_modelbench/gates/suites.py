"""Ready-made suites: KPIs that are worth a look for any model, and the rules among them that need no threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pytest_modelbench.gates.sla import KpiEntry
from pytest_modelbench.kpis.adversarial import rows as adversarial
from pytest_modelbench.kpis.fairness import rows as fairness
from pytest_modelbench.kpis.outside import rows as outside
from pytest_modelbench.kpis.robustness import rows as robustness

NOTHING = ("== 0",)
_QUALITY = (
    *("top1_accuracy", "top5_accuracy", "f1", "balanced_accuracy", "roc_auc", "log_loss", "brier", "ece"),
    *("rmse", "mae", "r2", "agreement", "flips", "negative_flip_rate", "churn_among_wrong", "kl_divergence"),
    *("class_drop", "slice_drop", "weak_slice_drop"),
)
_STABILITY = (
    *("nonfinite_outputs", "determinism", "shape_mismatches", "batch_invariance", "dtype_invariance"),
    *("memory_format_invariance", "headroom", "denormal_share", "sqnr"),
)
_ROBUSTNESS = tuple(kpi.name for kpi in (*robustness.KPIS, *adversarial.KPIS, *outside.KPIS))
_FAIRNESS = tuple(kpi.name for kpi in fairness.KPIS)
CONTENT: dict[str, tuple[str, ...]] = {
    "quality": _QUALITY,
    "stability": _STABILITY,
    "fairness": _FAIRNESS,
    "robustness": _ROBUSTNESS,
    "efficiency": ("latency_p50", "latency_p90", "latency_p99", "throughput", "cold_start", "flops"),
    "footprint": ("parameters", "nonzero_parameters", "sparsity", "size_on_disk", "peak_memory", "hardware_tier"),
    "standard": (*_QUALITY, *_STABILITY, *_FAIRNESS, "latency_p50", "throughput", "parameters", "size_on_disk"),
}
RULES: Mapping[str, tuple[str, ...]] = {
    "nonfinite_outputs": NOTHING,
    "determinism": NOTHING,
    "shape_mismatches": NOTHING,
}
"""Rules for any model that may ship, for any task."""


def entries(suites: Iterable[str], judged: Iterable[str] = ()) -> Iterator[KpiEntry]:
    """Yield the items of some suites, each KPI once.

    Args:
        suites: their names, of `CONTENT`.
        judged: KPIs that are left out, for something judges them already.
    """
    names = dict.fromkeys(name for suite in CONTENT if suite in set(suites) for name in CONTENT[suite])
    for name in names:
        if name not in set(judged):
            options = {"feature": "each"} if name in _FAIRNESS else {}
            yield KpiEntry(name=name, kpi=name, limits=RULES.get(name, ()), options=options, line=1)
