"""--modelbench-history: a line for each run, of which code, and what must not happen to files and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.probes.revision import BRANCHES, COMMITS
from pytest_modelbench.reports import history_line
from pytest_modelbench.store.history import read_history

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "speedup >= 2x")
@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
@pytest.mark.kpi("parameters")
def test_all(): ...
"""
GATE = "import pytest\n@pytest.mark.kpi('parameters')\ndef test_gate(): ...\n"


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the system that runs these tests."""
    for name in (*COMMITS, *BRANCHES):
        monkeypatch.delenv(name, raising=False)


def lines(path: str = "h.jsonl") -> list[dict[str, Any]]:
    return [json.loads(text) for text in Path(path).read_text().splitlines()]


def git(*words: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    finished = subprocess.run(["git", *settings, *words], check=True, capture_output=True, text=True)
    return finished.stdout.strip()


def test_each_run_adds_a_line(judge: Judge) -> None:
    """With value, interval, ratio and verdict of each gate; what was there stays byte by byte."""
    finished = judge(SUITE, "--modelbench-history=h.jsonl", "--modelbench-threads=1")
    assert finished.result.ret == 0
    assert "history: h.jsonl" in finished.text
    first = Path("h.jsonl").read_bytes()
    judge(SUITE, "--modelbench-history=h.jsonl", "--modelbench-threads=1")
    assert Path("h.jsonl").read_bytes().startswith(first)
    assert len(read_history(Path("h.jsonl")).runs) == 2
    content = lines()[0]
    assert (content["commit"], content["branch"], content["dirty"]) == (None, None, None)
    assert content["complete"] is True
    gates = {gate["kpi"]: gate for gate in content["gates"]}
    latency, reported = gates["latency_p50"], finished.gate("latency_p50")
    student = reported["readings"]["student"]
    assert (latency["value"], latency["ci_low"]) == (student["value"], student["ci_low"])
    assert latency["reference"] == {
        name: value for name, value in reported["reference"].items() if name != "settings"
    }
    assert latency["settings"]["threads"] == 1
    assert latency["verdict"] == "pass"
    assert gates["top1_accuracy"]["data"] == next(iter(finished.report["data"].values()))["hash"]
    assert gates["parameters"]["reference"] is None
    assert gates["parameters"]["model"] == finished.report["models"]["students"]["student"]["hash"]
    assert content["machine"]["logical_cpus"] == os.cpu_count()


def test_failing_run_has_its_line(judge: Judge) -> None:
    """A gate that fails is what a history is for."""
    finished = judge(SUITE.replace("2x", "20x"), "--modelbench-history=h.jsonl")
    assert finished.result.ret == 1
    assert {gate["kpi"]: gate["verdict"] for gate in lines()[0]["gates"]}["latency_p50"] == "fail"
    assert lines()[0]["exit_status"] == 1


def test_commit_and_branch_come_from_git(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits of tracked files are noted, those of the history itself are not; CI's branch names a detached HEAD."""
    git("init", "--quiet", "--initial-branch=topic")
    judge(GATE)
    Path("h.jsonl").write_text("")
    git("add", "test_sla.py", "h.jsonl")
    git("commit", "--quiet", "--message=first")
    judge(GATE, "--modelbench-history=h.jsonl")
    commit = git("rev-parse", "HEAD")
    assert {name: lines()[0][name] for name in ("commit", "branch")} == {"commit": commit, "branch": "topic"}
    git("add", "h.jsonl")
    git("commit", "--quiet", "--message=second")
    git("checkout", "--quiet", "--detach")
    monkeypatch.setenv("GITHUB_REF_NAME", "ci-branch")
    monkeypatch.setenv("GITHUB_SHA", "another")
    for _ in range(2):
        judge(GATE, "--modelbench-history=h.jsonl")
    Path("test_sla.py").unlink()
    judge(GATE + "# edited\n", "--modelbench-history=h.jsonl")
    assert [content["dirty"] for content in lines()[1:]] == [False, False, True]
    assert {content["branch"] for content in lines()[1:]} == {"ci-branch"}
    assert {content["commit"] for content in lines()[1:]} == {git("rev-parse", "HEAD")}


