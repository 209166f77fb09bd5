"""The report as Markdown: failures in the first ten lines, nothing that breaks a table, and no more than fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from suites import Judge

from pytest_modelbench.reports.markdown import MOST_CHARACTERS, code, markdown, plain

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 0.1 pp", ">= 90%")
@pytest.mark.kpi("parameters", "ratio <= 50%")
def test_ships(): ...

@pytest.mark.kpi("latency_p50", "ratio <= 90%")
def test_speed(): ...

@pytest.mark.kpi("flops", "<= 1 G")
def test_work(): ...
"""


def render(text: str) -> str:
    """Render Markdown with tables, as GitHub does."""
    return str(MarkdownIt("commonmark").enable("table").render(text))


@pytest.fixture
def report(judge: Judge) -> dict[str, Any]:
    """Judge a student with a limit that fails, and write both reports."""
    return judge(SUITE, "--modelbench-markdown=r.md", "--modelbench-threads=1").report


def test_failures_are_in_the_first_ten_lines(report: dict[str, Any]) -> None:
    """Limit, value, interval and the command that reruns the test, as it was called."""
    head = Path("r.md").read_text(encoding="utf-8").splitlines()[:10]
    assert head[:2] == ["<!-- pytest-modelbench -->", "### pytest-modelbench: FAIL"]
    assert "- **FAIL** top1_accuracy of student: limit drop \\<= 0.1 pp, found 1 pp \\[-0.348, 2.98\\] pp" in head
    assert "  `pytest --modelbench --modelbench-threads=1 test_sla.py::test_ships`" in head
    assert report["command"] == "pytest --modelbench --modelbench-threads=1"


def test_every_gate_is_in_a_table(report: dict[str, Any]) -> None:
    """One row for each limit, in a part that unfolds."""
    html = render(Path("r.md").read_text(encoding="utf-8"))
    rows = html.count("<tr>") - 1
    assert rows == sum(max(len(gate["limits"]), 1) for gate in report["gates"])
    assert html.count("<details>") == html.count("</details>") >= 2


def test_only_a_report_of_ours_is_replaced(judge: Judge) -> None:
    """Another file is a mistake before anything is measured; our own is written again."""
    Path("notes.md").write_text("# my notes\n", encoding="utf-8")
    finished = judge(SUITE, "--modelbench-markdown=notes.md")
    assert finished.result.ret == 4
    assert "it exists and is not a Markdown report of pytest-modelbench" in finished.text
    for _ in range(2):
        assert judge(SUITE, "--modelbench-markdown=ours.md").result.ret == 1


def test_what_does_not_fit_is_left_out(report: dict[str, Any]) -> None:
    """The failures stay, and a line says that it is not all."""
    many = {**report, "gates": report["gates"] * 2000}
    text = markdown(many)
    assert len(text) <= MOST_CHARACTERS
    assert "FAIL" in text
    assert text.endswith("This is not all: the JSON report has the rest.\n")
    assert "the JSON report has the rest" not in markdown(report)
    assert len(markdown(report, most=600)) <= 600


def test_an_unfinished_run_says_so(report: dict[str, Any]) -> None:
    """It is no PASS, whatever is known by then."""
    text = markdown({**report, "complete": False, "exit_status": 0})
    assert "### pytest-modelbench: FAIL" in text
    assert "did not come to its end" in text


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_is_shown_as_it_is(name: str) -> None:
    """No name opens a tag, ends a cell, or starts a list."""
    html = render(f"| a | b |\n|---|---|\n| {plain(name)} | {code(name)} |\n")
    assert html.count("<td") == 2
    tags = set(re.findall(r"<(/?\w+)", html))
    assert tags <= {
        f"{end}{tag}" for end in ("", "/") for tag in ("table", "thead", "tbody", "tr", "th", "td", "code")
    }


def test_people_are_not_mentioned() -> None:
    """A text with @name or #1 calls nobody and links nothing."""
    assert plain("@someone in #12") == "@&#8203;someone in #&#8203;12"
