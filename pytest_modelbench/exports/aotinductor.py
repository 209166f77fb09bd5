"""Compiles a torch module ahead of time to a package of AOTInductor."""

from __future__ import annotations

from pathlib import Path

import torch

from pytest_modelbench.exports.source import Source
from pytest_modelbench.exports.torch_export import program_of


def export(source: Source, folder: Path) -> Path:
    """Compile the module for this machine's processor and write the package; needs a C++ compiler."""
    path = folder / "model.pt2"
    torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - the documented name
        program_of(source), package_path=str(path)
    )
    return path
