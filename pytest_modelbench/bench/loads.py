"""Models under load, as one gate may ask for it: at one rate, or at the rates of a limit on the largest one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.deciding import Deciding, GateLimits
from pytest_modelbench.bench.lanes import LaneOpener
from pytest_modelbench.bench.shelf import Found, Job, Tell, Wire
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.grammar.conditional import branches_of
from pytest_modelbench.grammar.directions import students_value
from pytest_modelbench.grammar.load import MOST_RATE, Within, rate_of, wait_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.load.capacity import (
    alpha_of,
    bound_on,
    ends_of,
    holds,
    lower_rates,
    searched,
    share_at,
    shares_of,
)
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.profile import refuse_while_profiling
from pytest_modelbench.probes.load.arrivals import CONSTANT, Arrivals, arrivals_of
from pytest_modelbench.probes.load.driver import Batching
from pytest_modelbench.probes.load.measure import (
    Lanes,
    LoadMeasurement,
    LoadSettings,
    Lone,
    busy_until,
    clock_of,
    measure_load,
)
from pytest_modelbench.probes.load.wire import pack_capacity, pack_load, unpack_capacity, unpack_load
from pytest_modelbench.probes.timing.watchdog import START_UP_S, beat

SERVING = ("rate", "arrivals", "max_batch", "max_wait", "workers")
LOWER_BUDGET = 0.3
"""The share of the budget for rates that are tried below a limit's."""
BURST_S, BURST_PATIENCE_S = 0.02, 0.05
ROUNDING = 1e-9
"""A rate that decides a limit is tried this much on its side, so that no rounding leaves the limit open."""
LOAD_WIRE = Wire(pack_load, unpack_load)
CAPACITY_WIRE = Wire(pack_capacity, unpack_capacity)
AROUND_SEARCHED = (0.8, 1.5)
"""The rates that are tried without a limit, as factors of the one that a replay allows."""


