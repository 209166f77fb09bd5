"""The page of a comparison: what broke first, the house's policy and style, names that stay texts, clear refusals."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench.commands.cli import main
from pytest_modelbench.errors import UsageMistake, visible
from pytest_modelbench.reports.comparison import compare_reports, render_comparison
from pytest_modelbench.reports.comparison_files import write_comparison
from pytest_modelbench.reports.html.comparison_page import comparison_page
from pytest_modelbench.reports.html.gate_rows import MOST_FAILURES, MOST_ROWS
from pytest_modelbench.reports.html.page import html

Json = dict[str, Any]
HOSTILE = ["<script>alert(1)</script>", '" onload="x', "a|b", "\x1b[2J", "👩‍🔬", "\u202etxt", "עברית", "{{ 7 * 7 }}"]


class Outline(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def failing() -> Json:
    report = full_report("small")
    report["gates"][4]["better"] = "lower"
    report["gates"][4]["readings"]["student"]["value"] *= 1.3
    return report


def passing() -> Json:
    report = full_report("small")
    report["gates"][4]["better"] = "lower"
    gate = report["gates"][0]
    gate["verdict"] = gate["limits"][0]["verdict"] = "pass"
    return report


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def page_of(*reports: Json) -> str:
    """Return the page of reports, which are written as `0.json` and so on."""
    paths = [Path(f"{place}.json") for place in range(len(reports))]
    for path, report in zip(paths, reports, strict=True):
        path.write_text(json.dumps(report), encoding="utf-8")
    return comparison_page(compare_reports(paths, 0.05))


def test_what_is_first() -> None:
    """Headline, counts, what broke with its limit and command, the gates with what broke on top, plots, reports."""
    new = failing()
    new["environment"]["packages"]["torch"] = "2.10"
    page = unescape(page_of(passing(), new))
    order = ["WORSE</span> pytest-modelbench comparison", "1.json</bdi>: 1 worse, 10 same", 'id="broken"',
             "<strong>FAIL</strong> top1_accuracy of <bdi>small</bdi>: 94% before, 94% now",
             "limit drop <= 2 pp, found 4 pp [3, 5] pp", "pytest --modelbench -k 'a b' 'test_sla.py::test_top1",
             'id="gates"', "PASS → FAIL", "<figure>", 'id="reports"', "torch 2.10"]  # fmt: skip
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    words = re.findall(r'<td class="word">([\w ]+)</td>', page)
    assert words[:3] == ["FAIL", "worse", "same"]


def test_a_column_for_each_report() -> None:
    """Each later report has its value, by how much it is worse, the result, and the verdict where it turned."""
    page = unescape(page_of(passing(), failing(), passing()))
    heads = re.findall(r'<th scope="col"><bdi>([\w. ]+)</bdi>', page)
    assert heads[:6] == ["Result", "KPI", "Student", "0.json", "1.json", "2.json"]
    assert "<td><bdi>94%</bdi></td><td><bdi>94% 0% same, FAIL</bdi></td><td><bdi>94% 0% same</bdi></td>" in page
    assert page.count("<figcaption>By how much each value is worse in ") == 2


def test_the_plot_says_how_much() -> None:
    """A mark for each gate, the worst first, with the limit's line and a table."""
    page = unescape(page_of(passing(), failing()))
    (figure,) = re.findall(r'<div class="plot">.*?</details>', page, re.DOTALL)
    assert "The largest loss is 30%, of parameters of small." in figure
    marks = re.findall(r'class="mark (\w+)"><title>(.*?)</title>', figure)
    assert ("bad", "parameters of small: 30%, worse") in marks
    assert figure.index('class="limit"') > 0
    assert figure.index("<details><summary>Table: ") > figure.index("</svg>")


def test_style_and_policy_of_the_house() -> None:
    """The same style sheet under the same policy as a report's page; unique ids; nothing loaded, nothing run."""
    page, report = page_of(passing(), failing()), html(full_report())
    for part in (r"<style>.*?</style>", r"<meta http-equiv[^>]*>"):
        assert re.findall(part, page, re.DOTALL) == re.findall(part, report, re.DOTALL)
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(outline.tags)
    assert not {"src", "style"} & outline.names
    assert "://" not in page


@settings(deadline=None, max_examples=50)
@given(name=st.text(st.characters(), min_size=1, max_size=40) | st.sampled_from(HOSTILE))
def test_any_name_stays_text(name: str) -> None:
    """Names of students, tests, reasons and packages: the page has the same tags, and shows the name."""
    old, new = passing(), failing()
    for report in (old, new):
        report["command"] = name
        report["environment"]["packages"] = {"torch": name}
        for gate in report["gates"]:
            gate["student"] = gate["nodeid"] = gate["reason"] = name
    outline, plain = Outline(page_of(old, new)), Outline(page_of(passing(), failing()))
    assert {*outline.tags} == {*plain.tags}
    assert outline.names == plain.names
    shown = visible(" ".join(name.split()))
    assert not shown or any(shown in text for text in outline.texts)


