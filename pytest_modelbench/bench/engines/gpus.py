"""Which GPUs each worker of one machine sees."""

from __future__ import annotations

import math
import os

from pytest_modelbench.errors import UsageMistake


def visible_gpus(workers: int, num_gpus: float | None, there: list[str] | None = None) -> list[str | None]:
    """Return the value of `CUDA_VISIBLE_DEVICES` for each worker; None leaves all of them visible.

    >>> visible_gpus(4, 0.5, ["0", "1"]), visible_gpus(2, 2, ["0", "1", "2", "3"])
    (['0', '0', '1', '1'], ['0,1', '2,3'])

    Args:
        workers: how many.
        num_gpus: GPUs for each of them: a part of one, or whole ones.
        there: the GPUs of this machine; None for those that CUDA shows to this process.

    Raises:
        UsageMistake: there are not so many, or it is neither a part nor whole.
    """
    if num_gpus is None:
        return [None] * workers
    gpus = _of_this_machine() if there is None else there
    if num_gpus > 1 and num_gpus != int(num_gpus):
        raise UsageMistake(f"--modelbench-num-gpus: found {num_gpus:g}, expected a number up to 1, or an integer")
    shared = math.floor(1 / num_gpus) if 0 < num_gpus <= 1 else 1
    each = math.ceil(num_gpus)
    needed = math.ceil(workers / shared) * each
    if needed > len(gpus):
        fitting = len(gpus) // each * shared if each else workers
        raise UsageMistake(
            f"--modelbench-num-gpus={num_gpus:g} for {workers} workers needs {needed} GPUs, and this machine has "
            f"{len(gpus)}. "
            + (f"Write --modelbench-workers={fitting}" if fitting else "Remove --modelbench-num-gpus")
        )
    return [",".join(gpus[number // shared * each :][:each]) for number in range(workers)]


def _of_this_machine() -> list[str]:
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [gpu.strip() for gpu in stated.split(",") if gpu.strip() and gpu.strip() != "-1"]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