class Loads:
    """The part of `kpis.kpi.Measurements` that is under load.

    Args:
        asking: the gate.
        deciding: says when enough was measured.
    """

    def __init__(self, asking: Asking, deciding: Deciding) -> None:
        self._asking = asking
        self._deciding = deciding

    def load(self) -> LoadMeasurement:
        """Return the load at the gate's rate, which all gates with the same load share.

        Raises:
            MeasurementError: the gate states no rate.
        """
        asking, limits = self._asking, self._limits()
        models = self._models(limits)
        rate = rate_of(asking.gate.options["rate"])
        if rate is None:
            raise MeasurementError("rate= is missing. Write rate='200/s'")

        def decided(measurement: LoadMeasurement) -> bool:
            return self._deciding.loaded(limits, measurement, with_teacher="teacher" in models)

        def measure(tell: Tell) -> LoadMeasurement:
            with self._opened(models) as lanes:
                return _offered(models, lanes, self._settings(rate, asking.settings.budget_s), decided, tell)

        return asking.bench.shelf.take(self._job(LOAD_WIRE, models, _load_of(asking.gate), measure))

    def capacity(self, role: str) -> Mapping[float, LoadMeasurement]:
        """Return the loads of one model at several rates: of a student those of its limits, and lower ones."""
        if role != "student":
            return self._of(role)._alone(())  # noqa: SLF001 - of this very class
        return self._alone(self._of("student")._rates())  # noqa: SLF001

    def _of(self, role: str) -> Loads:
        """Return the same for another model in the student's place, with no other model in the place of a role."""
        actor = self._asking.roles.get(role, role)
        return Loads(replace(self._asking, roles={} if actor == "student" else {"student": actor}), self._deciding)

    def _alone(self, rates: Sequence[float]) -> Mapping[float, LoadMeasurement]:
        asking, models = self._asking, {"student": self._asking.model("student")}
        load = (*_load_of(asking.gate), asking.gate.options["within"], rates, alpha_of(self._question()))
        return asking.bench.shelf.take(
            self._job(CAPACITY_WIRE, models, load, functools.partial(self._tried, models, rates))
        )

    def _rates(self) -> tuple[float, ...]:
        """Return the rates that decide a gate's limits; those against another model follow from its own rates."""
        rates: set[float] = set()
        for bound in (bound for limit in self._asking.gate.limits for bound in branches_of(limit)):
            if bound.measure == "value":
                rates.add(bound.threshold)
            elif bound.measure == "regression":
                rates |= self._beside("previous", "drop_relative", bound.threshold)
            else:
                rates |= self._beside("teacher", bound.measure, bound.threshold)
        return tuple(sorted(rates))

    def _beside(self, role: str, measure: str, threshold: float) -> set[float]:
        """Return the student's rates that decide a limit: by the other model's rate proven and the one refuted."""
        if role not in self._asking.gate.others:
            return set()
        question = self._question()
        within = bound_on(question)
        ends = ends_of(shares_of(self.capacity(role), within, alpha_of(question)), within)
        factors = {ends.proven: 1 - ROUNDING, ends.refuted: 1 + ROUNDING}
        wanted = ((students_value(measure, end, threshold), factor) for end, factor in factors.items())
        return {rate * factor for rate, factor in wanted if rate is not None and 0 < rate * factor <= MOST_RATE}

    def _question(self) -> Question:
        gate = self._asking.gate
        return self._deciding.question(gate, with_teacher=bool(gate.others))

    def _tried(self, models: Mapping[str, Model], rates: Sequence[float], tell: Tell) -> dict[float, LoadMeasurement]:
        question = self._question()
        within, budget_s, alpha = bound_on(question), self._asking.settings.budget_s, alpha_of(question)

        def decided(measurement: LoadMeasurement) -> bool:
            return holds(share_at(measurement, within, alpha), within) is not None

        def at(rate: float, share: float) -> LoadMeasurement:
            settings = replace(self._settings(rate, share * budget_s), lone=lone)
            return _offered(models, lanes, settings, decided, tell)

        with self._opened(models) as lanes:
            lone = self._lone(models, lanes) if models["student"].runs_at else None
            wanted = rates or self._guessed(self._burst(models, lanes), within, lone)
            lower = sorted({low for rate in wanted[: len(rates) or 1] for low in lower_rates(rate)} - set(wanted))
            main = (1 - LOWER_BUDGET) / len(wanted)
            shares = {**dict.fromkeys(lower, LOWER_BUDGET / max(len(lower), 1)), **dict.fromkeys(wanted, main)}
            return {rate: at(rate, share) for rate, share in sorted(shares.items())}

    def _guessed(self, burst: LoadMeasurement, within: Within, lone: Lone | None) -> tuple[float, ...]:
        """Return rates a little under and over the one that a replay of a burst's service times allows."""
        settings = replace(burst.settings, arrivals=self._arrivals(MOST_RATE), lone=lone)
        largest = searched(replace(burst, settings=settings), within)
        return tuple(sorted({min(factor * largest or 1.0, float(MOST_RATE)) for factor in AROUND_SEARCHED}))

    def _burst(self, models: Mapping[str, Model], lanes: Lanes) -> LoadMeasurement:
        """Offer requests for a moment as fast as they can be issued."""
        settings = replace(
            self._settings(MOST_RATE, BURST_S),
            arrivals=Arrivals(kind=CONSTANT, rate=MOST_RATE),
            patience_s=BURST_PATIENCE_S,
            whole=True,
        )
        return _offered(models, lanes, settings, lambda _: False, lambda _elapsed_s, _budget_s, _more="": None)

    def _lone(self, models: Mapping[str, Model], lanes: Lanes) -> Lone | None:
        """Return how long calls of a server take alone, and how many it answers at once, from two bursts."""
        first = {"student": lanes["student"][:1]}
        one, together = (self._burst(models, some).served["student"] for some in (first, lanes))
        times = [time_s for served in one for time_s in served.answered_s.tolist()]
        if not times:
            return None
        rate = sum(len(served.service_s) for served in together) / sum(busy_until(served) for served in together)
        return Lone(service_s=tuple(times), servers=max(1, round(rate * sum(times) / len(times))))

    def _arrivals(self, rate: float) -> Arrivals:
        return arrivals_of(str(self._asking.gate.options["arrivals"]), rate)

    def _settings(self, rate: float, budget_s: float) -> LoadSettings:
        options, seed = self._asking.gate.options, self._asking.settings.seed
        batching = Batching(max_batch=int(options["max_batch"]), max_wait_s=wait_of(options["max_wait"]) or 0.0)
        return LoadSettings(arrivals=self._arrivals(rate), batching=batching, budget_s=budget_s, seed=seed)

    def _limits(self) -> GateLimits:
        """Return the limits of all gates with the same load."""
        gate = self._asking.gate
        shared = self._deciding.limits_of(self._asking.sharing)
        return [(other, limits) for other, limits in shared if _load_of(other) == _load_of(gate)]

    def _models(self, limits: GateLimits) -> dict[str, Model]:
        asking = self._asking
        others = {role for gate, _ in limits for role in gate.others} | set(asking.gate.others) | set(asking.roles)
        return {role: asking.model(role) for role in ("student", "teacher") if role == "student" or role in others}

    def _job(
        self,
        wire: Wire[Found],
        models: Mapping[str, Model],
        load: tuple[object, ...],
        measure: Callable[[Tell], Found],
    ) -> Job[Found]:
        asking, plan = self._asking, self._asking.plan
        hashes = tuple((role, asking.hash_of(model)) for role, model in models.items())
        names = " and ".join(model.name for model in models.values())
        return Job(
            kind=asking.gate.kpi.probe.name,
            same=(hashes, asking.data().key, load, plan.student, plan.home, plan.settings),
            run=(tuple(models), names, load, plan.student, plan.home, plan.origin, plan.settings),
            measure=measure,
            wire=wire,
            exclusive=True,
            watched=asking.watched(names, START_UP_S if asking.gate.options["workers"] else 0.0),
            shown=f"offering requests to {names}",
        )

    def _opened(self, models: Mapping[str, Model]) -> contextlib.AbstractContextManager[Lanes]:
        refuse_while_profiling("responses cannot be measured here")
        return LaneOpener(self._asking, int(self._asking.gate.options["max_batch"])).opened(models)


def _offered(
    models: Mapping[str, Model],
    lanes: Lanes,
    settings: LoadSettings,
    decided: Callable[[LoadMeasurement], bool],
    tell: Tell,
) -> LoadMeasurement:
    return measure_load(clock_of(models.values()), lanes, settings, decided, tell, beat)


def _load_of(gate: Assignment) -> tuple[object, ...]:
    """Return what a gate's load depends on; gates with equal ones share a measurement."""
    return (gate.kpi.probe.name, *(gate.options.get(name) for name in SERVING))
