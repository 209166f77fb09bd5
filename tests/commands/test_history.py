"""The console command `history`: show, check, plot and explain."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import counted, gate, line, write_history

from pytest_modelbench.commands.cli import main

SRC = Path(__file__).parents[2]


@pytest.fixture
def worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of 40 runs, the last ten of which are 10% slower."""
    monkeypatch.chdir(tmp_path)
    ratios = 0.4 * np.exp(np.random.default_rng(1).normal(0, 0.01, 40))
    ratios[30:] *= 1.1
    lines = [
        line(i, gate(float(v)), counted(5.0), branch="main" if i < 39 else "topic") for i, v in enumerate(ratios)
    ]
    return write_history(Path("h.jsonl"), lines)


def test_check_fails_with_the_commits(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What got worse, by how much, between which commits, and what to do about it."""
    assert main(["history", "check", "h.jsonl"]) == 1
    text = capsys.readouterr().out
    assert "WORSE: latency_p50 of int8 (ratio to the teacher) got worse by" in text
    assert "git bisect start 0000030ccccc 0000029ccccc" in text
    assert "history explain h.jsonl 0000030ccccc 'REASON'" in text
    assert "h.jsonl: 40 runs, 2 trends; 1 unexplained change for the worse in the last 20 runs" in text


def test_check_passes(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a change in the runs that are looked at."""
    assert main(["history", "check", "h.jsonl", "--last", "5"]) == 0
    assert main(["history", "check", "h.jsonl", "--least", "50%"]) == 0
    assert "no unexplained changes for the worse in the last 20 runs" in capsys.readouterr().out


def test_explained_change(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is in the file, is shown, and the check passes; the commit may be short."""
    before = worse.read_text()
    assert main(["history", "explain", "h.jsonl", "0000030", "more layers, for accuracy"]) == 0
    assert worse.read_text().startswith(before)
    assert main(["history", "check", "h.jsonl"]) == 0
    assert main(["history", "show", "h.jsonl"]) == 0
    assert "explained: more layers, for accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["0123456", "why"],
            "h.jsonl has no run of the commit '0123456'. Its last commits: 0000037ccccc, 0000038ccccc",
        ),
        (["000", "why"], "h.jsonl has no run of the commit '000'"),
        (["0000030", " "], "the reason is empty"),
    ],
)
def test_bad_explanations(worse: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """Nothing is written."""
    before = worse.read_text()
    assert main(["history", "explain", "h.jsonl", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert worse.read_text() == before


def test_decay_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only where it is asked for."""
    path = write_history(tmp_path / "h.jsonl", (line(i, gate(0.4 * 1.0009**i + 0.0004 * (i % 3))) for i in range(60)))
    assert main(["history", "check", str(path), "--last", "1"]) == 0
    assert main(["history", "check", str(path), "--last", "1", "--drift", "3%", "--over", "50"]) == 1
    assert "decayed by 4." in capsys.readouterr().out


def test_short_history_passes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first runs of a project have nothing to compare with."""
    path = write_history(tmp_path / "h.jsonl", (line(i, gate(0.4 + i / 100)) for i in range(5)))
    assert main(["history", "check", str(path)]) == 0
    assert "1 of them have too few runs for noisy values (at least 11)" in capsys.readouterr().out


def test_branches(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of one branch only."""
    assert main(["history", "show", "h.jsonl", "--branch", "main"]) == 0
    assert "h.jsonl: 39 runs, 2026-01-01 to 2026-02-08" in capsys.readouterr().out
    assert main(["history", "check", "h.jsonl", "--branch", "nope"]) == 2
    assert "has no run of the branch 'nope'. Its branches: main, topic" in capsys.readouterr().err


def test_show(worse: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each trend with its bars; without bars where the terminal has none."""
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["history", "show", "h.jsonl"]) == 0
    text = capsys.readouterr().out
    rows = {row.split()[0]: row for row in reversed(text.splitlines()) if row}
    assert re.search(r"ratio to the teacher +40 +[▁▂▃▄▅▆▇█]{40} +0\.\d+x +0\.4\d+x +\+\d", rows["latency_p50"]), text
    assert re.search(r"value +40 +▁{40} +5 +5$", rows["parameters"]), text
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["history", "show", "h.jsonl"]) == 0
    assert re.search("(?<![▁▂▃▄▅▆▇█])▁{20}(?![▁▂▃▄▅▆▇█])", capsys.readouterr().out)
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["history", "show", "h.jsonl"]) == 0
    sys.stdout.flush()
    assert "\\u2581" not in shown.getvalue().decode("ascii")


def test_hostile_commit_is_in_no_command(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed to be pasted has no shell syntax of the file."""
    worse.write_text(worse.read_text().replace("0000030" + 33 * "c", "$(reboot)"))
    assert main(["history", "check", "h.jsonl"]) == 1
    text = capsys.readouterr().out
    assert "git bisect" not in text
    assert "history explain" not in text


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in {"src", "href", "onload", "onclick"}]


def test_plot(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A chart for each trend with a mark for each run, no script, nothing from elsewhere; written again."""
    for _ in range(2):
        assert main(["history", "plot", "h.jsonl"]) == 0
    assert "wrote history.html" in capsys.readouterr().out
    text = Path("history.html").read_text()
    page = Page(text)
    assert page.tags.count("svg") == 2
    assert text.count('class="mark s0"') == 80
    assert text.count('class="limit"') == text.count('class="mark bad"') == 1
    assert re.findall("<text[^>]*>([^<]*)</text>", text)[-7:-4] == ["4.95", "5", "5.05"], "the ends of the intervals"
    assert text.index("latency_p50 of int8") < text.index("parameters of int8"), "what changed is first"
    assert "script" not in page.tags
    assert page.addresses == ["#content", "#changes", "#trends"]
    assert "default-src 'none'" in text
    assert "://" not in text
    assert "got worse by" in text


def test_plot_of_hostile_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of KPIs, students and branches are text."""
    monkeypatch.chdir(tmp_path)
    name = "</title><script>alert(1)</script>&\x1b"
    write_history(Path("h.jsonl"), [line(i, gate(student=name, kpi=name), branch=name) for i in range(3)])
    assert main(["history", "plot", "h.jsonl", "--output", "p.html"]) == 0
    text = Path("p.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text


def test_plot_replaces_nothing_of_others(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page of somebody else's stays, and a missing folder is named."""
    Path("mine.html").write_text("<html></html>")
    assert main(["history", "plot", "h.jsonl", "--output", "mine.html"]) == 2
    assert "--output: cannot write mine.html: it exists and is not a history page" in capsys.readouterr().err
    assert Path("mine.html").read_text() == "<html></html>"
    assert main(["history", "plot", "h.jsonl", "--output", "no/p.html"]) == 2
    assert "Make it first: mkdir -p" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["show", "check", "plot"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read h.jsonl: No such file or directory. Write one with --modelbench-history=PATH"),
        ('{"users": []}', "h.jsonl is not a history of pytest-modelbench"),
        ('{"modelbench_history": 2}', "line 1: found schema 2"),
    ],
)
def test_bad_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    action: str,
    text: str | None,
    words: str,
) -> None:
    """One line, exit code 2."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("h.jsonl").write_text(text)
    assert main(["history", action, "h.jsonl"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--over", "20"], "--over: it is the number of runs of --drift. Write --drift 3% as well"),
        (["--drift", "3%", "--over", "3"], "--over: found 3, expected at least 10 runs"),
    ],
)
def test_bad_options(worse: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """One line, exit code 2."""
    assert main(["history", "check", "h.jsonl", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_bad_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse says which option."""
    with pytest.raises(SystemExit):
        main(["history", "check", "h.jsonl", "--last", "0"])
    assert "argument --last: invalid number of runs value: '0'" in capsys.readouterr().err


def test_notes_are_shown(worse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that was cut off is named by `show` and `check`."""
    with worse.open("a") as file:
        file.write('{"modelbench_history": 1, "time"')
    for action in ("show", "check"):
        main(["history", action, "h.jsonl"])
        assert "note: h.jsonl: line 41 is cut off: its writer was ended. It is left out" in capsys.readouterr().out


SUITE = """
import pathlib, pytest
from pytest_modelbench import EvalData, FakeClock, FakeModel

CLOCK = FakeClock()

@pytest.fixture(scope="session")
def teacher_model():
    return FakeModel(cost_ns=1e6, clock=CLOCK)

@pytest.fixture(scope="session")
def student_model():
    return FakeModel(cost_ns=float(pathlib.Path("cost.txt").read_text()), clock=CLOCK)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData([[0.0]] * 20, [0] * 20)
"""
GATE = "import pytest\n@pytest.mark.kpi('latency_p50')\ndef test_gate(): ...\n"


def git(*words: str, **more: Any) -> str:
    """Run git without the user's settings, and return what it prints."""
    settings = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    finished = subprocess.run(["git", *settings, *words], check=True, capture_output=True, text=True, **more)
    return str(finished.stdout.strip())


@pytest.mark.slow
def test_bisect_finds_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_turns: None) -> None:
    """The recipe of docs/history.md, in a repository of six commits, the fourth of which made the student slower."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    git("init", "--quiet")
    Path("conftest.py").write_text(SUITE)
    Path("test_sla.py").write_text(GATE)
    commits = []
    for number, cost in enumerate(("4e5", "4e5", "4e5", "4.5e5", "4.5e5", "4.5e5")):
        Path("cost.txt").write_text(cost)
        Path("number.txt").write_text(str(number))
        git("add", "-A")
        git("commit", "--quiet", "-m", f"commit {number}")
        commits.append(git("rev-parse", "HEAD"))
    before, script = (text.replace("python -m", f"{shlex.quote(sys.executable)} -m") for text in recipe())
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    (tmp_path / "bisect.sh").write_text(script)
    git("checkout", "--quiet", commits[0])
    subprocess.run(["sh", "-c", before], check=True, capture_output=True, env=environment)
    git("bisect", "start", commits[-1], commits[0])
    text = git("bisect", "run", "sh", "../bisect.sh", env=environment)
    assert f"{commits[3]} is the first bad commit" in text, text
    Path("conftest.py").write_text("raise SystemExit")
    finished = subprocess.run(["sh", "../bisect.sh"], check=False, capture_output=True, env=environment)
    assert finished.returncode == 125, "a commit whose suite does not run says nothing"


def recipe() -> tuple[str, str]:
    """Return what the page runs at the good commit, and its script."""
    page = (SRC / "docs" / "history.md").read_text(encoding="utf-8")
    (script,) = re.findall(r'```text title="bisect\.sh"\n(.*?)```', page, re.DOTALL)
    (before,) = re.findall(r"^(python -m pytest .*good\.json.*)$", page, re.MULTILINE)
    return before, script
