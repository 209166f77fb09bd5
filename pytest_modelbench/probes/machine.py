"""The machine and its software, as reports state them."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

_STATED = ("pytest", "pytest-modelbench", "torch", "numpy", "scipy", "scikit-learn")
_RUNTIMES = ("onnxruntime", "openvino", "keras", "tensorflow", "jax", "transformers")


def environment(*, final: bool = True) -> dict[str, Any]:
    """Describe machine and software, without starting a process; libraries only where they are installed.

    Naming a GPU starts the driver, so it is left out until the end where nothing else has started it.
    """
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "logical_cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in _STATED},
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["torch_threads"] = torch.get_num_threads()
        facts["gpu"] = torch.cuda.get_device_name() if _gpu_in_use(torch, final) else None
    return facts


@functools.cache
def versions() -> str:
    """Return the versions of this plugin and of the libraries that run models: others may answer otherwise."""
    return repr([(name, _version(name)) for name in (*_STATED, *_RUNTIMES)])


def _gpu_in_use(torch: Any, final: bool) -> bool:
    return bool(torch.cuda.is_initialized() or (final and torch.cuda.is_available()))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
