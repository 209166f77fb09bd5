"""All KPIs by name, and KPIs of the user's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.kpis import efficiency, fairness, footprint, quality, reliability
from pytest_modelbench.kpis.kpi import UNBOUNDED, Kpi

PILLARS = ("quality", "efficiency", "footprint", "reliability")
CATALOGUE: Mapping[str, Kpi] = {
    kpi.name: kpi for kpi in (*quality.KPIS, *efficiency.KPIS, *footprint.KPIS, *reliability.KPIS, *fairness.KPIS)
}
_OWN = ("better", "unit", "metric")


def find_kpi(name: str, keywords: Mapping[str, Any]) -> tuple[Kpi, dict[str, Any]]:
    """Return the KPI that a marker means, and the measurement options among its keywords.

    A name of the catalogue is that KPI. Any other name is a KPI of the user's own, which states `better=` and
    `unit=` (the test's body records it) or `metric=` and `better=`.

    Raises:
        UsageMistake: an unknown name that states neither, or a keyword that the KPI does not take.
    """
    own = {key: keywords[key] for key in _OWN if key in keywords}
    options = {key: value for key, value in keywords.items() if key not in own}
    if name in CATALOGUE:
        kpi = CATALOGUE[name]
        if own:
            raise UsageMistake(
                f"{name} is in the catalogue and takes no {', '.join(f'{key}=' for key in own)}; "
                f"give your own KPI another name"
            )
    else:
        kpi = _own_kpi(name, own)
    unknown = [key for key in options if key not in kpi.options]
    if unknown:
        near = difflib.get_close_matches(unknown[0], kpi.options, n=1)
        nearest = f"; did you mean {near[0]}=?" if near else ""
        known = f"it takes {', '.join(f'{key}=' for key in kpi.options)}" if kpi.options else "it takes none"
        raise UsageMistake(f"kpi {name!r}: unknown option {unknown[0]}={nearest or '; ' + known}")
    return kpi, options


def _own_kpi(name: str, own: Mapping[str, Any]) -> Kpi:
    metric = own.get("metric")
    scorer = isinstance(metric, str) and ":" not in metric
    if "better" in own and own["better"] not in ("higher", "lower"):
        raise UsageMistake(f"kpi {name!r}: better={own['better']!r}, expected 'higher' or 'lower'")
    if "better" in own and metric is None and "unit" not in own:
        raise UsageMistake(
            f"kpi {name!r}: a KPI of your own states its unit too. Write unit='ms', '%' or '' (none), or metric=..."
        )
    if metric is not None and not scorer and "better" not in own:
        raise UsageMistake(f"kpi {name!r}: say whether higher or lower is better. Write better='higher'")
    if not (scorer or ("better" in own and ("unit" in own or metric is not None))):
        near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise UsageMistake(
            f"unknown KPI {name!r}{nearest}. `pytest --modelbench-kpis` lists them. "
            "For a KPI of your own state better= and unit=, or metric= and better="
        )
    better, unit = own.get("better", "higher"), own.get("unit", "")
    if scorer and better == "lower":
        raise UsageMistake(
            f"kpi {name!r}: scorers of scikit-learn are greater when better; errors have names with neg_. "
            "Leave better= out"
        )
    if not isinstance(unit, str):
        raise UsageMistake(f"kpi {name!r}: unit={unit!r}, expected a text such as 'ms', '%' or ''")
    if metric is not None:
        check_metric(name, metric)
    positive = {"positive": None} if scorer else {}
    return Kpi(
        name=name,
        pillar="quality",
        unit=unit,
        better=better,
        definition="recorded by the test" if metric is None else f"{name_of(metric)}(targets, predictions)",
        method="kpi.record() in the test's body" if metric is None else "paired bootstrap by sample",
        source="the test suite",
        probe="record" if metric is None else "predictions",
        derive="derive_metrics:recorded" if metric is None else "derive_metrics:own_metric",
        bounds=(0.0, 100.0) if unit == "%" else UNBOUNDED,
        options={} if metric is None else {**positive, "confidence": None, "key": None},
        metric=metric,
    )


def check_metric(name: str, metric: Any) -> None:
    """Refuse what can be no metric; whether a name means something is asked later, where gates are judged."""
    if isinstance(metric, type):
        raise UsageMistake(
            f"kpi {name!r}: metric is the class {metric.__name__}. Write metric={metric.__name__}(...)"
        )
    if not (isinstance(metric, str) or callable(metric) or hasattr(metric, "compute")):
        raise UsageMistake(
            f"kpi {name!r}: metric={metric!r}, expected a callable (targets, predictions) -> float, the name of a "
            "scorer of scikit-learn, or an object with .compute()"
        )


def name_of(metric: Any) -> str:
    """Return what a metric is called, for definitions."""
    return metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
