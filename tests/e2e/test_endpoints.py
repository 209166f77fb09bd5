"""A student behind an endpoint, judged against a local teacher in a real run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from servers import InferenceServer, served
from suites import FAKES, read_report

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", ">= 95%", "drop <= 3 pp")
@pytest.mark.kpi("agreement", ">= 95%")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("latency_p50", "<= 20 s")
def test_served(): ...

@pytest.mark.kpi("parameters", "<= 1M")
@pytest.mark.kpi("size_on_disk", "<= 1 MB")
def test_size(): ...
"""


def answers(rows: np.ndarray) -> np.ndarray:
    """Return the logits of the teacher of `FAKES`, with two other samples wrong."""
    at = rows[:, 0].astype(int)
    return np.eye(10, dtype=np.float32)[np.where(at == 7, 0, at % 10)]


def test_student_behind_an_endpoint(pytester: pytest.Pytester) -> None:
    """Quality, agreement and latency are judged; what only the server knows is not applicable, with the reason."""
    pytester.makeconftest(FAKES.replace("cost_ns=1e6, clock=CLOCK, ", ""))
    pytester.makepyfile(test_sla=SUITE)
    with served(InferenceServer(answers, 1)) as place:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=kserve://{place}/digits", "--modelbench-json=report.json",
            "--modelbench-budget=20", "-p", "no:cacheprovider",
        )  # fmt: skip
    report = read_report(pytester)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in report["gates"]}
    assert verdicts == {
        **dict.fromkeys(("top1_accuracy", "agreement", "nonfinite_outputs", "latency_p50"), "pass"),
        **dict.fromkeys(("parameters", "size_on_disk"), "not_applicable"),
    }, str(finished.stdout)
    told = report["models"]["students"]["student"]
    assert told["tensors"] == "binary"
    assert told["calls"]["server_compute_ms"] > 0


@pytest.mark.parametrize("spec", ["kserve://models.example.com/digits", "rest://10.1.2.3:80/predict"])
def test_another_host_is_a_mistake_before_anything_is_sent(pytester: pytest.Pytester, spec: str) -> None:
    """Exit code 4, and no socket was connected or looked up."""
    pytester.makeconftest(
        FAKES + "import socket\ndef refuse(*a, **k): raise SystemExit('a packet was sent')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
    )
    pytester.makepyfile(test_sla=SUITE)
    finished = pytester.runpytest_subprocess("--modelbench", f"--modelbench-student={spec}", "-p", "no:cacheprovider")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    host = spec.split("/")[2].partition(":")[0]
    finished.stderr.fnmatch_lines(
        [f"*--modelbench-student: '{spec}': {host} is not this machine, and nothing was sent to it.*"]
    )
    assert "a packet was sent" not in str(finished.stdout) + str(finished.stderr)


def test_a_page_in_the_place_of_outputs_is_an_error_of_each_gate(pytester: pytest.Pytester) -> None:
    """Exit code 1 and one message with the URL, the status and what came; no traceback."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/html"), (b"content-length", b"19")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html>log in</html>"})

    pytester.makeconftest(FAKES.replace("cost_ns=1e6, clock=CLOCK, ", ""))
    pytester.makepyfile(test_sla=SUITE)
    with served(page) as place:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=rest://{place}/predict", "--modelbench-budget=2",
            "-p", "no:cacheprovider",
        )  # fmt: skip
    assert finished.ret == pytest.ExitCode.TESTS_FAILED
    text = str(finished.stdout) + str(finished.stderr)
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    finished.stdout.fnmatch_lines(
        [f"*student at http://{place}/predict: *status 200, content type text/html, body <html>log in*"]
    )
