"""Does the driver keep its schedule in real time? A model of fixed cost, beside MLPerf LoadGen's server scenario.

Responses of the driver are compared with those that the queue of theory gives for the very same schedule, LoadGen's
percentiles with those of M/D/1 at its rate, for it does not tell its schedule. Run it on a quiet machine.

Usage: python benchmarks/load_real.py [--seconds 60] [--loads 0.5 0.8]
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy as np

from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Batching, Driver
from pytest_modelbench.probes.load.lanes import OwnLane
from pytest_modelbench.stats.queueing import fifo_ends

SERVICE_S = 0.005
QUANTILES = (0.5, 0.95, 0.99)
FORMULA = {0.3: (1.0, 2.07082, 2.89087), 0.5: (1.0, 3.05064, 4.33626), 0.8: (2.27594, 7.62032, 11.3559)}
"""Percentiles of M/D/1 in units of the service time: Crommelin's series."""


def model() -> None:
    """Take a fixed time: sleep for most of it, and look at the clock for the rest."""
    end = time.perf_counter() + SERVICE_S
    time.sleep(SERVICE_S * 0.9)
    while time.perf_counter() < end:
        pass


def ours(load: float, seconds: float) -> Iterator[str]:
    """Yield a line: percentiles in services, and how far each is from the queue's on the same schedule."""
    rate = load / SERVICE_S
    arrivals = Arrivals(kind="poisson", rate=rate).segment(round(rate * seconds), 0, 1)
    clock = time.perf_counter_ns
    served = Driver(clock, [OwnLane(clock, [[model]])], Batching()).serve(arrivals, 1e6)
    ideal = fifo_ends(arrivals, np.full(len(arrivals), SERVICE_S)) - arrivals
    measured, expected = (np.quantile(values, QUANTILES) / SERVICE_S for values in (served.responses, ideal))
    yield (
        f"load {load}: ours    {_shown(measured)}, the queue on the same schedule {_shown(expected)}: "
        + ", ".join(f"{100 * (a / b - 1):+.1f}%" for a, b in zip(measured, expected, strict=True))
        + f"; started late by {1e6 * np.quantile(served.late_s, 0.5):.0f} us (median), "
        f"{1e6 * np.quantile(served.late_s, 0.99):.0f} us (p99)"
    )


def theirs(load: float, seconds: float, folder: Path) -> Iterator[str]:
    """Yield a line: LoadGen's percentiles in services, and how far each is from M/D/1."""

    def issue(samples: list[loadgen.QuerySample]) -> None:
        for sample in samples:
            model()
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = load / SERVICE_S
    settings.server_target_latency_ns = int(1e9)
    settings.min_duration_ms = settings.max_duration_ms = int(seconds * 1000)
    output, log = loadgen.LogOutputSettings(), loadgen.LogSettings()
    output.outdir, log.log_output, log.enable_trace = str(folder), output, False
    nothing: Callable[[object], None] = lambda _: None  # noqa: E731 - a callback of the library
    sut, library = loadgen.ConstructSUT(issue, lambda: None), loadgen.ConstructQSL(64, 64, nothing, nothing)
    loadgen.StartTestWithLogSettings(sut, library, settings, log)
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(sut)
    text = (folder / "mlperf_log_summary.txt").read_text()
    percentiles = [_percentile(text, name) / 1e9 / SERVICE_S for name in ("50.00", "95.00", "99.00")]
    yield (
        f"load {load}: LoadGen {_shown(percentiles)}, M/D/1 {_shown(FORMULA[load])}: "
        + ", ".join(f"{100 * (a / b - 1):+.1f}%" for a, b in zip(percentiles, FORMULA[load], strict=True))
    )


def _percentile(summary: str, name: str) -> float:
    match = re.search(rf"^{re.escape(name)} percentile latency \(ns\)\s*: (\d+)", summary, re.MULTILINE)
    if match is None:
        raise SystemExit(f"LoadGen's summary has no {name} percentile:\n{summary}")
    return float(match.group(1))


def _shown(values: object) -> str:
    return " ".join(f"{value:.3f}" for value in np.asarray(values))


def main() -> None:
    """Print two lines for each load: p50, p95 and p99."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--loads", type=float, nargs="*", default=[0.5, 0.8], choices=sorted(FORMULA))
    options = parser.parse_args()
    for load in options.loads:
        for line in ours(load, options.seconds):
            print(line, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for line in theirs(load, options.seconds, Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
