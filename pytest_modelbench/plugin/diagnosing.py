"""When students are diagnosed: after the last test, by the process that has the models to itself."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_modelbench.bench.diagnoses import Diagnoses

BY_WORKERS = (
    "workers of pytest-xdist measure at the same time. Run without -n, or "
    "python -m pytest_modelbench diagnose TEACHER STUDENT DATA"
)


class Diagnosing:
    """Diagnoses students when all tests have run; a run that ends early has no diagnosis.

    Args:
        diagnoses: of the session.
        worker: the id of this worker, None in any other process.
    """

    def __init__(self, diagnoses: Diagnoses, worker: str | None) -> None:
        self._diagnoses = diagnoses
        self._worker = worker

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Diagnose after the last test: no timed gate is left that it could disturb."""
        answer = yield
        if self._worker is None:
            self._diagnoses.run()
        else:
            self._diagnoses.leave_all(BY_WORKERS)
        return answer