def test_many_gates_stay_usable() -> None:
    """50,000 gates: what broke and what is worse first, what was left out is said, and the file is small."""
    ok, bad = passing()["gates"], failing()["gates"]
    names = [(f"s{i}", f"t[{i}]") for i in range(50_000)]
    old = [{**ok[i % 11], "student": student, "nodeid": test} for i, (student, test) in enumerate(names)]
    new = [
        {**(bad if i > 49_000 else ok)[i % 11], "student": student, "nodeid": test}
        for i, (student, test) in enumerate(names)
    ]
    page = page_of({**passing(), "gates": old}, {**failing(), "gates": new})
    assert len(page) < 1_000_000
    words = re.findall(r'<td class="word">([\w ]+)</td>', page)
    assert len(words) == MOST_ROWS
    assert (words[0], words[90], words[91]) == ("FAIL", "FAIL", "worse")
    assert page.count("<pre>") == MOST_FAILURES
    assert "1,000 of 50,000 gates are shown, the worst first. Left out: 49,000 same." in page


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[:2000], "1.json is not JSON, or only a part of it"),
    "newer": (
        lambda text: text.replace('"schema_version": "1"', '"schema_version": "2"'),
        "Update pytest-modelbench",
    ),
    "foreign": (lambda text: '{"a": 1}', "1.json is not a report of pytest-modelbench"),
    "a verdict of others": (
        lambda text: text.replace('"verdict": "fail"', '"verdict": "bad"'),
        "1.json cannot be shown: its field 'gates[0].verdict' cannot be read",
    ),
    "without limits": (lambda text: text.replace('"limits"', '"limit"'), "'gates[0]' has no field 'limits'"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("flag", ["--html", "--markdown"])
def test_bad_reports(kind: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file, exit code 2, and nothing is written."""
    change, words = BAD[kind]
    Path("0.json").write_text(json.dumps(passing()), encoding="utf-8")
    Path("1.json").write_text(change(json.dumps(failing())), encoding="utf-8")
    assert main(["compare", "0.json", "1.json", flag, "c.out"]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not Path("c.out").exists()


def test_an_older_report_without_other_fields() -> None:
    """Only the gates are needed: what an earlier version did not write is left out."""
    old = passing()
    for name in ("diagnosis", "settings", "environment", "command", "tests", "timings", "summary"):
        del old[name]
    assert "1 worse, 10 same" in page_of(old, failing())


def test_a_value_that_is_nan(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a value that is not known, and has its reason in the page."""
    text = json.dumps(failing()).replace('"value": 13000.0', '"value": NaN')
    Path("0.json").write_text(json.dumps(passing()), encoding="utf-8")
    Path("1.json").write_text(text, encoding="utf-8")
    assert main(["compare", "0.json", "1.json", "--html", "c.html"]) == 0
    assert "it has no value now" in Path("c.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("flag", "name"), [("--html", "c.html"), ("--markdown", "c.md")])
def test_only_a_comparison_is_replaced(flag: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file stays, also a report of ours; our own comparison is written again; a folder is refused."""
    for path in ("0.json", "1.json"):
        Path(path).write_text(json.dumps(passing()), encoding="utf-8")
    arguments = ["compare", "0.json", "1.json", flag, name]
    assert main(arguments) == main(arguments) == 0
    Path(name).write_text(
        html(full_report()) if name == "c.html" else "<!-- pytest-modelbench -->\n", encoding="utf-8"
    )
    kept = Path(name).read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(arguments) == 2
    kind = "HTML" if flag == "--html" else "Markdown"
    told = capsys.readouterr().err
    assert f"{flag}: cannot write {name}: it exists and is not a" in told
    assert f"{kind} comparison of pytest-modelbench" in told
    assert Path(name).read_text(encoding="utf-8") == kept
    assert main(["compare", "0.json", "1.json", flag, "none/c.out"]) == 2
    assert "mkdir -p" in capsys.readouterr().err


JUNK: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([{}])
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in _places(child, (*path, key)))]


SMALL = {**failing(), "gates": failing()["gates"][:5], "timings": [], "diagnosis": [], "tests": []}
PLACES = [path for path in _places(SMALL) if path]


@settings(max_examples=100, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=3), first=st.booleans())
def test_anything_else_in_its_place(changes: list[tuple[tuple[Any, ...], Any]], first: bool) -> None:
    """Reports in which any field is something else are compared in all forms, or are one mistake of the user's."""
    report = copy.deepcopy(SMALL)
    for path, value in changes:
        inner: Any = report
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    good, bad = Path("good.json"), Path("bad.json")
    good.write_text(json.dumps(SMALL), encoding="utf-8")
    bad.write_text(json.dumps(report), encoding="utf-8")
    files = [Path("c.html"), Path("c.md")]
    refused = ""
    try:
        comparison = compare_reports([bad, good] if first else [good, bad, bad.resolve()], 0.05)
        render_comparison(comparison, width=80, colour=False)
        assert list(write_comparison(comparison, html=files[0], markdown=files[1])) == files
    except UsageMistake as mistake:
        refused = str(mistake)
    assert "bad.json" in refused or files[0].read_text(encoding="utf-8").rstrip().endswith("</html>")
    for file in files:
        file.unlink(missing_ok=True)
