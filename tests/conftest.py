"""Shared fixtures."""

from __future__ import annotations

# Runs inside of this process forget what they imported, and compiled libraries load only once in a process.
import hypothesis
import pytest
import sklearn.metrics
import torch._dynamo
import torch._inductor.test_operators
import torch.export
from suites import FAKES, Finished, Judge, read_report

from pytest_modelbench import access, judging
from pytest_modelbench.kpis import derive_metrics, derive_reliability, derive_shares, derive_timing
from pytest_modelbench.models import sklearn_estimator, torch_module
from pytest_modelbench.reports import terminal

PRELOADED = (
    *(hypothesis, sklearn.metrics, torch, access, judging, terminal, sklearn_estimator, torch_module),
    *(derive_metrics, derive_reliability, derive_shares, derive_timing),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the file that takes longest first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_docs.py")


@pytest.fixture(autouse=True)
def orderly_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs that tests start keep their order; pytest-randomly is installed for the tests that ask for it."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which removes the variable
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:randomly")


@pytest.fixture
def judge(pytester: pytest.Pytester) -> Judge:
    """Run pytest --modelbench on a suite; `tests` is its file, `more` is added to the fakes in its conftest."""

    def run(tests: str, *arguments: str, more: str = "", fakes: str = FAKES, process: bool = False) -> Finished:
        pytester.makeconftest(fakes + more)
        pytester.makepyfile(test_sla=tests)
        command = ("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", *arguments)
        result = pytester.runpytest_subprocess(*command) if process else pytester.runpytest_inprocess(*command)
        return Finished(result, read_report(pytester))

    return run
