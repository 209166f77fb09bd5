"""The distilled student of the digits suite as a Keras model with the same weights, on any backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from suites import checked

DIGITS = Path(__file__).parent.parent / "example_suites" / "digits"
NOT_APPLICABLE = {"headroom", "flops", "export", "pgd_accuracy", "robust_accuracy"}
"""KPIs of the suite that may not apply to a Keras model, on some backend."""


def student() -> Any:
    """Return the Keras model; inputs are (n, 1, 8, 8), as the suite's images are."""
    import keras
    from keras import layers

    sys.path.insert(0, str(DIGITS))
    from models import load  # type: ignore[attr-defined] # of the suite

    original = load("distilled")
    first, second = (layer for layer in original.features if hasattr(layer, "kernel_size"))
    hidden, last = original.classifier[0], original.classifier[2]
    model = keras.Sequential(
        [
            layers.Input((1, 8, 8)),
            layers.Permute((2, 3, 1)),
            layers.Conv2D(first.out_channels, 3, padding="same", activation="relu"),
            layers.Conv2D(second.out_channels, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Permute((3, 1, 2)),
            layers.Flatten(),
            layers.Dense(hidden.out_features, activation="relu"),
            layers.Dense(last.out_features),
        ]
    )
    weights = []
    for layer in (first, second, hidden, last):
        kernel = layer.weight.detach().permute(2, 3, 1, 0) if layer.weight.dim() == 4 else layer.weight.detach().T
        weights += [kernel.numpy(), layer.bias.detach().numpy()]
    model.set_weights(weights)
    return model


def saved(path: Path) -> Path:
    """Save the model as a `.keras` file, or as a SavedModel where the path is that of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' writers
        model = student()
        if path.suffix == ".keras":
            model.save(path)
        else:
            model.export(str(path), format="tf_saved_model", verbose=False)
    return path


def judged(path: Path, report: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Judge a saved student against the torch teacher by the suite's modelbench.toml; return output and report."""
    command = [sys.executable, "-m", "pytest", "--modelbench", f"--modelbench-json={report}"]
    options = ["--modelbench-energy-window=1", "-p", "no:cacheprovider", f"--modelbench-student=keras={path}"]
    finished = subprocess.run(
        [*command, *options, *arguments, "modelbench.toml"],
        cwd=DIGITS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.stdout, checked(json.loads(report.read_text()))
