"""What corruptions cost: processor time for each corruption of one sample, and that of a gate against a bare pass.

Usage: python benchmarks/robustness.py [--samples 32]
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Iterator

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


def peak_mb(data: EvalData) -> float:
    """Return the most memory that reading the data under a corruption takes, in MB."""
    corruption = of_family("images")[0]
    harder = corrupted(data, Cell(corruption=corruption, severity=SEVERITY), fit(data, (corruption,)))
    tracemalloc.start()
    for _ in harder.batches():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


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
    for count in (samples, 4 * samples):
        print(f"peak memory of reading {count} images of 224 x 224, 16 at once: {peak_mb(images(count, 224)):.0f} MB")


if __name__ == "__main__":
    main()