def test_variables_of_ci_without_git(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source archive has no repository."""
    monkeypatch.setenv("CI_COMMIT_SHA", "f" * 40)
    monkeypatch.setenv("CI_COMMIT_REF_NAME", "main")
    monkeypatch.setenv("PATH", "")
    judge(GATE, "--modelbench-history=h.jsonl")
    content = lines()[0]
    assert (content["commit"], content["branch"], content["dirty"]) == ("f" * 40, "main", None)


def test_file_of_others_is_a_mistake(judge: Judge, pytester: pytest.Pytester) -> None:
    """Nothing is measured, and the file stays."""
    Path("h.jsonl").write_text('{"event": "login"}\n')
    finished = judge(GATE, "--modelbench-history=h.jsonl")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        f"--modelbench-history: cannot write {pytester.path / 'h.jsonl'}: it exists and is not a history of "
        "pytest-modelbench. Write another path, or remove it first" in finished.text
    )
    assert Path("h.jsonl").read_text() == '{"event": "login"}\n'


def test_paths_that_cannot_be_written_are_mistakes(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing folder, a FIFO, a device, another ending, a file without permission to write."""
    os.mkfifo("pipe.jsonl")
    Path("dev.jsonl").symlink_to("/dev/null")
    for path, words in {
        "no/h.jsonl": "Make it first: mkdir -p",
        "pipe.jsonl": "it is a device or a FIFO, and what is added to must be read again",
        "dev.jsonl": "it is a device or a FIFO",
        "h.json": "expected a path that ends in .jsonl, written --modelbench-history=PATH",
    }.items():
        finished = judge(GATE, f"--modelbench-history={path}")
        assert finished.result.ret == pytest.ExitCode.USAGE_ERROR, path
        assert words in finished.text, path
    judge(GATE, "--modelbench-history=h.jsonl")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "h.jsonl" and access(path, mode))
    finished = judge(GATE, "--modelbench-history=h.jsonl")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "the file cannot be written to (permission denied)" in finished.text
    assert len(lines()) == 1


def test_line_that_cannot_be_added_changes_no_exit_code(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts stand, and a line says what is missing."""

    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history_line, "append", full)
    finished = judge(GATE, "--modelbench-history=h.jsonl")
    assert finished.result.ret == 0
    assert "history: this run is not in it: cannot write" in finished.text
    assert "No space left on device" in finished.text


def test_half_written_history_is_continued(judge: Judge) -> None:
    """The run after a killed one starts a new line."""
    judge(GATE, "--modelbench-history=h.jsonl")
    whole = Path("h.jsonl").read_text()
    Path("h.jsonl").write_text(whole + whole[:100])
    assert judge(GATE, "--modelbench-history=h.jsonl").result.ret == 0
    history = read_history(Path("h.jsonl"))
    assert len(history.runs) == 2
    assert history.notes == ["line 2 is cut off: its writer was ended. It is left out"]


def test_run_that_measured_nothing_adds_nothing(judge: Judge) -> None:
    """It has nothing to compare."""
    finished = judge("def test_plain(): ...", "--modelbench-history=h.jsonl")
    assert "history: nothing was measured, so no line was added" in finished.text
    assert not Path("h.jsonl").exists()


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--modelbench-plan"]])
def test_dry_runs_add_nothing(judge: Judge, arguments: Sequence[str]) -> None:
    """Nothing is judged."""
    judge(GATE, "--modelbench-history=h.jsonl", *arguments)
    assert not Path("h.jsonl").exists()


def test_history_without_modelbench_is_a_mistake(pytester: pytest.Pytester) -> None:
    """As for other reports."""
    pytester.makepyfile("def test_plain(): ...")
    finished = pytester.runpytest_inprocess("--modelbench-history=h.jsonl")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    assert "--modelbench-history: nothing is judged, so there is no report. Add --modelbench" in str(finished.stderr)


def test_history_of_the_ini_file(judge: Judge, pytester: pytest.Pytester) -> None:
    """A project may keep one always."""
    pytester.makeini("[pytest]\nmodelbench_history = h.jsonl\n")
    judge(GATE)
    assert len(lines()) == 1


def test_workers_add_one_line(judge: Judge) -> None:
    """The controller writes it."""
    finished = judge(SUITE + GATE.replace("import pytest", ""), "-n2", "--modelbench-history=h.jsonl")
    assert finished.result.ret == 0, finished.text
    (content,) = lines()
    assert len(content["gates"]) == 4
