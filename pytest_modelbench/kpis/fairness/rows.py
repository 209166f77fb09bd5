"""Fairness, part of the reliability pillar: whether groups are treated differently, and more so than before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, UNBOUNDED, Kpi
from pytest_modelbench.probes.kinds import PREDICTIONS

_OPTIONS: Mapping[str, object] = {
    "feature": None,
    "control": None,
    "missing": None,
    "bins": None,
    "min_n": 20,
    "confidence": None,
}
_METHOD = "rates by group from counts, as fairlearn's MetricFrame gives them; bootstrap within each group"
_RATES = {
    "demographic_parity": ("selection rates", "fairlearn.metrics.demographic_parity"),
    "equalized_odds": ("true or false positive rates, whichever differ more", "fairlearn.metrics.equalized_odds"),
    "equal_opportunity": ("true positive rates", "fairlearn.metrics.equal_opportunity"),
}


def _kpis() -> Iterator[Kpi]:
    for name, (what, source) in _RATES.items():
        options = {"positive": None, **_OPTIONS}
        largest = f"largest difference between groups in {what}"
        smallest = f"smallest ratio between groups of {what}"
        yield _kpi(f"{name}_difference", "pp", "lower", largest, f"{source}_difference", SHARE, options)
        yield _kpi(f"{name}_ratio", "", "higher", smallest, f"{source}_ratio", (0.0, 1.0), options)
        drift, points = f"student's minus teacher's {largest}", (-100.0, 100.0)
        yield _kpi(f"{name}_drift", "pp", "lower", drift, f"{source}_difference", points, options)
        drift = f"student's minus teacher's {smallest}; below 0 the student is less fair"
        yield _kpi(f"{name}_ratio_drift", "", "higher", drift, f"{source}_ratio", (-1.0, 1.0), options)
    accuracy, loss = "difference between groups in accuracy", "difference between groups in mean absolute error"
    source = "sklearn.metrics.accuracy_score by fairlearn.metrics.MetricFrame"
    yield _kpi("group_accuracy_difference", "pp", "lower", f"largest {accuracy}", source, SHARE, _OPTIONS)
    drift = f"student's minus teacher's largest {accuracy}"
    yield _kpi("group_accuracy_gap", "pp", "lower", drift, source, (-100.0, 100.0), _OPTIONS)
    source = "sklearn.metrics.mean_absolute_error by fairlearn.metrics.MetricFrame"
    definition = f"largest {loss}, for regression"
    yield _kpi("group_loss_difference", "", "lower", definition, source, NONNEGATIVE, _OPTIONS)
    drift = f"student's minus teacher's largest {loss}, for regression"
    yield _kpi("group_loss_gap", "", "lower", drift, source, UNBOUNDED, _OPTIONS)


def _kpi(
    name: str,
    unit: str,
    better: str,
    definition: str,
    source: str,
    bounds: tuple[float, float],
    options: Mapping[str, object],
) -> Kpi:
    drift = name.endswith(("_drift", "_gap"))
    return Kpi(
        name=name,
        pillar="reliability",
        unit=unit,
        better=better,
        definition=definition,
        method=_METHOD,
        source=source,
        probe=PREDICTIONS,
        derive=f"{ROOM}.fairness.rates:{'drift' if drift else 'absolute'}",
        statistic=name.removesuffix("_drift").removesuffix("_gap").removesuffix("_difference"),
        bounds=bounds,
        options=options,
        paired=drift,
    )


KPIS = tuple(_kpis())
