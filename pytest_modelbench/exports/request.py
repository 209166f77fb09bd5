"""What a fresh process is asked to export, and what it answers. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pytest_modelbench.exports.options import ExportOptions
from pytest_modelbench.exports.steps import Exported


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What one process is asked to export: the model of a role, to one format.

    Each format has a process of its own: what an exporter leaves behind, and a crash, stay with it.

    Attributes:
        role: "student", "teacher" or "previous"; of a student that is deployed its source is exported.
        model: the hash that the model must have, for another one would be judged.
        target: the format as the user wrote it.
        options: what `ExportOptions.to_json` returned.
        folder: for the files; it is there.
        budget_s: the longest that the process may take, in seconds.
        path: the file that the answer goes into.
    """

    kind: ClassVar[str] = "export"
    setup: ClassVar[str] = ""  # no gate's timing is asked for
    role: str
    model: str
    target: str
    options: Mapping[str, Any]
    folder: str
    budget_s: float
    path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @property
    def export_options(self) -> ExportOptions:
        """What is asked of the export."""
        return ExportOptions.from_json(self.options)

    def write(self, exported: Exported) -> None:
        """Leave the answer for the parent, whole or not at all."""
        path = Path(self.path)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(exported.to_json()), encoding="utf-8")
        part.replace(path)

    def answer(self) -> Exported:
        """Read what the process has left."""
        return Exported.from_json(json.loads(Path(self.path).read_text(encoding="utf-8")))
