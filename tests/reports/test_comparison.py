"""Comparisons of two reports and of more: the terminal, the Markdown, and their exit codes."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_modelbench.commands.cli import main
from pytest_modelbench.reports.comparison import Comparison, compare_reports, worse_by
from pytest_modelbench.reports.comparison_markdown import comparison_markdown
from pytest_modelbench.reports.markdown import MOST_CHARACTERS

Json = dict[str, Any]


def failing() -> Json:
    """Return a report in which accuracy fails, and fewer parameters are better."""
    report = full_report("small")
    report["gates"][4]["better"] = "lower"
    return report


def passing() -> Json:
    """Return the same report with an accuracy that passes."""
    report = failing()
    gate = report["gates"][0]
    gate["verdict"] = gate["limits"][0]["verdict"] = "pass"
    return report


def changed(report: Json, kpi: str, times: float) -> Json:
    """Return a report in which a student's value is another one."""
    other: Json = json.loads(json.dumps(report))
    for gate in other["gates"]:
        if gate["kpi"] == kpi:
            reading = gate["readings"]["student"]
            reading |= {
                name: reading[name] * times for name in ("value", "ci_low", "ci_high") if reading[name] is not None
            }
    return other


@pytest.fixture(autouse=True)
def _reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write `old.json`; `new.json`, in which accuracy broke and parameters are worse; `better.json`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    save("old.json", passing())
    save("new.json", changed(failing(), "parameters", 1.3))
    save("better.json", changed(passing(), "parameters", 0.5))


def save(name: str, report: Json) -> None:
    Path(name).write_text(json.dumps(report), encoding="utf-8")


def comparison_of(*names: str) -> Comparison:
    return compare_reports([Path(name) for name in names], 0.05)


