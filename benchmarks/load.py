"""Is the load right, and are verdicts under load right? The driver and its queue against formulas; error rates.

The first part serves schedules on a scripted clock. The driver's responses must be those of the queue, request by
request, and Little's law must hold; the queue's means and percentiles must be those of queueing theory, over runs of
100,000 arrivals. The second part simulates systems of which exactly 1% of the responses are over the bound (each
verdict that passes is wrong), and exactly 0.3% (a pass is right), in runs of a minute with services of 5 ms. Three
rules judge them: ours, with its three looks, at 95%; that of MLPerf LoadGen, which counts responses as independent at
99%; and the same at 95%.

Usage: python benchmarks/load.py [--formulas] [--errors] [--systems 200] [--only NAME]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from pytest_modelbench import FakeClock
from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Batching, Driver
from pytest_modelbench.probes.load.lanes import OwnLane
from pytest_modelbench.probes.load.measure import LOOKS, SPENT
from pytest_modelbench.stats.queueing import Queue, Services, ends_of, fifo_ends, servers_ends
from pytest_modelbench.stats.under_load import Segment, estimate

ARRIVALS = 100_000
WARM = 10_000
RUNS = {0.3: 20, 0.5: 20, 0.7: 30, 0.8: 60, 0.9: 200, 0.95: 600}
SERVICE_S, MINUTE_S, SEGMENTS = 0.005, 60.0, 40
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _hyperexponential(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw services of squared coefficient of variation 4, with balanced means."""
    first = (1 + np.sqrt(3 / 5)) / 2
    means = np.where(rng.random(n) < first, 1 / (2 * first), 1 / (2 * (1 - first)))
    times: np.ndarray = rng.exponential(size=n) * means
    return times


