"""What does the C library's allocator do to a time, and to comparing two?

Four models, each in fresh processes under both modes of `--modelbench-allocator`: the median call, the page faults
per call, and the spread over processes of the ratio of two separately built copies.

Usage: python benchmarks/allocator.py [--processes 8] [--seconds 4]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from typing import Any

MODES = ("system", "steady")
MODELS = ("small CNN", "wide CNN", "MLP", "transformer")


def build(name: str) -> tuple[Any, tuple[int, ...]]:
    """Return a module and the shape of its input."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if name == "small CNN":
        layers = (nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)), (1, 3, 64, 64)
    if name == "wide CNN":
        layers = (nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), (1, 3, 96, 96)
    if name == "MLP":
        return nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 256)), (32, 256)
    layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (1, 64, 128)


def measure(name: str, mode: str, seconds: float) -> dict[str, float]:
    """Time two separately built copies against each other in this process."""
    import torch

    from pytest_modelbench.models.adapters.torch_module import TorchModel
    from pytest_modelbench.probes.timing.engine import TimingSettings, measure_timing
    from pytest_modelbench.stats.clustered import compare_medians

    torch.set_num_threads(1)
    models = {role: TorchModel(build(name)[0], role) for role in ("student", "teacher")}
    batches = [torch.randn(build(name)[1]) for _ in range(8)]
    settings = TimingSettings(budget_s=seconds, allocator=mode)
    found = measure_timing(models, dict.fromkeys(models, batches), settings, lambda _: False)
    ratio = compare_medians(found.calm["student"], found.calm["teacher"], 0.05).ratio
    calls = [float(call) for rounds in found.series["student"] for block in rounds for call in block]
    return {
        "p50_ms": statistics.median(calls) / 1e6,
        "faults": found.settings["minor_faults_per_call"]["student"],
        "log_ratio": math.log(ratio.value) if ratio is not None else math.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=8, help="fresh processes for each model and mode")
    parser.add_argument("--seconds", type=float, default=4.0, help="budget of each measurement")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, mode = arguments.child
        print(json.dumps(measure(name, mode, arguments.seconds)))
        return
    print("| model | allocator | median call, ms (least to most) | page faults per call | spread of the A/A ratio |")
    print("|---|---|---|---|---|", flush=True)
    for name in MODELS:
        rows: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
        for _ in range(arguments.processes):
            for mode in MODES:  # in turns, so that a slow minute hits both
                command = [sys.executable, __file__, "--child", name, mode, f"--seconds={arguments.seconds}"]
                ended = subprocess.run(command, capture_output=True, text=True, check=True)
                rows[mode].append(json.loads(ended.stdout))
        for mode in MODES:
            times = sorted(row["p50_ms"] for row in rows[mode])
            faults = sorted(row["faults"] for row in rows[mode])
            spread = statistics.stdev(row["log_ratio"] for row in rows[mode])
            print(
                f"| {name} | {mode} | {statistics.median(times):.3f} ({times[0]:.3f} to {times[-1]:.3f}) "
                f"| {faults[0]:.1f} to {faults[-1]:.1f} | {spread:.2%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
