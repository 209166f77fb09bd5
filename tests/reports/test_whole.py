"""A report says whether its run came to its end, whatever exit code its process had."""

from __future__ import annotations

import platform

import pytest
from suites import Judge

from pytest_modelbench.commands.cli import main

GATE = "import pytest\n@pytest.mark.kpi('parameters', '<= {}')\ndef test_gate(): ...\n"


def check(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["check", "report.json"])
    return code, "".join(capsys.readouterr())


def test_whole_run_that_passed(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 only then."""
    judge(GATE.format("50k"))
    code, text = check(capsys)
    assert code == 0, text


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        (GATE.format("5k"), "the run failed (exit status 1)"),
        (GATE.format("50k").replace("def", "@pytest.mark.skip('later')\ndef"), "1 of 1 gates were not run"),
        ("def test_plain(): ...", "no gate was collected"),
    ],
)
def test_run_that_did_not_pass(judge: Judge, capsys: pytest.CaptureFixture[str], tests: str, words: str) -> None:
    """Exit code 1 and the reason."""
    judge(tests)
    code, text = check(capsys)
    assert code == 1
    assert words in text


def test_process_that_ended_past_pytest(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """What makes the system call itself is seen by nobody in the process: exit code 0, and a report that is not whole."""
    leaves = "import ctypes\ndef test_leaves(): ctypes.CDLL(None)._exit(0)\n"
    finished = judge(GATE.format("5k") + leaves, process=True)
    assert finished.result.ret == 0
    assert check(capsys) == (
        1,
        "report.json: the run did not come to its end: something ended its process while tests ran\n",
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's exit() can be watched")
def test_c_library_that_ends_the_process(judge: Judge) -> None:
    """The C library's exit() is no green run, whatever its status; what was judged before is on the disk."""
    leaves = "import ctypes\ndef test_leaves(): ctypes.CDLL(None).exit(0)\n"
    finished = judge(GATE.format("50k") + leaves, process=True)
    assert finished.result.ret == 1
    assert "the C library's exit() was called" in finished.text
    assert finished.report["complete"] is False
    assert finished.gate("parameters")["verdict"] == "pass"


def test_missing_report(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake of its own: exit code 2."""
    assert pytester.path.exists()
    code, text = check(capsys)
    assert code == 2
    assert "cannot read report.json" in text
