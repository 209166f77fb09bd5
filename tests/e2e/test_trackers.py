"""Result trackers at the end of a session, which no tracker can break: --modelbench-log, and `report --log`."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suites import FAKES, Judge, read_report

from pytest_modelbench.commands.cli import main
from pytest_modelbench.options import TRACKERS
from pytest_modelbench.reports.trackers import sending

GATE = """
import pytest

@pytest.mark.kpi("parameters", "<= 50k")
def test_gate(): ...
"""
FAILING = GATE.replace("50k", "5k")
TRACKER = """
import json, os, sys, time
from pathlib import Path
from pytest_modelbench.reports.trackers.tracker import Tracker

def send(shipment):
    where = shipment.where
    for run in shipment.runs:
        {body}
        with open("sent.jsonl", "a") as file:
            values = {{".".join(key): metric.value for key, metric in run.metrics.items()}}
            file.write(json.dumps([run.student, run.verdict, run.complete, values, dict(run.tags), where]) + "\\n")
        yield f"at {{where or 'home'}}"

TRACKER = Tracker(title="Fake", package="{package}", install="pip install fake", send=send, amiss=lambda where: None)
"""
OFFER = """
def pytest_modelbench_trackers():
    return {"fake": "fake_tracker"}
"""
"""What a conftest.py has whose tracker other processes know too."""
Fake = Callable[..., None]


@pytest.fixture
def fake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Offer a tracker `fake` that does something before it takes a run."""
    folder = pytester.mkdir("trackers")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
    monkeypatch.setitem(TRACKERS, "fake", "fake_tracker")
    monkeypatch.setattr(sending, "EACH_S", 0.0)

    def write(body: str = "pass", package: str = "json") -> None:
        (folder / "fake_tracker.py").write_text(TRACKER.format(body=body, package=package), encoding="utf-8")
        sys.modules.pop("fake_tracker", None)

    return write


def sent(folder: Path) -> list[Any]:
    """Return what the tracker took, run by run."""
    path = folder / "sent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_session_sends_its_report(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """Each destination once, from the folder that pytest was started in; the summary says where it is."""
    fake()
    finished = judge(GATE, "--modelbench-log=fake,fake:there", "--modelbench-log=fake")
    assert finished.result.ret == 0
    assert [line[5] for line in sent(pytester.path)] == ["", "there"]
    assert finished.text.count("Fake: 1 run at home\n") == 1
    assert "Fake: 1 run at there\n" in finished.text
    student, verdict, complete, values, tags, _ = sent(pytester.path)[0]
    assert (student, verdict, complete) == ("student", "pass", True)
    assert values == {"parameters": 10_000, "parameters.margin": 40_000}
    assert tags["modelbench.exit_status"] == "0"


def test_ini_value_is_used(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """One destination a line."""
    fake()
    pytester.makeini("[pytest]\nmodelbench_log =\n    fake:a\n    fake:b\n")
    assert judge(GATE).result.ret == 0
    assert [line[5] for line in sent(pytester.path)] == ["a", "b"]


def test_command_sends_the_same_values(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """The JSON report alone has everything that the session logs."""
    fake()
    judge(FAILING, "--modelbench-log=fake")
    assert main(["report", "report.json", "--log", "fake"]) == 0
    first, second = sent(pytester.path)
    assert first == second


FAILURES = [
    ("raise ConnectionError('refused by http://me:secret@host')", "ConnectionError: refused by http://***@host"),
    ("raise SystemExit(0)", "SystemExit: 0"),
    (
        "print('the last words'); sys.stdout.flush(); os._exit(0)",
        "its process ended with exit code 0: the last words",
    ),
    ("os.kill(os.getpid(), 11)", "its process ended with SIGSEGV"),
    ("time.sleep(600)", "it did not answer within 3 s"),
]


@pytest.mark.parametrize(("body", "why"), FAILURES, ids=["raises", "exits", "ends", "crashes", "hangs"])
@pytest.mark.parametrize(("suite", "status"), [(GATE, 0), (FAILING, 1)], ids=["pass", "fail"])
def test_failing_tracker_changes_nothing(
    judge: Judge, fake: Fake, monkeypatch: pytest.MonkeyPatch, body: str, why: str, suite: str, status: int
) -> None:
    """The exit status is that of the tests, the report is whole, and one line says why and how to send it later."""
    fake(body)
    monkeypatch.setattr(sending, "FIRST_S", 3.0)
    start = time.monotonic()
    finished = judge(suite, "--modelbench-log=fake:a b")
    assert time.monotonic() - start < 60
    assert finished.result.ret == finished.report["exit_status"] == status
    assert finished.report["complete"]
    (line,) = [line for line in finished.text.splitlines() if "--modelbench-log" in line]
    again = "Send it later: python -m pytest_modelbench report report.json --log 'fake:a b'"
    assert line == f"ERROR: --modelbench-log=fake:a b: Fake did not take the report: {why}. {again}"


def test_what_was_not_sent_can_be_sent_later(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """By the command that the summary names, also without --modelbench-json."""
    fake("raise ConnectionError('refused')")
    pytester.makeconftest(FAKES)
    pytester.makepyfile(test_sla=GATE)
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-log=fake", "-p", "no:cacheprovider")
    assert result.ret == 0
    (line,) = [line for line in result.outlines if line.startswith("ERROR: --modelbench-log")]
    command = shlex.split(line.partition("python -m pytest_modelbench ")[2])
    assert command[1].startswith("modelbench-unsent-")
    assert read_report(pytester, command[1])["gates"][0]["verdict"] == "pass"
    fake()
    assert main(command) == 0
    assert [line[:3] for line in sent(pytester.path)] == [["student", "pass", True]]


def test_runs_that_arrived_are_counted(judge: Judge, fake: Fake) -> None:
    """A tracker that breaks off after some students."""
    fake("if run.student == 'b': raise ConnectionError('gone')")
    more = """
