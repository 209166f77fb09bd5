"""The page: what is first, nothing that loads or runs, names that stay texts, and sizes that stay usable."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from full_report import full_report, gates_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.html.gate_rows import MOST_FAILURES, MOST_ROWS
from pytest_modelbench.reports.html.page import html
from pytest_modelbench.reports.html.students import MOST_PLOTS, MOST_STUDENTS
from pytest_modelbench.reports.json_report import report_schema

VOID = {"meta", "br", "line", "rect", "path"}
ANY_NAME = st.text(st.characters(), min_size=1, max_size=40) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '" onload="x',
        "a|b",
        "\x1b[2J",
        "👩‍🔬",
        "\u202egnp.exe",
        "שלום",
        "{{ 7*7 }}",
        "&lt;",
        "\ud800",
    ]
)


class Outline(HTMLParser):
    """The tags, attributes and texts of a page; a tag that is closed in the wrong order is an error."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID or tag in {"rect", "path"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in {"rect", "path"}:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_made_up_report_is_one() -> None:
    """It fits the schema, so that tests on it are tests on reports."""
    jsonschema.validate(full_report(), report_schema(), cls=jsonschema.Draft202012Validator)


def test_it_loads_and_runs_nothing() -> None:
    """No script, no other file, no address; the policy allows exactly the style sheet that is there."""
    page = html(full_report())
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "object", "use", "image", "base", "form"} & set(outline.tags)
    names = {name for name, _ in outline.attributes}
    assert not {"src", "style", "xlink:href"} & names
    assert not [name for name in names if name.startswith("on")]
    assert all((value or "").startswith("#") for name, value in outline.attributes if name == "href")
    assert "://" not in page
    assert "url(" not in page
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    policy = next(value for name, value in outline.attributes if name == "content" and "default-src" in (value or ""))
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]


def test_every_plot_is_said_and_tabulated() -> None:
    """A drawing has the role of a picture, a title and a description that exist once, and a table under it."""
    page = html(full_report())
    figures = re.findall(r'<div class="plot">.*?</details>', page, re.DOTALL)
    assert len(figures) >= 15
    ids = Outline(page).ids
    assert len(ids) == len(set(ids))
    for figure in figures:
        (named,) = re.findall(r'role="img" aria-labelledby="([^"]+)"', figure)
        assert len(named.split()) == 2
        assert set(named.split()) <= set(ids)
        assert figure.index("<details><summary>Table: ") > figure.index("</svg>")


def test_what_is_first() -> None:
    """Verdict, counts, failures with reason and command, then the limits, then plots."""
    page = unescape(html(full_report("small")))
    order = ["FAIL</span> pytest-modelbench report", "11 gates: 1 FAIL, 1 INCONCLUSIVE", 'id="failures"',
             "drop <= 2 pp does not hold: 4 pp", "samples: <bdi>a, b</bdi>",
             "pytest --modelbench -k 'a b' 'test_sla.py::test_top1_accuracy[small]'", "test_sla.py::test_night",
             "--modelbench-budget=96 would decide 1 gate", 'id="limits"', "<figure>"]  # fmt: skip
    places = [page.index(text) for text in order]
    assert places == sorted(places)


def test_failures_are_first_in_the_table() -> None:
    """Verdicts are words, and the worst ones are on top."""
    page = html(full_report())
    words = re.findall(r'<td class="word">([A-Z/ ]+)</td>', page)
    assert words[:2] == ["FAIL", "PASS"]  # two limits of the gate that failed
    assert words.index("INCONCLUSIVE") < words.index("REPORTED")
    assert len(words) == sum(max(len(gate["limits"]), 1) for gate in full_report()["gates"])


def test_an_unfinished_run_has_a_banner() -> None:
    """It is a FAIL; a whole one has no banner."""
    report = {**full_report(), "exit_status": 0}
    assert "did not come to its end" not in html(report)
    assert '<span class="verdict pass">PASS</span>' in html(report)
    page = html({**report, "complete": False, "exit_status": None})
    assert '<p class="banner" role="note"><strong>The run did not come to its end.' in page
    assert '<span class="verdict fail">FAIL</span>' in page


