"""What does a plugin cost a suite that does not use it? Interleaved pairs of `pytest` on one empty test.

Every pair runs pytest with an empty plugin and with one of the plugins, in random order; the difference is taken
within the pair. Both are loaded by name with plugin autoloading off, so that nothing else differs: pytest's own
search through all installed packages, which any `-p` (and any autoloading) costs, is in both.

Usage: python benchmarks/startup.py [--pairs 40]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

EMPTY = "empty_plugin"
PLUGINS = {
    "pytest-modelbench": "pytest_modelbench.plugin",
    "pytest-benchmark": "pytest_benchmark.plugin",
    "pytest-memray": "pytest_memray.plugin",
}
# pip compiles what it installs: an editable checkout is compiled by the first run, which must be allowed to.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def run(folder: str, module: str) -> tuple[float, float]:
    """Return the wall time and the processor time of one pytest run, in milliseconds."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", module]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(
        [*command, folder],
        capture_output=True,
        env=ENVIRONMENT,
        cwd=folder,
        check=False,
    )
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode != 0:
        raise SystemExit(finished.stdout.decode() + finished.stderr.decode())
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed * 1000, used * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=40, help="pairs for each plugin, at least 30")
    pairs = max(30, parser.parse_args().pairs)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_empty.py").write_text("def test_empty(): ...\n")
        Path(folder, f"{EMPTY}.py").write_text("")
        for module in (EMPTY, *PLUGINS.values()):
            run(folder, module)  # compile everything once
        bare: list[float] = []
        overhead: dict[str, list[tuple[float, float]]] = {name: [] for name in PLUGINS}
        for _ in range(pairs):
            for name, module in random.sample(list(PLUGINS.items()), len(PLUGINS)):
                order = random.sample([EMPTY, module], 2)
                times = {key: run(folder, key) for key in order}
                bare.append(times[EMPTY][0])
                wall, used = (there - here for here, there in zip(times[EMPTY], times[module], strict=True))
                overhead[name].append((wall, used))
    print(f"pytest with an empty plugin: median {statistics.median(bare):.0f} ms over {len(bare)} runs\n")
    print(f"median overhead over {pairs} pairs, with its 95% interval (bootstrap)")
    for name, values in overhead.items():
        columns = [_interval(np.array(column)) for column in zip(*values, strict=True)]
        print(f"{name:20}wall time {columns[0]}   processor time {columns[1]}")


def _interval(values: np.ndarray) -> str:
    interval = bootstrap((values,), np.median, confidence_level=0.95).confidence_interval
    return f"{np.median(values):6.1f} ms ({interval.low:.1f} to {interval.high:.1f})"


if __name__ == "__main__":
    main()
