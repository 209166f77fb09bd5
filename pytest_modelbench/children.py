"""An item run again in a fresh process: the user's own fixtures build the models there, nothing is serialised."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.options import CHILD_OPTION, given_options
from pytest_modelbench.probes.processes import ChildRequest
from pytest_modelbench.probes.timing import TimingMeasurement
from pytest_modelbench.probes.travel import read_arrays, unpack_timing
from pytest_modelbench.probes.watchdog import LONGEST_CALL_IN_BUDGETS

START_UP_S = 300.0


def run_child(config: pytest.Config, test: str, request: ChildRequest) -> TimingMeasurement:
    """Run one item in a child process and return what it measured.

    Args:
        config: of this run.
        test: `path::name` of the item, with its whole path.
        request: what is to be measured.

    Raises:
        MeasurementError: it ended without a measurement, or did not end.
    """
    with tempfile.TemporaryDirectory(prefix="pytest-modelbench-child-") as folder:
        asked, answer = Path(folder, "request.json"), Path(folder, "measurement.npz")
        replace(request, path=str(answer)).write(asked)
        command = child_command(config, test, asked)
        patience = LONGEST_CALL_IN_BUDGETS * request.budget_s + START_UP_S
        try:
            ended = subprocess.run(  # noqa: S603 - this interpreter, with the arguments of the run itself
                command,
                cwd=config.invocation_params.dir,
                env=_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(
                f"a fresh process for {_short(test)} did not end within {patience:.0f} s, and was stopped"
            ) from None
        if not answer.exists():
            raise MeasurementError(
                f"a fresh process for {_short(test)} ended with exit code {ended.returncode} and without a "
                f"measurement: {_last_error(ended.stdout, ended.stderr)}"
            )
        return unpack_timing(read_arrays(answer))


def _short(test: str) -> str:
    file, _, name = test.partition("::")
    return f"{Path(file).name}::{name}"


def child_command(config: pytest.Config, test: str, request: Path) -> list[str]:
    """Return the command that runs one item alone, with the options of this run that say how to measure.

    Plugins stay, for fixtures, markers and ini values may be theirs; without addopts none of them starts workers.
    """
    ini = [
        given for given in config.option.override_ini or () if given.partition("=")[0] not in {"addopts", "cache_dir"}
    ]
    count, reruns = getattr(config.option, "count", None), config.pluginmanager.hasplugin("rerunfailures")
    plugins = [name for name in config.option.plugins if name != "no:terminal"]  # as a worker has it
    return [
        *(sys.executable, "-m", "pytest", test),
        *(f"--rootdir={config.rootpath}", *(["-c", str(config.inipath)] if config.inipath else [])),
        *(part for given in ini for part in ("-o", given)),
        *("-o", "addopts=", "-o", f"cache_dir={request.parent / 'cache'}"),
        *([f"--count={count}"] if isinstance(count, int) and count > 1 else []),
        *(["--reruns=0"] if reruns else []),
        *(f"--import-mode={config.option.importmode}", "--tb=short", "-q"),
        *(part for name in plugins for part in ("-p", name)),
        *("--modelbench", *given_options(config.option), f"{CHILD_OPTION}={request}"),
    ]


def _environment() -> dict[str, str]:
    """Return this process's environment without what says that it is a worker, or which test it runs."""
    ours = ("PYTEST_XDIST_", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "COLUMNS": "2000"}  # so that no message is cut


def _last_error(*streams: str) -> str:
    """Return the line of a run's output that says most: the last error, or the last line at all."""
    found = (line.strip() for stream in streams for line in stream.splitlines())
    lines = [line for line in found if line and not line.endswith("%]")]
    errors = [line for line in lines if line.startswith(("E  ", "ERROR", "FAILED"))]
    told = next(iter(errors), lines[-1] if lines else "it printed nothing")
    return told.removeprefix("E  ").strip()
