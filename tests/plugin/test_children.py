"""The command of a process that only measures: which plugins it loads, and how it names its item."""

from __future__ import annotations

import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.plugin import child_run as children
from pytest_modelbench.plugin.child_run import child_command, run_child
from pytest_modelbench.plugin.left_out import plugins_left_out
from pytest_modelbench.probes.cost.launch import LaunchRequest

PLAIN = "def test_plain(): ..."


def request(folder: Path) -> LaunchRequest:
    return LaunchRequest(
        role="student", model="m", batch_size=1, frameworks=(), memory=True, budget_s=1, path=str(folder / "answer")
    )


def test_known_plugins_are_left_out(pytester: pytest.Pytester) -> None:
    """Those that a plain item does not ask for."""
    item = pytester.getitem(PLAIN, "test_plain")
    left_out = plugins_left_out(item.config, item)
    assert {"timeout", "benchmark"} <= set(left_out)
    command = child_command(item.config, item, pytester.path / "request.json", left_out)
    assert "no:timeout" in command
    assert "--reruns=0" not in command


def test_plugins_that_something_asks_for_stay(pytester: pytest.Pytester) -> None:
    """By a fixture of the item, a value of the ini file, or a hook of a conftest.py."""
    pytester.makeini("[pytest]\ntimeout = 600\n")
    pytester.makeconftest("def pytest_benchmark_update_json(config, benchmarks, output_json): ...")
    item = pytester.getitem(PLAIN, "test_plain")
    left_out = plugins_left_out(item.config, item)
    assert "timeout" not in left_out
    assert "benchmark" not in left_out


def test_plugin_whose_fixture_is_asked_for_stays(pytester: pytest.Pytester) -> None:
    """Its fixture may build the model."""
    item = pytester.getitem("def test_plain(benchmark): ...", "test_plain")
    assert "benchmark" not in plugins_left_out(item.config, item)


def test_bracket_in_a_folder(tmp_path: Path) -> None:
    """Pytest would take it for a parameter's: the item is named from where pytest started."""
    folder = tmp_path / "we[ird]"
    item: Any = types.SimpleNamespace(path=folder / "test_a.py", nodeid="test_a.py::test_b[small]")
    config: Any = types.SimpleNamespace(invocation_params=types.SimpleNamespace(dir=folder))
    assert children._place(config, item) == "test_a.py::test_b[small]"
    config.invocation_params.dir = tmp_path
    with pytest.raises(MeasurementError, match="has a bracket in its name"):
        children._place(config, item)


class Runs:
    """Stands for `subprocess.run`: each run ends as told, and is remembered."""

    def __init__(self, *outcomes: tuple[int, str] | subprocess.TimeoutExpired) -> None:
        self.outcomes = list(outcomes)
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, subprocess.TimeoutExpired):
            raise outcome
        return subprocess.CompletedProcess(command, outcome[0], stdout=outcome[1], stderr="")


@pytest.mark.parametrize(
    ("outcomes", "runs", "told"),
    [
        ([(4, "ERROR unknown hook"), (1, "E  still no")], 2, "still no"),
        ([(1, "E  pytest_modelbench.errors.ModelError: it raised")], 1, "it raised"),
        ([(-9, "")], 1, "was ended by SIGKILL"),
        ([subprocess.TimeoutExpired("pytest", 305, b"E  at work")], 1, "did not end within 305 s, and was stopped"),
    ],
    ids=["other-failure", "own-error", "killed", "hangs"],
)
def test_process_without_an_answer(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, outcomes: Any, runs: int, told: str
) -> None:
    """It runs again with all plugins only where their absence may be the cause; a hang ends within its time."""
    run = Runs(*outcomes)
    item = pytester.getitem(PLAIN, "test_plain")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(MeasurementError, match=told):
        run_child(item.config, item, request(pytester.path))
    assert len(run.commands) == runs
    assert "no:timeout" in run.commands[0]
    assert runs == 1 or "no:timeout" not in run.commands[1]
