"""Exports a torch module by torch.export, to an archive or as the program that other exporters start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pytest_modelbench.exports.source import Source


def program_of(source: Source, *, most: int | None = None) -> Any:
    """Return the module as `torch.export.ExportedProgram`, with sizes that may vary by `Dim.DYNAMIC`.

    torch raises an error for a size that was to vary and became a constant; `Dim.AUTO` would accept it.

    Args:
        source: what is exported.
        most: the greatest size of a dimension that may vary, for runtimes that plan their memory; None for any.
    """
    dim = torch.export.Dim.DYNAMIC if most is None else torch.export.Dim.DYNAMIC(max=most)
    return torch.export.export(
        source.module, source.args, dict(source.kwargs), dynamic_shapes=source.shapes(lambda _name, _at: dim)
    )


def export(source: Source, folder: Path) -> Path:
    """Write an archive of torch.export."""
    path = folder / "model.pt2"
    torch.export.save(program_of(source), path)
    return path
