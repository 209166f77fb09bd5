"""The efficiency pillar: how soon requests are answered that arrive by a schedule, and how many can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import CAPACITY, LOAD

QUANTILES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99, "99_9": 0.999}
SERVING: Mapping[str, Any] = {
    "arrivals": "poisson",
    "max_batch": 1,
    "max_wait": "0 ms",
    "workers": None,
    "confidence": None,
}
_RESPONSE = "time from a request's scheduled arrival to its answer, waiting included, at rate="
_METHOD = (
    "open loop over an absolute schedule, the same for both models, in alternating segments; difference estimate: a "
    "long replay of fresh arrivals through the queue with the measured service times, plus the mean difference by "
    "segment of what was measured and a replay of the same schedule; jackknife over segments"
)
_EPISODES = "; the upper end also bounds the busy cycles with a response over the value as a Poisson number"
_SOURCE = "Särndal, Swensson and Wretman, Model Assisted Survey Sampling (1992), chapter 6"


def _response(suffix: str, what: str, method: str, quantile: float | None = None) -> Kpi:
    return Kpi(
        name=f"response_{suffix}",
        pillar="efficiency",
        unit="ms",
        better="lower",
        definition=f"{what} of the {_RESPONSE}",
        method=method,
        source=_SOURCE,
        probe=LOAD,
        derive=f"{ROOM}.load.responses:response",
        quantile=quantile,
        bounds=NONNEGATIVE,
        options={"rate": None, **SERVING},
        checks=f"{ROOM}.load.options:check_load",
    )


KPIS = (
    _response("mean", "mean", _METHOD),
    *(
        _response(f"p{suffix}", f"{suffix.replace('_', '.')}th percentile", _METHOD + _EPISODES, quantile)
        for suffix, quantile in QUANTILES.items()
    ),
    Kpi(
        name="goodput",
        pillar="efficiency",
        unit="%",
        better="higher",
        definition="share of the offered requests that are answered within= a time from their scheduled arrival, at "
        "rate=",
        method=_METHOD + _EPISODES,
        source="Goodput of vLLM and inference-perf; " + _SOURCE,
        probe=LOAD,
        derive=f"{ROOM}.load.responses:goodput",
        bounds=SHARE,
        options={"rate": None, "within": None, **SERVING},
        checks=f"{ROOM}.load.options:check_load",
    ),
    Kpi(
        name="max_qps",
        pillar="efficiency",
        unit="qps",
        better="higher",
        definition="largest rate of arrivals at which within= holds, such as 'p99 <= 50 ms', at it and at every "
        "lower rate that was tried",
        method="the load at the limit's rate decides the limit; half and three quarters of it must hold too. The "
        "value shown is searched for on a replay with the measured service times. Against the teacher, the limit is "
        "tried at the rates that the teacher's largest rate proven and smallest one refuted give",
        source="MLPerf Inference, server scenario (arXiv 1911.02549); " + _SOURCE,
        probe=CAPACITY,
        derive=f"{ROOM}.load.capacity:max_qps",
        bounds=NONNEGATIVE,
        options={"within": None, **SERVING},
        checks=f"{ROOM}.load.options:check_capacity",
    ),
)
