"""The HTML report as a file: from the option and the command alike, never over something else, mistakes in one line."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report, loaded_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suites import Judge

from pytest_modelbench.commands.cli import main
from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.reports.html.html_report import convert

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 0.1 pp", ">= 90%")
@pytest.mark.kpi("ece")
@pytest.mark.kpi("class_drop")
@pytest.mark.kpi("parameters", "ratio <= 50%")
def test_ships(): ...

@pytest.mark.kpi("latency_p50", "ratio <= 90%")
@pytest.mark.kpi("latency_p99", "<= 1 s")
def test_speed(): ...
"""
JUNK: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
    | st.just([{}])
)


def test_option_and_command_write_the_same(judge: Judge) -> None:
    """Byte for byte, with plots of everything that was measured; our own file is written again."""
    finished = judge(SUITE, "--modelbench-html=r.html")
    assert finished.result.ret == 1
    assert "HTML report: r.html" in finished.text
    assert main(["report", "report.json", "--html", "again.html"]) == 0
    page = Path("r.html").read_bytes()
    assert page == Path("again.html").read_bytes()
    titles = re.findall(r"<figcaption>([\w ]+)", page.decode())
    assert titles == [
        "Students against the teacher", "Margins", "Time of a call", "Ratio to the teacher", "Reliability",
        "Newly wrong", "What each class has lost ",
    ]  # fmt: skip
    assert judge(SUITE, "--modelbench-html=r.html").result.ret == 1


def test_only_a_report_of_ours_is_replaced(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Another page is a mistake before anything is measured, and one line of the command."""
    Path("mine.html").write_text("<!DOCTYPE html>\n<p>mine", encoding="utf-8")
    finished = judge(SUITE, "--modelbench-html=mine.html")
    assert finished.result.ret == 4
    assert "it exists and is not an HTML report of pytest-modelbench. Write another path" in finished.text
    judge(SUITE)
    capsys.readouterr()
    assert main(["report", "report.json", "--html", "mine.html"]) == 2
    assert "cannot write mine.html: it exists and is not an HTML report" in capsys.readouterr().err
    assert Path("mine.html").read_text(encoding="utf-8") == "<!DOCTYPE html>\n<p>mine"


def test_the_path_ends_in_html(judge: Judge) -> None:
    """What follows the option without `=` is not taken for its path, such as a test file."""
    finished = judge(SUITE, "--modelbench-html=test_sla.py")
    assert finished.result.ret == 4
    assert "--modelbench-html" in finished.text
    assert "a path that ends in .html or .htm" in finished.text


def test_without_judging(pytester: pytest.Pytester) -> None:
    """There would be nothing to report."""
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_inprocess("--modelbench-html=r.html")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --modelbench-html: nothing is judged*Add --modelbench"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(full_report()), encoding="utf-8")
    return path


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[:2000], "is not JSON, or only a part of it"),
    "empty": (lambda text: "", "is empty"),
    "foreign": (lambda text: '{"a": 1}', "has no schema_version"),
    "newer": (lambda text: text.replace('"schema_version": "1"', '"schema_version": "2"'), "Update pytest-modelbench"),
    "no limits": (lambda text: text.replace('"limits"', '"limit"'), "'gates[0]' has no field 'limits'"),
    "a verdict of others": (lambda text: text.replace('"verdict": "fail"', '"verdict": "bad"'), "gates[0].verdict"),
    "a text for a number": (lambda text: text.replace('"margin": -2.0', '"margin": "x"'), "'gates[0].limits' cannot be read"),
    "a count that is NaN": (lambda text: re.sub(r'"fail": \d', '"fail": NaN', text), "'summary' cannot be read"),
    "infinite": (lambda text: text.replace('"value": 4.0', '"value": 1e999'), "'gates[0].limits' cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_reports(source: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file, exit code 2, and nothing is written."""
    change, words = BAD[kind]
    source.write_text(change(source.read_text(encoding="utf-8")), encoding="utf-8")
    target = source.with_name("r.html")
    assert main(["report", str(source), "--html", str(target)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert str(source) in told
    assert len(told.strip().splitlines()) == 1
    assert not target.exists()


def test_a_value_that_is_nan(source: Path) -> None:
    """Other programs write it; it is a value that is not known."""
    source.write_text(source.read_text(encoding="utf-8").replace('"value": 94.0', '"value": NaN'), encoding="utf-8")
    convert(source, source.with_name("r.html"))
    assert "<td>nan</td>" in source.with_name("r.html").read_text(encoding="utf-8")


def test_files_that_cannot_be_read_or_written(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder in the way, one that is missing, a report that is missing."""
    for report, target, words in (
        (source, source.parent / "none" / "r.html", "there is no folder"),
        (source, source.parent, "it is a folder"),
        (source.with_name("none.json"), source.with_name("r.html"), "No such file"),
        (source.parent, source.with_name("r.html"), "it is a folder"),
    ):
        assert main(["report", str(report), "--html", str(target)]) == 2
        assert words in capsys.readouterr().err


def test_a_folder_without_permission(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one line too; root may write everywhere, so what the system answers is written."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["report", str(source), "--html", str(source.with_name("r.html"))]) == 2
    assert "permission denied" in capsys.readouterr().err


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in _places(child, (*path, key)))]


PLACES = [path for path in _places(loaded_report("small")) if path]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=3))
def test_anything_else_in_its_place(changes: list[tuple[tuple[Any, ...], Any]], tmp_path: Path) -> None:
    """A report in which any field is something else has a page, or is one mistake of the user's."""
    report = copy.deepcopy(loaded_report("small"))
    for path, value in changes:
        inner: Any = report
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    source, target = tmp_path / "report.json", tmp_path / "r.html"
    source.write_text(json.dumps(report), encoding="utf-8")
    refused = ""
    try:
        convert(source, target)
    except UsageMistake as mistake:
        refused = str(mistake)
    assert str(source) in refused or "</html>" in target.read_text(encoding="utf-8")