def test_what_broke_is_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that passed before and does not pass now is first, although its value is the same, then what is worse."""
    assert main(["compare", "old.json", "new.json"]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].startswith("top1_accuracy ")
    assert rows[2].endswith("same")
    assert re.match(r"parameters .* 30% +worse$", rows[3])
    assert "passed before and does not pass now: top1_accuracy of small" in rows
    assert rows[-1] == "1 worse, 10 same"


def test_what_was_mended_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    """The other way round is said too, and is no failure."""
    assert main(["compare", "new.json", "better.json"]) == 0
    assert "passes now and did not before: top1_accuracy of small" in capsys.readouterr().out


def test_a_column_for_each_report(capsys: pytest.CaptureFixture[str]) -> None:
    """All are compared with the first, each with its counts; one that is worse makes the exit code 1."""
    assert main(["compare", "old.json", "better.json", "new.json"]) == 1
    out = capsys.readouterr().out
    assert re.match(r"KPI +Student +old\.json +better\.json +new\.json", out)
    assert re.search(r"parameters +small +10,000 +5,000 -50% better +13,000 30% worse", out)
    assert "new.json: passed before and does not pass now: top1_accuracy of small" in out
    assert "better.json: 1 better, 10 same" in out
    assert main(["compare", "old.json", "better.json", "old.json"]) == 0


def test_a_report_that_cannot_be_compared_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    """One of several that shares no gate with the first has the exit code of nothing compared, unless one is worse."""
    save("other.json", {**passing(), "gates": []})
    assert main(["compare", "old.json", "better.json", "other.json"]) == 3
    assert "other.json: nothing could be compared" in capsys.readouterr().out
    assert main(["compare", "old.json", "other.json", "new.json"]) == 1


def test_equal_names_are_paths() -> None:
    """Two files of one name are told apart by their folders."""
    Path("a").mkdir()
    save("a/old.json", passing())
    assert comparison_of("old.json", "a/old.json").names == ["old.json", "a/old.json"]


def test_a_gate_of_some_reports() -> None:
    """It has a row; the reports without it have no value there, and the reason."""
    short = passing()
    short["gates"] = short["gates"][1:]
    save("short.json", short)
    rows = comparison_of("old.json", "short.json", "new.json").rows
    (row,) = [row for row in rows if row.any.kpi == "top1_accuracy"]
    gone, later = row.changes
    assert gone is not None
    assert later is not None
    assert gone.why == "short.json has no such gate"
    assert (gone.verdicts, later.verdicts) == (("pass", ""), ("pass", "fail"))
    assert row.before == "94%"


def test_a_test_with_one_kpi_twice() -> None:
    """Gates of one test are told apart by their order."""
    twice = passing()
    twice["gates"] = [twice["gates"][4], {**twice["gates"][4], "verdict": "pass"}]
    broken = copy.deepcopy(twice)
    broken["gates"][1]["verdict"] = "fail"
    save("twice.json", twice)
    save("broken.json", broken)
    assert [row.any.broke for row in comparison_of("twice.json", "broken.json").rows] == [True, False]


def test_times_of_other_machines_are_not_compared() -> None:
    """Nothing is said of a time whose sessions share no reference and no machine."""
    for name, chip in (("a.json", "chip a"), ("b.json", "chip b")):
        report = passing()
        report["environment"]["processor"] = chip
        for gate in report["gates"]:
            gate.update({"better": "lower", "timed": True, "of_machine": True} if gate["unit"] == "ms" else {})
        save(name, report)
    rows = comparison_of("a.json", "b.json").rows
    times = {row.any.kpi: row.any for row in rows if row.any.kpi.startswith("latency")}
    assert {change.result for change in times.values()} == {"not comparable"}
    assert all(worse_by(change) == "" and "chip b" in change.why for change in times.values())


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """Headline, counts, what broke with limit, value, interval and command, in the first lines; every gate below."""
    assert main(["compare", "old.json", "new.json", "--markdown", "c.md"]) == 1
    assert "wrote c.md" in capsys.readouterr().out
    text = Path("c.md").read_text(encoding="utf-8")
    assert text.splitlines()[:6] == [
        "<!-- pytest-modelbench comparison -->",
        "### pytest-modelbench comparison: WORSE",
        "",
        "- new.json against old.json: 1 worse, 10 same",
        "- **FAIL** top1_accuracy of small: passed before; limit drop \\<= 2 pp, found 4 pp \\[3, 5\\] pp",
        "  `pytest --modelbench -k 'a b' 'test_sla.py::test_top1_accuracy[small]'`",
    ]
    page = str(MarkdownIt("commonmark").enable("table").render(text))
    assert page.count("<tr>") == (1 + 2) + (1 + 11)  # the changed ones, and all
    assert "<td>PASS → FAIL</td>" in page


def test_markdown_of_several() -> None:
    """A column for each report."""
    text = comparison_markdown(comparison_of("old.json", "better.json", "new.json"))
    assert "| KPI | student | old.json | better.json | new.json |" in text
    assert "| top1_accuracy | small | 94% | 94% 0% same | 94% 0% same, FAIL |" in text


def test_markdown_fits() -> None:
    """Thousands of gates fit into a comment; a line counts those that were left out, and parts are closed."""
    report = passing()
    report["gates"] = [{**report["gates"][4], "student": f"s{i}", "nodeid": f"t[s{i}]"} for i in range(3000)]
    worse = changed(report, "parameters", 2)
    save("many.json", report)
    save("worse.json", worse)
    text = comparison_markdown(comparison_of("many.json", "worse.json"))
    assert len(text) <= MOST_CHARACTERS
    assert re.search(r"Left out: [\d,]+ lines\.", text)
    assert text.count("<details>") == text.count("</details>") == 1
    assert len(comparison_markdown(comparison_of("many.json", "worse.json"), 2000)) <= 2000


@settings(deadline=None, max_examples=50)
@given(
    name=st.text(max_size=30) | st.sampled_from(["<script>alert(1)</script>", "a|b", "\x1b[31m", "\u202eabc", "🙂`"])
)
def test_any_name_stays_text(name: str) -> None:
    """Names of students and tests change no row, start no HTML, and write no control character."""
    old, new = passing(), failing()
    for report in (old, new):
        for gate in report["gates"]:
            gate["student"] = gate["nodeid"] = name
    save("old.json", old)
    save("new.json", new)
    text = comparison_markdown(comparison_of("old.json", "new.json"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    page = str(MarkdownIt("commonmark").enable("table").render(text))
    assert page.count("<tr>") == (1 + 1) + (1 + 11)
    assert "<script" not in page


@pytest.mark.slow
def test_many_gates() -> None:
    """50,000 gates are compared and drawn in seconds."""
    report = passing()
    report["gates"] = [
        {**report["gates"][i % 11], "student": f"s{i // 11}", "nodeid": f"t[s{i // 11}]"} for i in range(50_000)
    ]
    save("many.json", report)
    start = time.process_time()
    assert main(["compare", "many.json", "many.json", "--html", "c.html", "--markdown", "c.md"]) == 0
    assert time.process_time() - start < 120
    assert Path("c.html").stat().st_size < 1_000_000