def _pauses(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.gamma(100, 0.01, n) * np.where(rng.random(n) < 0.001, 20.0, 1.0) / 1.019


SERVICES: dict[str, Draw] = {
    "fixed": lambda _, n: np.ones(n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "Erlang-4": lambda rng, n: rng.gamma(4, 0.25, n),
    "H2": _hyperexponential,
    "lognormal 0.3": lambda rng, n: rng.lognormal(-0.045, 0.3, n),
    "gamma CV 0.1": lambda rng, n: rng.gamma(100, 0.01, n),
    "pauses": _pauses,
}
COLD = "cold"
SCV = {"fixed": 0.0, "exponential": 1.0, "Erlang-4": 0.25, "H2": 4.0}
LOADS = tuple(RUNS)
P99 = {
    ("M/D/1", "fixed", 1): (2.89087, 4.33626, 7.48550, 11.3559, 22.8982, 45.9378),
    ("M/M/1", "exponential", 1): (6.57881, 9.21034, 15.3506, 23.0259, 46.0517, 92.1034),
    ("M/E4/1", "Erlang-4", 1): (3.88933, 5.59257, 9.47229, 14.2865, 28.6930, 57.4823),
    ("M/H2/1", "H2", 1): (18.3520, 25.8607, 41.8136, 61.2103, 118.930, 234.119),
    ("M/M/2", "exponential", 2): (4.86500, 5.66596, 8.26558, 11.9374, 23.3444, 46.3326),
}
"""The 99th percentile of responses in units of the service time, at `LOADS`: Crommelin's series, Euler inversion."""


def little(arrivals: np.ndarray, ends: np.ndarray) -> float:
    """Return the area under the number of requests in the system over the sum of their responses, minus 1."""
    at = np.concatenate([arrivals, ends])
    change = np.repeat([1, -1], len(arrivals))
    order = np.lexsort((-change, at))
    area = float((np.cumsum(change[order])[:-1] * np.diff(at[order])).sum())
    return area / float((ends - arrivals).sum()) - 1


def driven(load: float, draw: Draw, seed: int) -> tuple[float, float]:
    """Serve one run on a scripted clock: how far the driver is from the queue (ns), and from Little's law."""
    rng, clock = np.random.default_rng(seed), FakeClock()
    arrivals = Arrivals(kind="poisson", rate=load / SERVICE_S).segment(ARRIVALS, 0, seed)
    services = np.floor(draw(rng, ARRIVALS) * SERVICE_S * 1e9)
    costs = iter(services.tolist())
    lane = OwnLane(clock, [[lambda: clock.advance(next(costs))]])
    served = Driver(clock, [lane], Batching()).serve(arrivals, 1e9)
    ends = fifo_ends(np.rint(arrivals * 1e9), services)
    return float(np.abs(served.ends * 1e9 - ends).max()), little(np.rint(arrivals * 1e9), ends)


def formulas(only: str) -> Iterator[str]:
    """Yield a line for each queue and load: means and percentiles beside the formula's."""
    worst = 0.0
    for (name, kind, servers), p99s in P99.items():
        for load, p99 in zip(LOADS, p99s, strict=True):
            if only not in name:
                continue
            tails, means = [], []
            runs = RUNS[load] * (5 if kind == "H2" and load < 0.9 else 1)
            for seed in range(runs):
                rng = np.random.default_rng([seed, 7])
                due = np.cumsum(rng.exponential(1 / (load * servers), ARRIVALS))
                services = SERVICES[kind](rng, ARRIVALS)
                ends = fifo_ends(due, services) if servers == 1 else servers_ends(due, services, servers)
                responses = (ends - due)[WARM:]
                tails.append(responses)
                means.append(responses.mean())
            pooled = float(np.quantile(np.concatenate(tails), 0.99))
            mean = 1 + load * (1 + SCV[kind]) / 2 / (1 - load) if servers == 1 else 1 / (1 - load**2)
            off, off_mean = pooled / p99 - 1, float(np.mean(means)) / mean - 1
            worst = max(worst, abs(off), abs(off_mean))
            yield (
                f"{name:7} load {load:4}: p99 {pooled:8.4f} (formula {p99:8.4f}, {100 * off:+.2f}%), "
                f"mean {np.mean(means):8.4f} ({mean:8.4f}, {100 * off_mean:+.2f}%), {runs} runs"
            )
    yield f"largest deviation {100 * worst:.2f}%"
    for load in LOADS:
        far, law = driven(load, SERVICES["exponential"], 1)
        yield f"driver at load {load}: at most {far:g} ns from the queue, Little's law to {abs(law):.1e}"


class Cell(NamedTuple):
    """One kind of system: its services and its load."""

    services: str
    load: float
    servers: int = 1

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return self.servers * self.load / SERVICE_S


CELLS = [
    *(Cell(kind, load) for kind in ("exponential", "fixed", "lognormal 0.3") for load in (0.5, 0.8, 0.9)),
    Cell("gamma CV 0.1", 0.8),
    Cell("pauses", 0.8),
    Cell(COLD, 0.5),
    Cell(COLD, 0.8),
    Cell("lognormal 0.3", 0.5, 2),
    Cell("exponential", 0.8, 2),
]


def answered(cell: Cell, due: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return when a system answers requests, and how long each took, in seconds."""
    if cell.services != COLD:
        times = SERVICES[cell.services](rng, len(due)) * SERVICE_S
        return ends_of(due[None], times[None], cell.servers)[0], times
    ends, times, end = np.empty(len(due)), np.empty(len(due)), -np.inf
    for at, arrival in enumerate(due.tolist()):
        time_s = SERVICE_S * (1.3 if arrival - end > SERVICE_S / 2 else 1.0)  # caches are cold after a pause
        end = max(arrival, end) + time_s
        ends[at], times[at] = end, time_s
    return ends, times


def bounds(cell: Cell) -> list[float]:
    """Return the values that 1% and 0.3% of all responses are over, in seconds."""
    rng, runs = np.random.default_rng(12345), []
    for _ in range(40):
        due = np.cumsum(rng.exponential(1 / cell.rate, 500_000))
        runs.append((answered(cell, due, rng)[0] - due)[50_000:])
    responses = np.concatenate(runs)
    return [float(np.quantile(responses, 1 - share)) for share in (0.01, 0.003)]


def system(cell: Cell, limits: list[float], seed: int) -> list[list[str]]:
    """Judge one system by every rule: for each bound, the verdicts of ours, LoadGen's and the binomial at 95%."""
    arrivals, rng = Arrivals(kind="poisson", rate=cell.rate), np.random.default_rng([seed, 1])
    count = round(cell.rate * MINUTE_S / SEGMENTS)
    segments = []
    for number in range(SEGMENTS):
        due = arrivals.segment(count, number, seed)
        ends, times = answered(cell, due, rng)
        services = Services(times=times, sizes=np.ones(count, dtype=np.int64))
        segments.append(Segment(arrivals=due, ends=ends, responses=ends - due, prompt=ends - due, services=services))
    looks = [
        estimate(segments[: round(share * SEGMENTS)], arrivals.fresh, Queue(servers=cell.servers), seed)
        for share in LOOKS
    ]
    n = count * SEGMENTS
    due = np.cumsum(rng.exponential(1 / cell.rate, n))
    whole = answered(cell, due, rng)[0] - due
    verdicts = []
    for limit in limits:
        ours = "inconclusive"
        for look, spent in zip(looks, SPENT, strict=True):
            share = look.share_over(limit, 0.05 * spent)
            if ours == "inconclusive" and share.high is not None and share.low is not None:
                ours = "pass" if share.high <= 0.01 else "fail" if share.low > 0.01 else ours
        over = int((whole > limit).sum())
        counted = ["pass" if beta.ppf(c, over + 1, n - over) <= 0.01 else "fail" for c in (0.99, 0.95)]
        verdicts.append([ours, *counted])
    return verdicts


def errors(systems: int, only: str) -> Iterator[str]:
    """Yield a line for each kind of system: how often each rule passes, at the edge and at 0.3%."""
    yield "services, load, requests | 1% over: ours passes (fails), LoadGen, binomial 95% | 0.3% over: the same"
    for cell in CELLS:
        if only not in f"{cell.services}, {cell.servers} workers":
            continue
        limits = bounds(cell)
        with ProcessPoolExecutor() as pool:
            judged = list(pool.map(system, [cell] * systems, [limits] * systems, range(systems)))
        parts = []
        for at in range(2):
            column = np.array([verdicts[at] for verdicts in judged])
            passes = [f"{100 * np.mean(column[:, rule] == 'pass'):.0f}%" for rule in range(3)]
            passes[0] += f" ({100 * np.mean(column[:, 0] == 'fail'):.0f}%)"
            parts.append(", ".join(passes))
        workers = f", {cell.servers} workers" if cell.servers > 1 else ""
        yield f"{cell.services}{workers}, {cell.load}, {round(cell.rate * MINUTE_S):,} | " + " | ".join(parts)


def main() -> None:
    """Print both parts, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formulas", action="store_true")
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--systems", type=int, default=200)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    both = options.formulas == options.errors
    for wanted, lines in (
        (options.formulas or both, formulas(options.only)),
        (options.errors or both, errors(options.systems, options.only)),
    ):
        for line in lines if wanted else ():
            print(line, flush=True)


if __name__ == "__main__":
    main()
