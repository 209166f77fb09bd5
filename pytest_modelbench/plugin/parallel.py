"""pytest-xdist: what its workers hand to each other, and to their controller."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.reports.record import Record

_FOLDER = "modelbench_folder"


class Parallel:
    """One process among those of a run: a worker, a controller, or the only one.

    Args:
        config: of the session.
        record: what is known of the session, which takes what workers know.
    """

    def __init__(self, config: pytest.Config, record: Record) -> None:
        workerinput = getattr(config, "workerinput", {})
        self.worker: str | None = workerinput.get("workerid")
        """The id of this worker, None in any other process."""
        self.shared_folder: str | None = workerinput.get(_FOLDER)
        """The temporary folder of the run; None until it is needed."""
        self._record = record

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give the workers a folder in which they hand measurements over."""
        node.workerinput[_FOLDER] = str(self.folder())

    def folder(self) -> Path:
        """Return the temporary folder of the run, which its workers share; it is made when it is first asked for."""
        if self.shared_folder is None:
            self.shared_folder = tempfile.mkdtemp(prefix="pytest-modelbench-")
        return Path(self.shared_folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Merge what a worker knows beyond its items."""
        self._record.crashed = self._record.crashed or bool(error)
        self._record.add_session(getattr(node, "workeroutput", {}).get("modelbench", {}))

    def pytest_unconfigure(self) -> None:
        """Remove the temporary folder of the run."""
        if self.worker is None and self.shared_folder is not None:
            shutil.rmtree(self.shared_folder, ignore_errors=True)
