"""All KPIs by name, and custom KPIs."""

from __future__ import annotations

import difflib
import importlib
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.option_values import unprintable
from pytest_modelbench.kpis.accuracy import rows as quality
from pytest_modelbench.kpis.adversarial import rows as adversarial
from pytest_modelbench.kpis.deployment import rows as deployment
from pytest_modelbench.kpis.detection import rows as detection
from pytest_modelbench.kpis.embedding import rows as embedding
from pytest_modelbench.kpis.fairness import rows as fairness
from pytest_modelbench.kpis.footprint import rows as footprint
from pytest_modelbench.kpis.forecasting import rows as forecasting
from pytest_modelbench.kpis.kpi import ROOM, UNBOUNDED, Kpi
from pytest_modelbench.kpis.load import rows as load
from pytest_modelbench.kpis.misnamed import meant
from pytest_modelbench.kpis.outside import rows as outside
from pytest_modelbench.kpis.ranking import rows as ranking
from pytest_modelbench.kpis.robustness import rows as robustness
from pytest_modelbench.kpis.segmentation import rows as segmentation
from pytest_modelbench.kpis.speed import rows as efficiency
from pytest_modelbench.kpis.stability import rows as reliability
from pytest_modelbench.kpis.tagging import rows as tagging
from pytest_modelbench.kpis.text import rows as text
from pytest_modelbench.probes.kinds import PREDICTIONS, RECORD, TASK_ANSWERS


def in_files_of_their_own(folder: Path, package: str) -> Iterator[Kpi]:
    """Yield the KPIs that have a file `kpi_NAME.py` in a family, with the row as `KPI` and the derivation beside it.

    Such a file is read at collection, so it imports heavy libraries in its functions only.

    Args:
        folder: whose folders are the families.
        package: the dotted name of `folder`.
    """
    for path in sorted(folder.glob("*/kpi_*.py")):
        kpi = importlib.import_module(f"{package}.{path.parent.name}.{path.stem}").KPI
        if not isinstance(kpi, Kpi):
            raise TypeError(f"{path}: KPI is a {type(kpi).__name__}, expected a Kpi")
        yield kpi


PILLARS = ("quality", "efficiency", "footprint", "reliability")
FAMILIES = (
    *quality.KPIS,
    *adversarial.KPIS,
    *outside.KPIS,
    *efficiency.KPIS,
    *load.KPIS,
    *footprint.KPIS,
    *reliability.KPIS,
    *fairness.KPIS,
    *deployment.KPIS,
    *robustness.KPIS,
    *text.KPIS,
    *detection.KPIS,
    *segmentation.KPIS,
    *tagging.KPIS,
    *forecasting.KPIS,
    *ranking.KPIS,
    *embedding.KPIS,
)
BUILT_IN: dict[str, Kpi] = {kpi.name: kpi for kpi in (*FAMILIES, *in_files_of_their_own(Path(__file__).parent, ROOM))}
EXTENSION_KPIS: dict[str, Kpi] = {}
"""KPIs that others bring to a session (see `gates.extensions`)."""
CATALOGUE: Mapping[str, Kpi] = ChainMap(EXTENSION_KPIS, BUILT_IN)
_OWN = ("better", "unit", "metric")
UNDER = ("under", "range")
"""The options that a quality KPI takes to be judged on corrupted inputs."""
_LONGEST_NAME, _LONGEST_UNIT = 100, 20


