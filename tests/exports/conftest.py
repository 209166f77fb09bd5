"""How models are exported in these tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from exporting import Export

from pytest_modelbench.exports.options import ExportOptions, parse_target
from pytest_modelbench.exports.run import export_to
from pytest_modelbench.exports.steps import Exported
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Return a function that exports a model to a format, given its batches."""

    def run(model: Any, target: str, batches: Sequence[Any], **options: Any) -> Exported:
        asked = ExportOptions(**options)
        return export_to(adapt(model, Loading(name="small")), batches, parse_target(target), tmp_path, asked)

    return run