@settings(deadline=None)
@given(name=ANY_NAME)
def test_any_name_stays_text(name: str) -> None:
    """Names of students, classes, layers, tests, groups: the page has the same tags, and shows the name."""
    report = full_report("small")

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [renamed(inner) for inner in value]
        return name if value in {"small", "cat", "conv", "layer0", "young", "bin 5", "a", "batch size 1"} else value

    changed = renamed(report)
    for gate in changed["gates"]:
        gate["nodeid"], gate["reason"], gate["limits"] = name, name, gate["limits"]
    outline, plain = Outline(html(changed)), Outline(html(report))
    assert {*outline.tags} == {*plain.tags}
    assert {attribute for attribute, _ in outline.attributes} == {attribute for attribute, _ in plain.attributes}
    shown = visible(" ".join(name.split()))
    assert not shown or any(shown in text for text in outline.texts)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", html(changed))


def test_many_gates_stay_usable() -> None:
    """50,000 gates: failures first, what was left out is said, and the file is below two megabytes."""
    report = full_report("small")
    ok = [gate for gate in gates_of("small") if gate["verdict"] in {"pass", "reported"}]
    many = [{**ok[at % len(ok)], "student": f"s{at // 2500}", "nodeid": f"t[{at}]"} for at in range(50_000)]
    report["gates"] = [*many, *report["gates"]]
    page = html(report)
    assert len(page) < 2_000_000
    words = re.findall(r'<td class="word">([A-Z/ ]+)</td>', page)
    assert len(words) == MOST_ROWS
    assert words[0] == "FAIL"
    assert re.search(
        r"1,000 of 50,\d{3} limits are shown, failures first\. Left out: [\d,]+ PASS, [\d,]+ REPORTED", page
    )
    assert page.count('<section aria-labelledby="student-') == MOST_STUDENTS
    assert "Students without plots here: 11." in page
    assert '<h2 id="student-1"><bdi>small</bdi>' in page


def test_many_failures() -> None:
    """The first ones are written out; a line counts the others."""
    report = full_report("small")
    report["gates"] = [{**report["gates"][0], "nodeid": f"t[{at}]"} for at in range(50)]
    page = html(report)
    assert page.count("<pre>") == MOST_FAILURES
    assert "And 30 more, in the table" in page


def test_a_student_has_a_few_plots() -> None:
    """One of each kind at first, in a fixed order; the others are tables."""
    report = full_report("small")
    slower = [2 * time for time in report["timings"][0]["quantiles"]["student"]]
    again = {"setup": "batch size 64", "quantiles": {"student": slower}, "round_ratios": [0.5, 0.6]}
    report["timings"].append({**report["timings"][0], **again})
    section = html(report).split('<section aria-labelledby="student-1">')[1].split("</section>")[0]
    titles = re.findall(r"<figcaption>(\w+)", section)
    assert len(titles) == MOST_PLOTS
    assert titles == [
        "Margins", "Time", "Time", "Ratio", "Samples", "Reliability", "Where", "Newly", "What", "True", "Headroom",
        "Energy",
    ]  # fmt: skip
    assert "<summary><bdi>Ratio to the teacher, round by round, batch size 64" in section
    assert "<summary><bdi>False positive rate by group" in section
    assert "<summary><bdi>export: what it is made of" in section


OPTIONAL = ("command", "mistakes", "environment", "models", "tests", "timings", "tradeoff", "distillation", "data")


@pytest.mark.parametrize("name", OPTIONAL)
def test_older_reports(name: str) -> None:
    """A report without a field has a page without what is made from it."""
    report = full_report()
    whole = _parts(report)
    del report[name]
    assert _parts(report) <= whole


def _parts(report: dict[str, Any]) -> int:
    tags = Outline(html(report)).tags
    return sum(tags.count(tag) for tag in ("h2", "figure", "li", "tr"))


def test_timings_without_quantiles() -> None:
    """Reports of earlier versions have no distribution and no rounds; all else is drawn."""
    report = full_report("small")
    for name in ("quantiles", "round_ratios", "median_ratio"):
        del report["timings"][0][name]
    page = html(report)
    assert "Time of a call" not in page
    assert "round by round" not in page
    assert "Reliability" in page
