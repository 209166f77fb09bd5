"""The process that sends to a tracker: it is bounded in time, and nothing that it started outlives it."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest
from full_report import full_report

from pytest_modelbench.grammar.option_values import Destination, destinations
from pytest_modelbench.options import TRACKERS
from pytest_modelbench.reports.trackers.sending import Sent, send

MODULE = """
import subprocess, sys, time
from pytest_modelbench.extend import Tracker

def send(shipment):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("helper.txt", "w").write(str(helper.pid))
    {body}
    yield "there"

TRACKER = Tracker(title="Fake", package="json", install="", send=send, amiss=lambda where: None)
"""


def sent(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch, limit_s: float = 30.0) -> Sent:
    """Send to a tracker that starts a helper and then does something."""
    (folder / "fake_tracker.py").write_text(MODULE.format(body=body), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(full_report("small")), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
    monkeypatch.delitem(sys.modules, "fake_tracker", raising=False)
    return send(folder / "report.json", Destination(name="fake", module="fake_tracker"), limit_s, folder)


def is_running(folder: Path) -> bool:
    """Whether the helper still runs; its end may be a moment away."""
    number = int((folder / "helper.txt").read_text())
    for _ in range(50):
        if not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("body", "ok"), [("pass", True), ("time.sleep(600)", False), ("raise OSError('gone')", False)]
)
def test_helpers_of_a_tracker_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, ok: bool
) -> None:
    """W&B starts a service, which would hold the pipes of a CI job open."""
    assert sent(tmp_path, body, monkeypatch, limit_s=4.0).ok is ok
    assert not is_running(tmp_path)


def test_tracker_that_has_taken_all_and_does_not_end_has_taken_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that it leaves behind is not waited for."""
    body = "import threading; threading.Thread(target=time.sleep, args=(600,)).start()"
    start = time.monotonic()
    assert sent(tmp_path, body, monkeypatch) == Sent(ok=True, text="Fake: 1 run there")
    assert time.monotonic() - start < 25


def test_interrupt_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches this process only, which ends the other."""

    def interrupt(_: float) -> None:
        if (tmp_path / "helper.txt").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(send, "__defaults__", (None, interrupt))
    with pytest.raises(KeyboardInterrupt):
        sent(tmp_path, "time.sleep(600)", monkeypatch)
    assert not is_running(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow itself would wait for two minutes, several times."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    (tmp_path / "report.json").write_text(json.dumps(full_report("small")), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (place,) = destinations(TRACKERS)(f"mlflow:http://127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        answer = send(tmp_path / "report.json", place, 6.0, tmp_path)
        assert time.monotonic() - start < 30
        connection, _ = server.accept()  # it did ask
        connection.close()
    assert answer == Sent(ok=False, text="MLflow did not take the report: it did not answer within 6 s")
