"""The summary as a person sees it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.grammar.formats import format_interval
from pytest_modelbench.plugin.summary import Terminal
from pytest_modelbench.reports.terminal import render_summary

SUITE = """
import pytest

@pytest.mark.kpi("negative_flip_rate", "<= 30%")
@pytest.mark.kpi("top1_accuracy", ">= 90%", "drop <= 2 pp")
@pytest.mark.kpi("mcnemar_p")
def test_quality(): ...

@pytest.mark.kpi("latency_p50", "<= 5 ms", "reduction >= 50%")
@pytest.mark.kpi("throughput", ">= 1000 samples/s")
def test_speed(): ...

@pytest.mark.kpi("nonzero_parameters", "reduction >= 95%")
@pytest.mark.kpi("size_on_disk", "<= 50 kB")
def test_size(): ...
"""
TWO = """
@pytest.fixture(scope="session", params=["distilled", "int8"])
def student_model(request):
    return student(outputs=answers(4 if request.param == "int8" else 60))
"""


def block(text: str) -> list[str]:
    """Return the lines of our part of the output."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "= modelbench =" in line)
    stop = next(i for i, line in enumerate(lines) if re.match(r"[\d,]+ gates?: ", line))
    return lines[start + 1 : stop + 1]


def tables(lines: list[str]) -> list[str]:
    """Return the lines of the students' tables alone."""
    ends = ("timed ", "FAIL ", "ERROR ", "INCONCLUSIVE ", "NO BASELINE ", "N/A ", "students against")
    return lines[: next((i for i, line in enumerate(lines) if line.startswith(ends)), -1)]


