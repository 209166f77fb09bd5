"""An item run again in a fresh process: the user's own fixtures build the models there, nothing is serialised."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_modelbench.errors import MeasurementError, ProcessLost
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.options import CHILD_OPTION, given_options
from pytest_modelbench.plugin.left_out import plugins_left_out
from pytest_modelbench.probes.load.worker_request import ready_file
from pytest_modelbench.probes.requests import Request, write_request
from pytest_modelbench.probes.timing.watchdog import patience_s

OWN_ERROR = "pytest_modelbench.errors."
"""Stands before our own errors in a process's output: other plugins would change nothing about them."""


def run_child(config: pytest.Config, item: pytest.Item, request: Request) -> None:
    """Run one item in a child process until it has left its answer in the request's file.

    Plugins that it does not seem to need are left out; where it fails without them it runs again with all of them.

    Args:
        config: of this run.
        item: which item.
        request: what is to be measured, with the path of the file that the answer goes into.

    Raises:
        MeasurementError: it ended without a measurement.
        ProcessLost: it crashed, or did not end in time.
    """
    answer = Path(request.path)
    asked = answer.with_name("request.json")
    write_request(request, asked)
    left_out = plugins_left_out(config, item)
    ended = _run(config, item, request, child_command(config, item, asked, left_out))
    begun = answer.exists() or ready_file(request.path).exists()
    if left_out and not begun and ended.returncode > 0 and OWN_ERROR not in ended.stdout:
        ended = _run(config, item, request, child_command(config, item, asked, []))
    if not answer.exists():
        how, error = _ending(ended.returncode), _last_error(ended.stdout, ended.stderr)
        text = f"a fresh process for {_short(item)} {how}, without a measurement: {error}"
        raise ProcessLost(text, how) if ended.returncode < 0 else MeasurementError(text)


def _run(
    config: pytest.Config, item: pytest.Item, request: Request, command: list[str]
) -> subprocess.CompletedProcess[str]:
    own_limit = isinstance(request, ExportRequest)
    patience = request.budget_s if own_limit else patience_s(request.budget_s)
    try:
        return subprocess.run(  # noqa: S603 - this interpreter, with the arguments of the run itself
            command,
            cwd=config.invocation_params.dir,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        error = _last_error(*(_text(stream) for stream in (expired.stdout, expired.stderr)))
        how = f"did not end within {patience:.0f} s, and was stopped"
        raise ProcessLost(f"a fresh process for {_short(item)} {how}: {error}", how) from None


def _text(stream: str | bytes | None) -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""


def _ending(code: int) -> str:
    """Say how a process ended, by name where a signal ended it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = {"SIGKILL": " (the kernel does that when memory is out)", "SIGSEGV": " (a crash in compiled code)"}
    return f"was ended by {name}{meaning.get(name, '')}"


def _short(item: pytest.Item) -> str:
    return f"{item.path.name}::{_name(item)}"


def _name(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2]


def _place(config: pytest.Config, item: pytest.Item) -> str:
    """Return an item as an argument of pytest, which takes the first bracket of a path for a parameter's."""
    whole = f"{item.path}::{_name(item)}"
    if "[" not in str(item.path):
        return whole
    from_here = os.path.relpath(item.path, config.invocation_params.dir)
    if "[" in from_here:
        raise MeasurementError(
            f"{item.path.parent} has a bracket in its name, and pytest cannot be told to run one test of it from "
            f"{config.invocation_params.dir}. Start pytest in that folder, or rename it"
        )
    return f"{from_here}::{_name(item)}"


def child_command(config: pytest.Config, item: pytest.Item, request: Path, left_out: Sequence[str]) -> list[str]:
    """Return the command that runs one item alone, with the options of this run that say how to measure.

    Other plugins stay, for fixtures, markers and ini values may be theirs; none starts workers without addopts.
    """
    ini = [
        setting
        for setting in config.option.override_ini or ()
        if setting.partition("=")[0] not in {"addopts", "cache_dir"}
    ]
    count = getattr(config.option, "count", None)
    reruns = config.pluginmanager.hasplugin("rerunfailures") and "rerunfailures" not in left_out
    plugins = [name for name in config.option.plugins if name != "no:terminal"]  # as a worker has it
    plugins += [f"no:{name}" for name in left_out]
    return [
        *(sys.executable, "-m", "pytest", _place(config, item)),
        *(f"--rootdir={config.rootpath}", *(["-c", str(config.inipath)] if config.inipath else [])),
        *(part for setting in ini for part in ("-o", setting)),
        *("-o", "addopts=", "-o", f"cache_dir={request.parent / 'cache'}"),
        *([f"--count={count}"] if isinstance(count, int) and count > 1 else []),
        *(["--reruns=0"] if reruns else []),
        *(f"--import-mode={config.option.importmode}", "--assert=plain", "--tb=short", "-q"),
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
    all_lines = (line.strip() for stream in streams for line in stream.splitlines())
    lines = [line for line in all_lines if line and not line.endswith("%]")]
    errors = [line for line in lines if line.startswith(("E  ", "ERROR", "FAILED"))]
    line = next(iter(errors), lines[-1] if lines else "it printed nothing")
    return re.sub(r"^pytest_modelbench\.errors\.\w+: ", "", line.removeprefix("E  ").strip())
