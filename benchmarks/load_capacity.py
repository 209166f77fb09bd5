"""Is `max_qps` of a model of fixed cost behind a real server the rate that the queue of theory gives?

A server on this machine answers one request after the other and takes a fixed time for each. The bound is five times
the time of a lone request. In M/D/1, 99% of requests keep it up to a utilisation of 0.560783 (Crommelin's series).
Run it on a quiet machine.

Usage: python benchmarks/load_capacity.py [--ms 20 40] [--budget 60] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import InferenceServer, served

from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

UTILISATION = 0.560783
SERVICES = 5
LONE = 50
CONFTEST = """
import numpy as np
import pytest
from pytest_modelbench import EvalData

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.zeros((200, 1), dtype=np.float32), np.zeros(200, dtype=int))
"""
TEST = """
import pytest

@pytest.mark.kpi("max_qps", within="p99 <= {bound_ms:.3f} ms")
def test_capacity():
    ...
"""


def answers(rows: np.ndarray) -> np.ndarray:
    """Return logits of class 0 for every row."""
    return np.tile(np.eye(10, dtype=np.float32)[:1], (len(rows), 1))


def lone_s(spec: str) -> float:
    """Return the median time of a request that meets no other, in seconds."""
    model = adapt(spec, Loading(name="student"))
    call = model.bind(np.zeros((1, 1), dtype=np.float32))
    times = []
    for _ in range(LONE):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    model.close()
    return float(np.median(times))


def judged(spec: str, bound_s: float, budget_s: float) -> dict[str, float]:
    """Run pytest on a suite with one gate, and return the student's reading."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text(CONFTEST)
        Path(folder, "test_sla.py").write_text(TEST.format(bound_ms=1e3 * bound_s))
        command = [sys.executable, "-m", "pytest", "-q", "--modelbench", "-p", "no:cacheprovider"]
        options = [f"--modelbench-student={spec}", "--modelbench-json=r.json", f"--modelbench-budget={budget_s:g}"]
        subprocess.run([*command, *options], cwd=folder, stdout=subprocess.DEVNULL, check=False)
        (gate,) = json.loads(Path(folder, "r.json").read_text())["gates"]
        reading: dict[str, float] = gate["readings"]["student"]
        return reading


def main() -> None:
    """Print a line for each service time and repeat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, nargs="*", default=[20.0, 40.0])
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for delay_ms in options.ms:
        for _ in range(options.repeats):
            with served(InferenceServer(answers, 1, delay_s=delay_ms / 1e3)) as place:
                spec = f"kserve://{place}/digits"
                service_s = lone_s(spec)
                reading = judged(spec, SERVICES * service_s, options.budget)
            expected = UTILISATION / service_s
            low, high = reading.get("ci_low"), reading.get("ci_high")
            print(
                f"{delay_ms:g} ms: a lone request takes {1e3 * service_s:.2f} ms; max_qps {reading['value']:.2f} "
                f"[{low}, {high}], the formula {expected:.2f}: {100 * (reading['value'] / expected - 1):+.1f}%",
                flush=True,
            )


if __name__ == "__main__":
    main()
