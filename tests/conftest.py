"""Shared fixtures."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.pytester import SysModulesSnapshot
from suites import FAKES, Finished, Judge, read_report

collect_ignore = ["models/adapters/files"]  # its script needs TensorFlow, which wrote the files once
if importlib.util.find_spec("tensorflow") is None:
    collect_ignore += ["with_tensorflow"]  # `make test-tensorflow` has an environment for these


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the files that time most apart: while one has the machine for itself, other workers would wait for it."""
    order = {"test_docs.py": 0, "acceptance": 2, "e2e": 3}
    items.sort(key=lambda item: order.get(item.path.name, order.get(item.path.parent.name, 1)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Let pytest-xdist learn that a worker has ended, also when a process that the worker started outlives it.

    pytest-xdist waits for the end of the worker's pipe, which such a process holds open.
    """
    pipes = node.gateway._io
    try:
        pipe = Path(f"/proc/self/fd/{pipes.infile.fileno()}").readlink()
    except OSError:
        return  # this is no Linux
    threading.Thread(target=end_heirs, args=(pipes.popen, pipe), daemon=True).start()


def end_heirs(worker: Any, pipe: Path) -> None:
    """Wait for the worker's end; kill the processes that hold its `pipe`, and say so."""
    status = worker.wait()
    time.sleep(5)  # a worker that ends in order closes its pipe itself
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and pipe in open_files(process):
            print(
                f"\nworker {worker.pid} ended with {status}; killed {process.name}, which held its pipe",
                file=sys.stderr,
            )
            os.kill(int(process.name), signal.SIGKILL)


def open_files(process: Path) -> set[Path]:
    """Return what a process holds open, as far as it may be read."""
    try:
        return {link.readlink() for link in (process / "fd").iterdir()}
    except OSError:
        return set()


@pytest.fixture(autouse=True, scope="session")
def installed_modules_stay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let runs inside of this process forget only the modules of their own folder.

    Compiled libraries load only once in a process, and parts of torch refuse to be imported again.
    """
    folder = str(tmp_path_factory.getbasetemp())

    def installed(name: str) -> bool:
        module = sys.modules[name]
        return folder not in str(getattr(module, "__file__", None) or getattr(module, "__path__", ""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("_pytest.pytester.SysModulesSnapshot", lambda preserve: SysModulesSnapshot(installed))
        yield


@pytest.fixture(autouse=True)
def orderly_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs that tests start keep their order, and not wait for hypothesis, which none of them needs.

    pytest-randomly is installed for the tests that ask for it. A run of these tests on GitHub adds nothing of theirs to
    its own summary.
    """
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which removes the variable
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:randomly -p no:hypothesispytest")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """Fail a test that leaves another handler of Ctrl-C or SIGTERM than it found: the next test's fault otherwise."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.fixture(scope="session")
def own_machine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a machine lock that belongs to this worker alone."""
    return str(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def no_turns(own_machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this worker's runs take turns with each other, and not with those of the other worker.

    Models on a fake clock need no machine for themselves, and waited a third of their time for the examples.
    """
    monkeypatch.setenv("TMPDIR", own_machine)
    monkeypatch.setattr("tempfile.tempdir", own_machine)


@pytest.fixture
def judge(pytester: pytest.Pytester, no_turns: None) -> Judge:
    """Run pytest --modelbench on a suite; `tests` is its file, `more` is added to the fakes in its conftest."""

    def run(tests: str, *arguments: str, more: str = "", fakes: str = FAKES, process: bool = False) -> Finished:
        pytester.makeconftest(fakes + more)
        pytester.makepyfile(test_sla=tests)
        command = ("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", *arguments)
        result = pytester.runpytest_subprocess(*command) if process else pytester.runpytest_inprocess(*command)
        return Finished(result, read_report(pytester))

    return run
