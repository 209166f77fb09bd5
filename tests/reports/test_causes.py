"""What failed and why, each cause once; and what would decide more."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modelbench.reports.causes import advice_lines, cause_lines


def gate(kpi: str, verdict: str = "error", reason: str = "no such file", student: str = "int8", **limit: Any) -> Any:
    needs = {"verdict": verdict, "needed_seconds": None, "needed_n": None, **limit}
    return {"kpi": kpi, "student": student, "verdict": verdict, "reason": reason, "limits": [needs]}


def told(*gates: Any) -> list[str]:
    return list(cause_lines(gates, width=60, colour=False))


def test_a_cause_is_told_once_with_its_gates() -> None:
    """Six gates that one fixture's error stops are two lines."""
    assert told(*(gate(f"kpi_{i}") for i in range(6))) == [
        "ERROR 6 gates: no such file",
        "    kpi_0, kpi_1, kpi_2, kpi_3, kpi_4, kpi_5 of int8",
    ]


def test_students_with_the_same_gates_are_named_together() -> None:
    """Others have a line of their own; many are counted."""
    gates = [gate(kpi, student=f"s{i}") for i in range(20) for kpi in ("a", "b")]
    found = told(*gates, gate("c", student="other"))
    assert found[0] == "ERROR 41 gates: no such file"
    assert " ".join(" ".join(found[1:]).split()) == (
        "a, b of s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11 and 8 more c of other"
    )


def test_one_gate_is_one_line_and_what_passed_is_silent() -> None:
    """As is what was only reported, or not run."""
    assert told(gate("a", "fail", "<= 1 does not hold: 2")) == ["FAIL a of int8: <= 1 does not hold: 2"]
    assert told(*(gate("a", verdict) for verdict in ("pass", "reported", "not_run"))) == []


def test_reasons_and_names_reach_no_terminal_raw() -> None:
    """A KPI of the user's own, a label and an exception's text may hold anything."""
    found = "".join(
        told(gate("a\x1b[2J", reason="b\x07", student="c\x1b"), gate("a", reason="b\x1b"), gate("b", reason="b\x1b"))
    )
    assert found.isprintable()
    assert "a\\x1b[2J of c\\x1b: b\\x07" in found


LONG_AND_SHORT = (
    "to decide more: --modelbench-budget=90 would decide 1 gate; --modelbench-budget=11000 would decide 1 gate"
)


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ([], []),
        ([gate("a", "fail", needed_seconds=90.0)], []),
        (
            [gate("a", "inconclusive", needed_seconds=75.0), gate("b", "inconclusive", needed_seconds=8.0)],
            ["to decide more: --modelbench-budget=90 would decide 2 gates"],
        ),
        (
            [gate("a", "inconclusive", needed_seconds=3.0)],
            ["to decide more: --modelbench-budget=72 would decide 1 gate"],  # it had 60 s already
        ),
        (
            [gate("a", "inconclusive", needed_seconds=9000.0), gate("b", "inconclusive", needed_seconds=75.0)],
            [
                LONG_AND_SHORT,
            ],
        ),
        (
            [gate("a", "inconclusive", needed_n=812), gate("b", "inconclusive", needed_n=3160)],
            ["to decide more: about 3,200 samples would decide 2 gates"],
        ),
        ([gate("a", "inconclusive")], []),
    ],
)
def test_what_to_raise_is_told_once(gates: list[Any], expected: list[str]) -> None:
    """One line for the whole session: the budget, the samples, and how many gates they would decide."""
    assert list(advice_lines({"gates": gates, "settings": {"budget_s": 60.0}})) == expected


def test_the_budget_is_more_than_the_gates_own() -> None:
    """Where a modelbench.toml states another one than the session."""
    own = {**gate("a", "inconclusive", needed_seconds=3.0), "settings": {"budget_s": 100.0}}
    found = list(advice_lines({"gates": [own], "settings": {"budget_s": 1.0}}))
    assert found == ["to decide more: --modelbench-budget=120 would decide 1 gate"]
