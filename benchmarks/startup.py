"""What does a plugin cost a suite that does not use it? Interleaved pairs of `pytest` on one empty test.

Every pair runs pytest with no plugin and with one plugin (`-p`), in random order, and the difference is taken
within the pair. Each plugin is loaded by name with plugin autoloading off, so that nothing else differs.

Usage: python benchmarks/startup.py [--pairs 40]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

PLUGINS = {
    "pytest-modelbench": "pytest_modelbench.plugin",
    "pytest-benchmark": "pytest_benchmark.plugin",
    "pytest-memray": "pytest_memray.plugin",
}


def run(folder: str, module: str | None) -> float:
    """Return the wall time of one pytest run, in milliseconds."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", module] if module else []
    start = time.perf_counter()
    finished = subprocess.run(
        [*command, folder],
        capture_output=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        check=False,
    )
    elapsed = time.perf_counter() - start
    if finished.returncode != 0:
        raise SystemExit(finished.stdout.decode() + finished.stderr.decode())
    return elapsed * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=40, help="pairs for each plugin, at least 30")
    pairs = max(30, parser.parse_args().pairs)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_empty.py").write_text("def test_empty(): ...\n")
        for module in (None, *PLUGINS.values()):
            run(folder, module)  # compile everything once
        bare: list[float] = []
        overhead: dict[str, list[float]] = {name: [] for name in PLUGINS}
        for _ in range(pairs):
            for name, module in random.sample(list(PLUGINS.items()), len(PLUGINS)):
                order: list[str | None] = random.sample([None, module], 2)
                times = {key: run(folder, key) for key in order}
                bare.append(times[None])
                overhead[name].append(times[module] - times[None])
    print(f"pytest alone: median {statistics.median(bare):.0f} ms over {len(bare)} runs\n")
    print(f"{'plugin':20}{'median overhead':>18}   95% interval (bootstrap of {pairs} pairs)")
    for name, values in overhead.items():
        interval = bootstrap((np.array(values),), np.median, confidence_level=0.95).confidence_interval
        print(f"{name:20}{statistics.median(values):15.1f} ms   {interval.low:.1f} to {interval.high:.1f} ms")


if __name__ == "__main__":
    main()
