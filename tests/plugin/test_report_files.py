"""The options that name files to write: what they must not destroy is told at collection."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from suites import Judge, read_report

from pytest_modelbench.reports.formats import REPORTS
from pytest_modelbench.reports.report import Ending, Report

GATE = """
import pytest

@pytest.mark.kpi("parameters", "<= 50k")
def test_gate(): ...
"""
FLAGS = ["json", "save-baseline", "benchmark-json", "record-contract"]


@pytest.mark.parametrize("flag", FLAGS)
def test_no_option_replaces_what_is_not_ours(judge: Judge, pytester: pytest.Pytester, flag: str) -> None:
    """A JSON file of somebody else's is refused with exit code 4, and stays."""
    path = pytester.path / ("users.mbc" if flag == "record-contract" else "users.json")
    path.write_text('{"users": []}')
    finished = judge(GATE, f"--modelbench-{flag}={path.name}")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--modelbench-{flag}: cannot write {path}: it exists and is not a" in finished.text
    assert path.read_text() == '{"users": []}'


@pytest.mark.parametrize("flag", ["json", "benchmark-json"])
def test_second_run_replaces_the_files_of_the_first(judge: Judge, flag: str) -> None:
    """What was written is recognised again."""
    for _ in range(2):
        assert judge(GATE, f"--modelbench-{flag}=mine.json").result.ret == 0


@pytest.mark.parametrize("flag", ["save-baseline", "record-contract"])
def test_second_run_replaces_baseline_and_contract(judge: Judge, flag: str) -> None:
    """What was written is recognised again."""
    mine = "mine.mbc" if flag == "record-contract" else "mine.json"
    for _ in range(2):
        finished = judge(GATE, f"--modelbench-{flag}={mine}")
        assert finished.result.ret == 0, finished.text
    assert Path(mine).stat().st_size


def test_value_that_was_left_out_eats_no_test(judge: Judge, pytester: pytest.Pytester) -> None:
    """`--modelbench-json test_sla.py` names the test as the report: a mistake, and the test stays."""
    finished = judge(GATE, "--modelbench-json", "test_sla.py")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "found 'test_sla.py', expected a path that ends in .json, written --modelbench-json=PATH" in finished.text
    assert "def test_gate" in (pytester.path / "test_sla.py").read_text()


def test_missing_folder_is_a_mistake(judge: Judge, pytester: pytest.Pytester) -> None:
    """No folder is made silently."""
    finished = judge(GATE, "--modelbench-json=reports/today/modelbench.json")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"Make it first: mkdir -p {pytester.path / 'reports' / 'today'}" in finished.text
    assert not (pytester.path / "reports").exists()


def test_two_kinds_in_one_file_are_a_mistake(judge: Judge) -> None:
    """The second would replace the first."""
    finished = judge(GATE, "--modelbench-json=a.json", "--modelbench-benchmark-json=./a.json")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--modelbench-benchmark-json: --modelbench-json writes" in finished.text


def test_home_in_a_path(judge: Judge, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--modelbench-json=~/report.json` reaches the plugin with its `~`, which the shell leaves alone there."""
    (pytester.path / "home").mkdir()
    monkeypatch.setenv("HOME", str(pytester.path / "home"))
    judge(GATE, "--modelbench-json=~/mine.json")
    assert read_report(pytester, "home/mine.json")["complete"] is True
    assert not Path("~").exists()


def test_fifo_without_reader_fails_the_run(judge: Judge, pytester: pytest.Pytester) -> None:
    """The table is there, the fault is red, and nothing waits."""
    os.mkfifo(pytester.path / "pipe.json")
    finished = judge(GATE, "--modelbench-json=pipe.json")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "this FIFO has no reader" in finished.text
    assert stat.S_ISFIFO((pytester.path / "pipe.json").stat().st_mode)


def test_full_disk_fails_the_last_step(
    judge: Judge, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdicts are printed, the fault is told, the exit code is not 0, and no half of a file is left."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    finished = judge(GATE, "--modelbench-save-baseline=before.json")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        f"ERROR: --modelbench-save-baseline: cannot write {pytester.path / 'before.json'}: No space" in finished.text
    )
    assert "1 gate: 1 pass" in finished.text
    assert not (pytester.path / "before.json").exists()


def test_incomplete_report_is_there_before_anything_of_the_users_runs(
    judge: Judge, pytester: pytest.Pytester
) -> None:
    """A module that ends the process while it is imported leaves no earlier report that looks complete."""
    judge(GATE)
    assert read_report(pytester)["complete"] is True
    seen = "import json, pathlib\nSEEN = json.loads(pathlib.Path('report.json').read_text())\ndef test_seen(): assert SEEN['complete'] is False\n"
    finished = judge(seen + GATE)
    assert finished.result.ret == 0, finished.text


def test_collecting_alone_leaves_the_last_report(judge: Judge, pytester: pytest.Pytester) -> None:
    """--collect-only judges nothing, so it has nothing to write."""
    judge(GATE)
    before = json.dumps(read_report(pytester))
    finished = judge(GATE, "--collect-only")
    assert finished.result.ret == 0
    assert json.dumps(read_report(pytester)) == before


def counted(ending: Ending, path: Path) -> None:
    """Write how many gates a session judged."""
    path.write_text(f"{len(ending.told['gates'])} gates, exit status {ending.exit_status}")


def broken(ending: Ending, path: Path) -> None:
    raise ValueError("this report cannot be made")


def fake(write: Callable[[Ending, Path], None]) -> Report:
    """Return a kind of report that every session writes to count.txt."""
    return Report(
        name="count", flag="--count", asked=lambda settings: "count.txt", ours=lambda path: False, write=write
    )


def test_one_more_kind_of_report(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in the list is all that it takes: it is written and told, and what is not ours stays."""
    monkeypatch.setattr("pytest_modelbench.reports.formats.REPORTS", (*REPORTS, fake(counted)))
    finished = judge(GATE)
    assert finished.result.ret == 0
    assert Path("count.txt").read_text() == "1 gates, exit status 0"
    assert "count: count.txt" in finished.text
    assert "JSON report: report.json" in finished.text
    finished = judge(GATE)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--count: cannot write" in finished.text


def test_one_kind_that_breaks_leaves_the_others(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its writer raises is told and fails the run, and the reports after it are written."""
    monkeypatch.setattr("pytest_modelbench.reports.formats.REPORTS", (fake(broken), *REPORTS))
    finished = judge(GATE)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --count: cannot write" in finished.text
    assert "this report cannot be made" in finished.text
    assert finished.report["exit_status"] == pytest.ExitCode.USAGE_ERROR
