"""The settings in the report are those that hold for its gates."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import FAKES, Judge, read_report

SHOP = FAKES + "\ndef one():\n    return STUDENT\n\ndef data():\n    return INPUTS, TARGETS\n"
FILE = """
[models.students]
int8 = "shop:one"
[data]
eval = "shop:data"
[run]
budget = 8
threads = 1
[kpi]
parameters = "<= 1e6"
"""


def run(pytester: pytest.Pytester, *arguments: str) -> dict[str, object]:
    Path("shop.py").write_text(SHOP)
    pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json", *arguments)
    return read_report(pytester)


def test_settings_of_the_only_file_are_the_reports(pytester: pytest.Pytester) -> None:
    """Whoever reads the report sees the budget and the threads that its `[run]` set."""
    Path("modelbench.toml").write_text(FILE)
    report = run(pytester)
    settings, gates = report["settings"], report["gates"]
    assert (settings["budget_s"], settings["threads"]) == (8.0, 1)  # type: ignore[index]
    assert [gate["settings"] for gate in gates] == [{}]  # type: ignore[attr-defined]


def test_where_files_differ_each_gate_has_its_own(pytester: pytest.Pytester) -> None:
    """The report has the session's settings, and a gate those that differ from them."""
    Path("modelbench.toml").write_text(FILE)
    Path("other.modelbench.toml").write_text(FILE.replace("threads = 1\n", "").replace("budget = 8", "seed = 3"))
    report = run(pytester, "--modelbench-budget=20")
    own = {gate["nodeid"].partition("::")[0]: gate["settings"] for gate in report["gates"]}  # type: ignore[attr-defined]
    assert own == {"modelbench.toml": {"threads": 1}, "other.modelbench.toml": {"seed": 3}}
    assert report["settings"]["budget_s"] == 20.0  # type: ignore[index]


def test_a_session_without_files_has_none_of_its_own(judge: Judge) -> None:
    """Nothing differs from what the options say."""
    finished = judge("import pytest\n@pytest.mark.kpi('parameters')\ndef test_size(): ...\n", "--modelbench-seed=4")
    assert finished.report["settings"]["seed"] == 4
    assert [gate["settings"] for gate in finished.report["gates"]] == [{}]
