"""Exports a torch module by torch.export, to an archive or as the program that other exporters start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pytest_modelbench.exports.source import Source


def program_of(source: Source, *, bounded: bool = False) -> Any:
    """Return the module as `torch.export.ExportedProgram`, with sizes that may vary by `Dim.DYNAMIC`.

    torch raises an error for a size that was to vary and became a constant; `Dim.AUTO` would accept it.

    Args:
        source: what is exported.
        bounded: whether sizes that may vary have the greatest one of the data as their bound, for runtimes that plan
            their memory.
    """

    def dimension(name: str, at: int) -> Any:
        most = source.ranges[name].most[at]
        return torch.export.Dim.DYNAMIC(max=most) if bounded else torch.export.Dim.DYNAMIC

    return torch.export.export(
        source.module, source.args, dict(source.kwargs), dynamic_shapes=source.shapes(dimension)
    )


def export(source: Source, folder: Path) -> Path:
    """Write an archive of torch.export."""
    path = folder / "model.pt2"
    torch.export.save(program_of(source), path)
    return path
