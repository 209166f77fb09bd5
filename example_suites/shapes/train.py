"""Train the teacher and distil a student; run once, their files are kept.

Usage: python train.py
"""

from __future__ import annotations

import time

import torch
from models import ARTIFACTS, SEED, WIDTHS, Detector, fit, wanted
from safetensors.torch import save_model
from shapes import shapes


def train_all() -> None:
    """Train both detectors, seeded, and save them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over several threads round otherwise, and give other weights
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        images, targets = shapes(3000, SEED)
        data = (torch.from_numpy(images), *wanted(targets))
        teacher, distilled = Detector(WIDTHS["teacher"]), Detector(WIDTHS["distilled"])
        fit(teacher, data, steps=500)
        fit(distilled, data, steps=700, teacher=teacher)
    ARTIFACTS.mkdir(exist_ok=True)
    for name, model in {"teacher": teacher, "distilled": distilled}.items():
        save_model(model, str(ARTIFACTS / f"{name}.safetensors"))
    torch.set_num_threads(threads)


if __name__ == "__main__":
    start = time.process_time()
    train_all()
    print(f"trained in {time.process_time() - start:.0f} s of processor time: {ARTIFACTS}")