def test_table_fits_eighty_columns_and_loses_nothing(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a CI log of 80 columns every name, value, target and verdict is whole."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = block(judge(SUITE, more=TWO).text)
    table = tables(lines)
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(lines)
    words = " ".join(" ".join(table).split())
    for part in ("negative_flip_rate", "nonzero_parameters", "throughput", "/s", "40 kB", "100,000", "95%"):
        assert part in words
    for pillar in ("quality", "efficiency", "footprint"):
        assert table.count(pillar) == 2


LONG = """
import pytest

@pytest.mark.kpi("demographic_parity_difference", "ratio <= 5", "difference <= 15.25 pp", positive=3)
@pytest.mark.kpi("equalized_odds_ratio_drift", ">= -0.125", positive=3, min_n=5)
@pytest.mark.kpi("weak_slice_drop", "<= 10 pp")
@pytest.mark.kpi("class_drop", "<= 10 pp", "regression <= 5%", confidence=0.95)
def test_all(): ...
"""
GROUPS = """
@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, TARGETS, sensitive={"sex": np.array(["a", "b"])[np.arange(ROWS) // 10 % 2]})
"""
BEFORE = "\n@pytest.fixture(scope='session')\ndef previous_model():\n    return student(outputs=answers(9))\n"


@pytest.mark.parametrize(("columns", "before"), [("80", ""), ("100", ""), ("60", ""), ("80", BEFORE)])
def test_long_names_cost_no_evidence(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, columns: str, before: str
) -> None:
    """Names fold where their words end; where even that is not enough, the table is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", columns)
    finished = judge(LONG, more=GROUPS + before)
    table = tables(block(finished.text))
    if columns != "60":
        assert max(map(len, table)) <= int(columns) + 10 * bool(before)
    words = " ".join(table).split()
    for limit in (limit for gate in finished.report["gates"] for limit in gate["limits"]):
        assert set(limit["text"].split()) <= set(words)
        if limit["ci_low"] is not None and limit["ci_high"] is not None:
            told = format_interval(limit["ci_low"], limit["ci_high"], limit["unit"])
            assert any(told in line for line in table)  # whole, in one line


def test_many_edge_cases_cost_no_evidence(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their count may be the widest value of its column; a name without an end of a word is cut anywhere."""
    monkeypatch.setenv("COLUMNS", "72")
    suite = (
        LONG
        + """
@pytest.mark.parametrize("again", range(30))
@pytest.mark.edge_case("zeros", "ones", "constant", "batch-1")
def test_edges(student, edge_case, again): ...

@pytest.mark.kpi("averyveryverylongnamewithoutanyendofaword", "<= 1", better="lower", unit="")
def test_own(kpi):
    kpi.record(student=1)
"""
    )
    lines = block(judge(suite, more=GROUPS).text)
    assert any("[-6.39, 16.7]" in line for line in lines)
    assert any("120 of 120" in line for line in lines)


def test_rows_are_grouped_by_pillar_under_their_student(judge: Judge) -> None:
    """One block for each student, pillars in their order, a row for each limit."""
    lines = block(judge(SUITE, more=TWO).text)
    heads = [line.split(" (")[0] for line in lines if "against its teacher" in line]
    assert heads == ["distilled", "int8"]
    first = lines[: next(i for i, line in enumerate(lines) if line.startswith("int8"))]
    assert [line for line in first if line in {"quality", "efficiency", "footprint"}] == [
        "quality",
        "efficiency",
        "footprint",
    ]
    assert sum("PASS" in line or "FAIL" in line for line in first) == 8
    assert sum("REPORTED" in line for line in first) == 1


def test_what_failed_and_why_follows_the_tables(judge: Judge) -> None:
    """Each cause is told in one line below, with its gates, then the totals."""
    lines = block(judge(SUITE, more=TWO).text)
    start = next(i for i, line in enumerate(lines) if line.startswith("FAIL "))
    assert lines[start].startswith("FAIL top1_accuracy of distilled: >= 90% does not hold: 70% [")
    assert lines[start + 1 :] == [
        "FAIL 2 gates: reduction >= 95% does not hold: 90%",
        "    nonzero_parameters of distilled, int8",
        "14 gates: 3 fail, 9 pass, 2 reported",
    ]


def test_no_colour_in_a_log_and_colour_on_a_terminal(judge: Judge) -> None:
    """Escape codes only where the terminal shows them."""
    assert "\x1b[" not in judge(SUITE).text
    assert "\x1b[32mPASS" in judge(SUITE, "--color=yes").text


ODD = """
import pytest

@pytest.mark.kpi("clicks", "<= 1", better="lower", unit="")
def test_own(kpi):
    kpi.record(student=2)

@pytest.mark.kpi("latency_p50", "<= 1 us")
def test_time(): ...

@pytest.mark.kpi("top1_accuracy")
def test_error(student):
    raise ValueError("boom")
"""
LABELLED = """
@pytest.fixture(scope="session", params=[1, 2], ids=["a\x1b[31m", "中"])
def student_model(request):
    return student()
"""


@pytest.mark.parametrize("columns", ["0", "1", "20", "abc"])
def test_odd_terminals_and_names(judge: Judge, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """A terminal without columns has a table as well, and nothing that it would obey reaches it."""
    monkeypatch.setenv("COLUMNS", columns)
    text = judge(ODD, more=LABELLED).text
    assert "INTERNALERROR" not in text
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "clicks of a\\x1b[31m: FAIL: <= 1 does not hold: 2" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_of_other_encodings(judge: Judge, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """What they lack is replaced, in the same columns."""
    monkeypatch.setattr(Terminal, "encoding", encoding)
    lines = block(judge(ODD, more=LABELLED).text)
    "\n".join(lines).encode(encoding)
    assert any("400 us" in line or "400 µs" in line for line in lines)


def test_a_value_without_a_limit_is_reported(judge: Judge) -> None:
    """Neither a pass nor a failure: a word and a count of its own, and strict sessions do not mind."""
    finished = judge(SUITE, "--modelbench-strict", more="STUDENT = student(nonzero=4_000)\n")
    assert finished.gate("mcnemar_p")["verdict"] == "reported"
    assert finished.gate("mcnemar_p")["outcome"] == "passed"
    assert finished.report["summary"]["reported"] == 1
    lines = block(finished.text)
    (row,) = [line for line in lines if line.startswith(" mcnemar_p")]
    assert "no limit  " in row
    assert " REPORTED" in row
    assert lines[-1] == "7 gates: 6 pass, 1 reported"
    finished.result.assert_outcomes(passed=3)


def test_a_cause_of_many_gates_is_told_once(judge: Judge) -> None:
    """By the item that meets it, and once by the summary."""
    broken = "@pytest.fixture(scope='session')\ndef student_model():\n    raise OSError('no weights')\n"
    lines = block(judge(SUITE, more=broken).text)
    assert sum("no weights" in line for line in lines) == 1
    assert "ERROR 7 gates: set-up failed: OSError: no weights" in lines


def test_estimates_are_marked_wherever_they_are_shown() -> None:
    """In the table and beside the evidence, the teacher's value too."""
    reading = {
        "value": 2.0,
        "unit": "Wh",
        "ci_low": 1.9,
        "ci_high": 2.1,
        "confidence": 0.95,
        "n": 3,
        "provenance": "modelled",
        "method": "",
    }
    limit = {
        "text": "reduction >= 50%",
        "verdict": "pass",
        "value": 0.6,
        "unit": "fraction",
        "ci_low": 0.5,
        "ci_high": 0.7,
        "n": 3,
        "weak": False,
        "needed_n": None,
        "reason": "",
    }
    gate = {
        "kpi": "energy_per_1k",
        "pillar": "footprint",
        "student": "s",
        "verdict": "pass",
        "reason": "",
        "targets": ["reduction >= 50%"],
        "options": {},
        "limits": [limit],
        "readings": {"teacher": {**reading, "value": 5.0}, "student": reading, "baseline": None},
    }
    report: dict[str, Any] = {
        "gates": [gate],
        "tests": [],
        "models": {"students": {}},
        "timings": [],
        "diagnosis": [],
        "tradeoff": None,
        "distillation": None,
    }
    text = render_summary(report, width=120, colour=False)
    assert " ".join(text.splitlines()[-1].split()) == (
        "energy_per_1k ~5 Wh ~2 Wh reduction >= 50% PASS ~60% [50, 70]% n=3 modelled"
    )


def test_no_progress_in_a_log(judge: Judge) -> None:
    """A long measurement leaves no trace of its progress where nobody watches."""
    finished = judge(SUITE, more="\nSTUDENT = student(cost_ns=3e8)\n")
    assert "of at most" not in finished.text


def test_progress_is_shown_on_a_terminal(judge: Judge) -> None:
    """Where somebody watches, a measurement of more than two seconds says how far it is."""
    finished = judge(
        SUITE,
        more="""
STUDENT = student(cost_ns=3e8)

def pytest_sessionstart(session):
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    reporter.isatty = type(reporter.isatty)(True)
""",
    )
    assert "modelbench: timing student and teacher, batch size 1: " in finished.text
