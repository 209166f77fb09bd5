"""A real language model behind an OpenAI-compatible server: the verdicts are those of the model in this process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from language_models import ChatServer, Loaded, save_tiny
from servers import served
from suites import read_report

TOKENS = 8
SUITE = """
import pytest
from language_models import PROMPTS, Loaded
from pytest_modelbench import EvalData, TextFunction

TEACHER = Loaded("{teacher}", {tokens})

@pytest.fixture(scope="session")
def eval_data():
    answers = {{prompt: TEACHER(prompt) for prompt in PROMPTS}}
    answers = {{prompt: answer for prompt, answer in answers.items() if answer.strip()}}
    return EvalData(
        task="text", prompts=list(answers), references=list(answers.values()), max_new_tokens={tokens}
    )

@pytest.fixture(scope="session")
def teacher_model():
    return TextFunction(TEACHER.streamed, TEACHER.tokenizer)

@pytest.mark.kpi("exact_match", ">= 20%", "drop <= 5 pp")
def test_answers(): ...

@pytest.mark.kpi("time_to_first_token_p50", "<= 20 s")
def test_first_token(): ...
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of the teacher and of a student whose weights are a little off."""
    place = tmp_path_factory.mktemp("models")
    return {"teacher": save_tiny(place / "teacher"), "student": save_tiny(place / "student", noise=0.01)}


def judged(pytester: pytest.Pytester, teacher: Path, **students: str) -> dict[str, Any]:
    """Return the gate of each student by its name."""
    pytester.makepyfile(test_sla=SUITE.format(teacher=teacher, tokens=TOKENS))
    options = [f"--modelbench-student={name}={spec}" for name, spec in students.items()]
    finished = pytester.runpytest_inprocess(
        "--modelbench", *options, "--modelbench-json=report.json", "--modelbench-budget=20", "-p", "no:cacheprovider"
    )
    report = read_report(pytester)
    assert report, str(finished.stdout)
    timed = {gate["student"]: gate["verdict"] for gate in report["gates"] if gate["kpi"] != "exact_match"}
    assert set(timed.values()) <= {"pass"}, str(finished.stdout)
    return {gate["student"]: gate for gate in report["gates"] if gate["kpi"] == "exact_match"}


def agree(inside: dict[str, Any], served: dict[str, Any], teacher: dict[str, Any]) -> None:
    """Check that a model has the same verdict inside and served, and the served teacher the best."""
    assert 10 < inside["readings"]["student"]["value"] < 90
    assert (inside["verdict"], teacher["verdict"]) == ("fail", "pass")
    assert teacher["readings"]["student"]["value"] == 100
    apart = {"student": "", "nodeid": "", "notes": []}  # a function does not state why its answers end
    assert {**served, **apart} == {**inside, **apart}


def test_verdicts_are_those_of_the_model_in_this_process(pytester: pytest.Pytester, folders: dict[str, Path]) -> None:
    """Of a student that is as good as its teacher, and of one that is not."""
    pytester.makepyfile(
        inside=f"""
        from language_models import Loaded

        def student():
            return Loaded("{folders["student"]}", {TOKENS}).streamed
        """
    )
    with (
        served(ChatServer(Loaded(str(folders["student"]), TOKENS))) as student,
        served(ChatServer(Loaded(str(folders["teacher"]), TOKENS))) as teacher,
    ):
        gates = judged(
            pytester,
            folders["teacher"],
            inside="inside.py:student",
            served=f"openai://{student}/v1#tiny",
            teacher_served=f"openai://{teacher}/v1#tiny",
        )
    agree(gates["inside"], gates["served"], gates["teacher_served"])


@pytest.mark.slow
def test_transformers_serve(pytester: pytest.Pytester, folders: dict[str, Path]) -> None:
    """The server of transformers ends its streams without [DONE]; its answers are those of `generate`."""
    pytest.importorskip("openai", reason="transformers serve needs it")
    with transformers_serve(folders["student"]) as place:
        gates = judged(pytester, folders["student"], served=f"openai://{place}/v1#{folders['student']}")
    assert gates["served"]["verdict"] == "pass", gates["served"]
    assert gates["served"]["readings"]["student"]["value"] == 100


@contextlib.contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """Run `transformers serve` with a model, and give its `host:port` when it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["serve", str(folder), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    run = f"import sys; sys.argv[1:] = {command}; from transformers.cli.transformers import main; main()"
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen([sys.executable, "-c", run], env=env, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                    break
                time.sleep(0.2)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
