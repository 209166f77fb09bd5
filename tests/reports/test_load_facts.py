"""The facts of a load as texts: a table for the terminal, lines for Markdown, and the next step."""

from __future__ import annotations

from typing import Any

import pytest
from full_report import limit, load_facts, load_gates, loaded_report

from pytest_modelbench.reports.load_facts import facts_table, load_lines, load_table, next_steps
from pytest_modelbench.reports.markdown import markdown

Json = dict[str, Any]


def response(*limits: Json, **facts: Any) -> Json:
    gate = load_gates("small")[0]
    gate["breakdown"][0] |= facts
    return {**gate, "limits": list(limits) or gate["limits"]}


def test_a_table_for_the_terminal() -> None:
    """A row for each model or rate, what is said of it below, in as many columns as the terminal has."""
    passed = {**load_gates("small")[0], "verdict": "pass"}
    lines = list(load_table([*load_gates("small"), passed], width=80, colour=False))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "response_p99 at 100/s of small" in " ".join(text.split())
    assert text.count("  student ") == 1
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    assert rows["teacher"] == ["100/s", "99/s", "50%", "9", "ms", "50", "ms", "100", "µs", "12"]
    assert "20% [10, 40]% over the bound: does not hold" in text
    assert list(load_table([passed], width=80, colour=False)) == []


def test_equal_loads_are_one_row() -> None:
    """Two gates of one measurement are named together."""
    gates = [response(), {**response(), "kpi": "response_p50"}]
    text = " ".join(" ".join(load_table(gates, width=100, colour=False)).split())
    assert "response_p99 at 100/s and response_p50 at 100/s of small" in text
    assert text.count("teacher") == 1


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({"utilisation": 0.999}, "it can serve about 200/s: make calls faster"),
        ({"errors": 4}, "requests that fail are over every bound"),
        ({"measured_p99_ms": 80.0}, "most of the p99 is waiting (72 ms of 80 ms)"),
        ({"measured_p99_ms": 9.0}, "calls alone take 8 ms (p99)"),
        ({"measured_p99_ms": None}, "calls alone take 8 ms (p99)"),
    ],
)
def test_the_next_step_of_a_failure(facts: Json, step: str) -> None:
    """Too many requests, failures, waiting, or calls that are slow by themselves."""
    (told,) = next_steps(response(**facts))
    assert told.startswith(step)


def test_the_next_step_of_what_is_open() -> None:
    """How long a measurement would decide it."""
    open_limit = limit("<= 50 ms", "inconclusive", 48.0, "ms", threshold=50.0, needed_seconds=280.0)
    assert list(next_steps(response(open_limit))) == [
        "about 280 s of measurement would decide it (--modelbench-budget)"
    ]


def test_lines() -> None:
    """One for each model, with what went wrong; nothing for a gate that passed."""
    first, second, *_ = load_lines(response(errors=3, mean_batch=2.5, workers=4, client_busy=0.125))
    assert first == (
        "student: answered 99/s of 100/s, 50% busy, p99 of calls 8 ms, of responses 50 ms, backlog up to 12, "
        "generator late by 100 µs (p99), 3 failed, 2.5 requests a call, "
        "4 workers, sending takes 12% of a processor"
    )
    assert second.startswith("teacher: ")
    assert list(load_lines({**response(), "verdict": "pass"})) == []
    without = {key: value for key, value in load_facts("student", 100.0).items() if key != "measured_p99_ms"}
    (line, *_) = load_lines({**response(), "breakdown": [without]})
    assert "of responses no end" in line


def test_all_facts() -> None:
    """Each has a row, with its unit; what no model has is left out."""
    columns, rows = facts_table(response(first_error="a bad row"))
    assert columns == ["", "student", "teacher"]
    by_name = {name: cells for name, *cells in rows}
    assert by_name["utilisation"] == ["50%", "50%"]
    assert by_name["first error"] == ["a bad row", ""]
    assert by_name["workers, or connections"] == ["1", "1"]
    assert by_name["seed"] == ["0", "0"]
    assert "share over the bound" not in by_name
    assert {name: cells for name, *cells in facts_table(load_gates("small")[1])[1]}["share over the bound"][0] == (
        "0.1% [0.05, 0.2]% over the bound: holds"
    )


def test_markdown() -> None:
    """The lines are below the limit that failed; the tables name the rate."""
    text = markdown(loaded_report("small"))
    assert "response_p99 at 100/s of small: limit" in text
    assert "  - teacher: answered 99/s of 100/s" in text
    assert "| response_p99 at 100/s |" in text
