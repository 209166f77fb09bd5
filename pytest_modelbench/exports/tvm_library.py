"""Compiles a torch module by TVM to a shared library for this machine's processor."""

from __future__ import annotations

from pathlib import Path

import tvm
from tvm.relax.frontend.torch import from_exported_program

from pytest_modelbench.exports.source import Source
from pytest_modelbench.exports.torch_export import program_of


def export(source: Source, folder: Path) -> Path:
    """Compile the module for LLVM and write the library."""
    path = folder / "model.so"
    module = from_exported_program(program_of(source))
    tvm.compile(module, target="llvm").export_library(str(path))
    return path
