"""What corruptions cost: processor time for each corruption of one sample, and passes under them against bare passes.

The passes are those of a convolutional network of three layers, on one thread; the memory is that of numpy's arrays.

Usage: python benchmarks/robustness.py [--samples 32]
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pytest_modelbench.data.corruptions.applying import corrupted
from pytest_modelbench.data.corruptions.fitting import fit
from pytest_modelbench.data.corruptions.names import Cell, of_family
from pytest_modelbench.data.evaldata import EvalData

SEVERITY = 3
SIZES = (8, 32, 224)


def images(samples: int, size: int) -> EvalData:
    """Return colour images of bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (samples, 3, size, size), dtype=np.uint8)
    return EvalData(pixels, batch_size=16)


def cost_ms(data: EvalData, samples: int) -> Iterator[tuple[str, float]]:
    """Yield each corruption with the milliseconds of processor time that one sample takes."""
    for corruption in of_family("images"):
        harder = corrupted(data, Cell(corruption=corruption, severity=SEVERITY), fit(data, (corruption,)))
        start = time.process_time()
        for _ in harder.batches():
            pass
        yield str(corruption), 1000 * (time.process_time() - start) / samples


def network() -> Callable[[Any], Any]:
    """Return a network that answers a batch of images of bytes."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    parts: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU()]
    parts += [nn.Conv2d(64, 64, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    model = nn.Sequential(*parts).eval()

    def answer(batch: Any) -> Any:
        with torch.inference_mode():
            return model(torch.as_tensor(batch).float() / 255)

    return answer


def passes(model: Callable[[Any], Any], data: EvalData) -> tuple[float, float]:
    """Return the processor time of a pass over the data in milliseconds, and its peak of memory in MB."""
    start = time.process_time()
    for batch in data.batches():
        model(batch.inputs)
    took = 1000 * (time.process_time() - start)
    tracemalloc.start()
    for batch in data.batches():
        model(batch.inputs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return took, peak / 1e6


def against_bare(size: int, samples: int) -> str:
    """Compare a bare pass with the mean of those under every corruption, and with the slowest."""
    model, data = network(), images(samples, size)
    passes(model, data)
    bare, bare_mb = passes(model, data)
    under = {}
    for corruption in of_family("images"):
        harder = corrupted(data, Cell(corruption=corruption, severity=SEVERITY), fit(data, (corruption,)))
        under[str(corruption)] = passes(model, harder)
    slowest = max(under, key=lambda name: under[name][0])
    mean, most = np.mean([took for took, _ in under.values()]), max(mb for _, mb in under.values())
    return (
        f"{size:4} x {size:<4} a sample: bare {bare / samples:.2f} ms, corrupted {mean / samples:.2f} ms "
        f"({mean / bare:.1f}x), {slowest} {under[slowest][0] / samples:.2f} ms; peak {bare_mb:.0f} MB, {most:.0f} MB"
    )


def main() -> None:
    """Print a table: corruptions in rows, sizes of images in columns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=32)
    samples = parser.parse_args().samples
    tables = {size: dict(cost_ms(images(samples, size), samples)) for size in SIZES}
    print("milliseconds of processor time for one sample, severity 3, colour images")
    print(f"{'corruption':16}" + "".join(f"{f'{size} x {size}':>14}" for size in SIZES))
    for name in tables[SIZES[0]]:
        print(f"{name:16}" + "".join(f"{tables[size][name]:14.3f}" for size in SIZES))
    print(f"{'mean':16}" + "".join(f"{np.mean(list(tables[size].values())):14.3f}" for size in SIZES))
    print("passes of a small network over bare and corrupted images, 16 at once")
    for size, count in ((32, 8 * samples), (224, samples), (224, 4 * samples)):
        print(f"{count:5} samples of {against_bare(size, count)}")


if __name__ == "__main__":
    main()