@pytest.fixture(scope="session", params=["a", "b"])
def student_model(request):
    return student()
"""
    finished = judge(GATE, "--modelbench-log=fake", more=more)
    assert "Fake did not take the report after 1 of 2 runs: ConnectionError: gone." in finished.text


def test_interrupted_sending_loses_nothing(
    judge: Judge, fake: Fake, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    """Ctrl-C while a tracker hangs: the others are left out too, and every command is named."""
    fake("time.sleep(600)")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_modelbench.plugin.progress.ProgressLine.show", interrupt)
    finished = judge(GATE, "--modelbench-log=fake:a,fake:b")
    assert finished.result.ret == 0
    assert "ERROR: --modelbench-log=fake:a: sending was interrupted. Send it later: " in finished.text
    assert "ERROR: --modelbench-log=fake:b: an earlier one was interrupted. Send it later: " in finished.text
    assert sent(pytester.path) == []


def test_interrupted_session_is_sent_and_marked(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """What was judged until then."""
    fake()
    del TRACKERS["fake"]
    suite = f"{GATE}\ndef test_later():\n    raise KeyboardInterrupt\n{GATE.replace('test_gate', 'test_never')}"
    finished = judge(suite, "--modelbench-log=fake", more=OFFER, process=True)
    assert finished.result.ret == pytest.ExitCode.INTERRUPTED
    ((_, verdict, complete, values, tags, _),) = sent(pytester.path)
    assert (verdict, complete, values["parameters"]) == ("pass", False, 10_000)
    assert tags["modelbench.exit_status"] == "2"


def test_only_the_controller_sends(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """Workers of pytest-xdist have a part of the session each."""
    fake()
    del TRACKERS["fake"]
    two = GATE + '\n@pytest.mark.kpi("sparsity")\ndef test_other(): ...\n'
    finished = judge(two, "--modelbench-log=fake", "-n", "2", more=OFFER)
    assert finished.result.ret == 0, finished.text
    ((_, _, _, values, _, _),) = sent(pytester.path)
    assert {"parameters", "sparsity"} <= set(values)


@pytest.mark.parametrize(
    ("offer", "told"),
    [
        ("{'wandb': 'fake_tracker'}", "there is a tracker 'wandb' already. Give it another name"),
        ("{'other': 7}", "tracker 'other' is 7, expected the name of a module"),
        ("['fake_tracker']", "returned ['fake_tracker'], expected modules by name"),
        (
            "{'other': 'not_there'}",
            "--modelbench-log=other: not_there cannot be read: ModuleNotFoundError: No module named 'not_there'",
        ),
        (
            "{'other': 'json'}",
            "--modelbench-log=other: json has TRACKER None, expected a pytest_modelbench.extend.Tracker",
        ),
    ],
)
def test_mistake_of_an_extension_is_named(judge: Judge, offer: str, told: str) -> None:
    """It is one message with who brings it, before anything is measured."""
    more = f"def pytest_modelbench_trackers():\n    return {offer}\n"
    finished = judge(GATE, "--modelbench-log=other", more=more)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in finished.text
    assert "Traceback" not in finished.text


@pytest.mark.parametrize("option", ["--modelbench-plan", "--collect-only"])
def test_session_that_judges_nothing_sends_nothing(
    judge: Judge, fake: Fake, pytester: pytest.Pytester, option: str
) -> None:
    """There is nothing to log."""
    fake()
    judge(GATE, "--modelbench-log=fake", option)
    assert sent(pytester.path) == []


def test_session_without_a_run_gate_says_so(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """All tests are skipped: a tracker has no empty run."""
    fake()
    finished = judge(GATE.replace("def test", "@pytest.mark.skip\ndef test"), "--modelbench-log=fake")
    assert "Fake: no gate was run, so no run was logged" in finished.text
    assert sent(pytester.path) == []


def test_missing_package_is_a_mistake_before_anything_is_measured(judge: Judge, fake: Fake) -> None:
    """Exit code 4, and the command that installs it."""
    fake(package="surely_not_installed")
    finished = judge(GATE, "--modelbench-log=fake:there")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --modelbench-log=fake: Fake is not installed. Run: pip install fake" in finished.text
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"not_run"}


def test_session_with_a_mistake_starts_no_process(judge: Judge, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """It judged nothing."""
    fake()
    asked: list[object] = []
    monkeypatch.setattr(sending, "send", lambda *arguments: asked.append(arguments))
    finished = judge(GATE.replace("50k", "50 parrots"), "--modelbench-log=fake")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert asked == []


def test_folder_of_runs_is_not_the_package(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """W&B keeps its runs in ./wandb, which Python could import as a namespace."""
    fake(package="kept_runs")
    (pytester.path / "kept_runs").mkdir()
    pytester.syspathinsert()
    assert "Fake is not installed" in judge(GATE, "--modelbench-log=fake").text


def test_tracker_is_asked_for_nothing_without_the_option(judge: Judge, fake: Fake) -> None:
    """Its module is not even read."""
    fake("raise AssertionError")
    assert judge(GATE).result.ret == 0
    assert "fake_tracker" not in sys.modules


def test_password_of_an_address_is_in_no_file(judge: Judge, fake: Fake, pytester: pytest.Pytester) -> None:
    """The report has the address without it; the tracker gets it."""
    fake()
    finished = judge(GATE, "--modelbench-log=fake:http://me:secret@host/a")
    assert finished.report["settings"]["log"] == ["fake:http://***@host/a"]
    assert [line[5] for line in sent(pytester.path)] == ["http://me:secret@host/a"]
    (pytester.path / "sent.jsonl").unlink()
    assert not [path for path in pytester.path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_command_that_fails_exits_with_1(judge: Judge, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """And one line says why."""
    fake("raise ConnectionError('refused')")
    judge(GATE)
    capsys.readouterr()
    assert main(["report", "report.json", "--log", "fake:a"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "pytest_modelbench: --log=fake:a: Fake did not take the report: ConnectionError: refused. "
        "Send it again: python -m pytest_modelbench report report.json --log fake:a\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report: write --html PATH, --log NAME[:WHERE], or both"),
        (
            ["--log", "mlfow"],
            "--log: found 'mlfow', expected NAME or NAME:WHERE, separated by commas, with NAME one of mlflow, wandb, tensorboard, such as mlflow:sqlite:///mlflow.db",
        ),
    ],
)
def test_mistake_of_the_command_exits_with_2(
    judge: Judge, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """One line that says what to write."""
    judge(GATE)
    capsys.readouterr()
    assert main(["report", "report.json", *arguments]) == 2
    assert capsys.readouterr().err == f"pytest_modelbench: {message}\n"


def test_file_that_is_no_report_is_not_sent(
    fake: Fake, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a mistake, found before a tracker is asked."""
    fake("raise AssertionError")
    (pytester.path / "other.json").write_text("{}")
    assert main(["report", "other.json", "--log", "fake"]) == 2
    assert "other.json is not a report of pytest-modelbench" in capsys.readouterr().err
