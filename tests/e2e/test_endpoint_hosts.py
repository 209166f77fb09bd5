"""Requests go to this machine only: another host ends the run with exit code 4 before a socket is used."""

from __future__ import annotations

import re

import pytest
from suites import FAKES

BLOCKED = """
import socket

def refuse(*arguments, **options):
    print("a packet was sent")
    raise AssertionError("a packet was sent")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
"""
RESPONSES = ("mean", "p50", "p90", "p95", "p99", "p99_9")
GATES: dict[str, tuple[str, dict[str, str]]] = {
    **{f"response_{name}": ("<= 1 s", {"rate": "10/s"}) for name in RESPONSES},
    "goodput": (">= 1%", {"rate": "10/s", "within": "1 s"}),
    "max_qps": (">= 1/s", {"within": "p99 <= 1 s"}),
    "top1_accuracy": ("drop <= 50 pp", {}),
}
"""Every KPI under load, and one of quality; each with its limit and options."""
SUITE = "import pytest\n" + "\n".join(
    f"@pytest.mark.kpi({kpi!r}, {limit!r}, **{options})\ndef test_{kpi}(): ...\n"
    for kpi, (limit, options) in GATES.items()
)
SPECS = {
    "kserve": "kserve://models.example.com/digits",
    "rest": "rest://10.1.2.3:80/predict",
    "torchserve": "torchserve://models.example.com:8080/digits",
    "openai": "openai://[2001:db8::1]:8000/v1#tiny",
}
TOML = """
[models]
teacher = "models.py:TEACHER"
[models.students]
served = "{spec}"
[data]
eval = "models.py:DATA"
""" + "".join(
    f"[kpi.{kpi}]\nlimits = [{limit!r}]\n" + "".join(f"{name} = {value!r}\n" for name, value in options.items())
    for kpi, (limit, options) in GATES.items()
)
VALUES = {
    "kserve": "'{}'",
    "rest": "RestEndpoint(url='{}')",
    "torchserve": "RestEndpoint(url='{}')",
    "openai": "OpenAIEndpoint(url='{}')",
}


def refused(pytester: pytest.Pytester, *arguments: str) -> str:
    """Run a suite that must end with exit code 4, and return what it printed."""
    finished = pytester.runpytest_inprocess("--modelbench", "-p", "no:cacheprovider", *arguments)
    text = str(finished.stdout) + str(finished.stderr)
    assert finished.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "is not this machine, and nothing was sent to it" in text
    assert "--modelbench-endpoint-allow=" in text
    assert "a packet was sent" not in text
    assert "INTERNALERROR" not in text
    return text


@pytest.fixture
def _blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give sockets back after a suite in this process has blocked them."""
    import socket

    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, getattr(socket, name))
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)


@pytest.mark.usefixtures("_blocked")
@pytest.mark.parametrize("scheme", SPECS)
def test_command_line(pytester: pytest.Pytester, scheme: str) -> None:
    """The option is named."""
    pytester.makeconftest(FAKES + BLOCKED)
    pytester.makepyfile(test_sla=SUITE)
    text = refused(pytester, f"--modelbench-student={SPECS[scheme]}")
    assert re.findall("ERROR: (.*): '", text) == ["--modelbench-student"]


@pytest.mark.usefixtures("_blocked")
@pytest.mark.parametrize("scheme", SPECS)
def test_file(pytester: pytest.Pytester, scheme: str) -> None:
    """The place in modelbench.toml is named."""
    pytester.makeconftest(BLOCKED)
    pytester.makepyfile(models=FAKES + "DATA = EvalData(INPUTS, TARGETS)")
    pytester.path.joinpath("modelbench.toml").write_text(TOML.format(spec=SPECS[scheme]))
    text = refused(pytester, "modelbench.toml")
    assert re.findall("ERROR: (.*): '", text) == ["modelbench.toml:5"]


@pytest.mark.usefixtures("_blocked")
@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("scheme", SPECS)
def test_fixture(pytester: pytest.Pytester, scheme: str, role: str) -> None:
    """Each gate is an error with the message, and the exit code is that of a mistake."""
    value = VALUES[scheme].format(SPECS[scheme].replace("rest://", "http://"))
    fixture = f"@pytest.fixture(scope='session')\ndef {role}_model(): return {value}\n"
    pytester.makeconftest(FAKES + BLOCKED + "from pytest_modelbench import OpenAIEndpoint, RestEndpoint\n" + fixture)
    pytester.makepyfile(test_sla=SUITE)
    kpis = GATES if role == "student" else ["top1_accuracy"]
    text = refused(pytester, "-rEf", "-k", " or ".join(kpis))
    judged = re.findall(rf"^(?:ERROR|FAILED) test_sla.py::test_(\w+) - .*{role}", text, re.MULTILINE)
    assert sorted(judged) == sorted(kpis)


@pytest.mark.slow
def test_fixture_in_a_worker(pytester: pytest.Pytester) -> None:
    """The worker's mistake is the exit code of the controller, which prints it."""
    fixture = "@pytest.fixture(scope='session')\ndef student_model(): return 'rest://10.1.2.3/predict'\n"
    pytester.makeconftest(FAKES + BLOCKED + fixture)
    pytester.makepyfile(test_sla="import pytest\n@pytest.mark.kpi('top1_accuracy', '>= 1%')\ndef test_it(): ...\n")
    finished = pytester.runpytest_subprocess("--modelbench", "-n", "1", "-p", "no:rerunfailures")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    finished.stdout.fnmatch_lines(["ERROR: student_model: 'rest://10.1.2.3/predict': 10.1.2.3 is not this machine*"])
    assert "a packet was sent" not in str(finished.stdout) + str(finished.stderr)