def find_kpi(name: str, keywords: Mapping[str, Any]) -> tuple[Kpi, dict[str, Any]]:
    """Return the KPI that a marker means, and the measurement options among its keywords.

    A name of the catalogue is that KPI. Any other name is a custom KPI, which states `better=` and
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
                f"give the custom KPI another name"
            )
    else:
        kpi = _own_kpi(name, own)
    more = UNDER if kpi.corruptible and "under" in options else ()
    unknown = [str(key) for key in options if key not in kpi.options and key not in more]
    if unknown:
        near = difflib.get_close_matches(unknown[0], kpi.options, n=1)
        nearest = f"; did you mean {near[0]}=?" if near else _not_corruptible(unknown[0], kpi)
        choices = f"it takes {', '.join(f'{key}=' for key in kpi.options)}" if kpi.options else "it takes none"
        raise UsageMistake(f"kpi {shown(name)}: unknown option {unknown[0]}={nearest or '; ' + choices}")
    return kpi, options


_OF_METRICS = {"confidence": None, "key": None, "inputs": None, "allow_weak_teacher": False}


def _own_kpi(name: str, own: Mapping[str, Any]) -> Kpi:
    metric = own.get("metric")
    scorer = isinstance(metric, str) and ":" not in metric
    if fault := unprintable(name, _LONGEST_NAME):
        raise UsageMistake(f"the KPI's name is {shown(name)}, {fault}")
    if "better" in own and not (isinstance(own["better"], str) and own["better"] in {"higher", "lower"}):
        raise UsageMistake(f"kpi {shown(name)}: better={shown(own['better'])}, expected 'higher' or 'lower'")
    if "better" in own and metric is None and "unit" not in own:
        raise UsageMistake(
            f"kpi {shown(name)}: a custom KPI also needs unit=. Write unit='ms', '%' or '' (none), or metric=..."
        )
    if metric is not None and not scorer and "better" not in own:
        raise UsageMistake(f"kpi {shown(name)}: say whether higher or lower is better. Write better='higher'")
    if not (scorer or ("better" in own and ("unit" in own or metric is not None))):
        near = meant(name, CATALOGUE)
        nearest = f"; nearest: {near}" if near else ""
        raise UsageMistake(
            f"unknown KPI {shown(name)}{nearest}. `pytest --modelbench-kpis` lists them. "
            "To define a custom KPI, pass better= and unit=, or metric= and better="
        )
    better, unit = own.get("better", "higher"), own.get("unit", "")
    if scorer and better == "lower":
        raise UsageMistake(
            f"kpi {shown(name)}: scikit-learn scorers are always higher-is-better (errors are prefixed neg_). "
            "Remove better="
        )
    if not isinstance(unit, str):
        raise UsageMistake(f"kpi {shown(name)}: unit={shown(unit)}, expected a string such as 'ms', '%' or ''")
    if fault := unprintable(unit, _LONGEST_UNIT):
        raise UsageMistake(f"kpi {shown(name)}: unit={shown(unit)}, {fault}")
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
        probe=RECORD if metric is None else PREDICTIONS,
        derive=f"{ROOM}.accuracy.metrics:recorded" if metric is None else f"{ROOM}.custom:own_metric",
        bounds=(0.0, 100.0) if unit == "%" else UNBOUNDED,
        options={} if metric is None else {**positive, **_OF_METRICS},
        metric=metric,
    )


def _not_corruptible(option: str, kpi: Kpi) -> str:
    """Say why a KPI of the quality of boxes, masks or other answers takes no corruption; "" for any other."""
    if option not in UNDER or kpi.pillar != "quality" or kpi.probe.name != TASK_ANSWERS.name:
        return ""
    return "; corruptions are for KPIs of labels and numbers, and for custom metrics. Write metric=..., better=..."


def check_metric(name: str, metric: Any) -> None:
    """Refuse what can be no metric; whether a name means something is asked later, where gates are judged."""
    if isinstance(metric, type):
        raise UsageMistake(
            f"kpi {shown(name)}: metric is the class {metric.__name__}. Write metric={metric.__name__}(...)"
        )
    if not (isinstance(metric, str) or callable(metric) or _has_compute(metric)):
        raise UsageMistake(
            f"kpi {shown(name)}: metric={shown(metric)}, expected a callable (targets, predictions) -> float, the "
            "name of a scorer of scikit-learn, or an object with .compute()"
        )


def _has_compute(metric: object) -> bool:
    try:
        return hasattr(metric, "compute")
    except Exception:  # noqa: BLE001 - the user's own __getattr__
        return False


def name_of(metric: Any) -> str:
    """Return what a metric is called, for definitions."""
    if isinstance(metric, str):
        return metric
    try:
        name = getattr(metric, "__name__", None)
    except Exception:  # noqa: BLE001 - the user's own __getattr__
        name = None
    return name if isinstance(name, str) else type(metric).__name__
