"""The plots of a load: curves, bounds and verdicts are where their numbers say."""

from __future__ import annotations

from typing import Any

import pytest
from full_report import full_report, limit, load, load_facts, load_gates, loaded_report

from pytest_modelbench.reports.html.figures import Area, Curve, Figure, Label, Line, Mark
from pytest_modelbench.reports.html.load_plots import load_figures
from pytest_modelbench.reports.html.page import html
from pytest_modelbench.reports.html.rate_plots import rate_figures
from pytest_modelbench.reports.html.students import student_parts

Json = dict[str, Any]


def upright(figure: Figure) -> list[float]:
    return [one.x1 for one in figure.shapes if isinstance(one, Line) and one.look == "limit" and one.x1 == one.x2]


def drawn(figure: Figure, look: str) -> list[Any]:
    return [shape for shape in figure.shapes if getattr(shape, "look", "") == look]


def response(**changes: Any) -> Json:
    return {**load_gates("small")[0], **changes}


def test_responses_and_calls() -> None:
    """Each model has two curves that rise, calls left of responses; the bound is where it lies on the time axis."""
    figure, backlog = load_figures([response()])
    curves = [shape for shape in figure.shapes if isinstance(shape, Curve)]
    assert [curve.look for curve in curves] == ["curve teacher", "curve s0", "curve call teacher", "curve call s0"]
    for curve in curves:
        assert [x for x, _ in curve.points] == sorted(x for x, _ in curve.points)
        assert [y for _, y in curve.points] == sorted((y for _, y in curve.points), reverse=True)
    student = {mark.title: mark for mark in drawn(figure, "s0") if isinstance(mark, Mark)}
    assert student["student, call, p50: 5 ms"].x < student["student, response, p50: 6 ms"].x
    (bound,) = upright(figure)
    p99 = next(curve for curve in curves if curve.look == "curve s0").points[-1]
    assert bound == pytest.approx(p99[0])  # the response at the last level that is known is 50 ms
    assert [label.text for label in drawn(figure, "limit-label")] == ["p99 <= 50 ms"]
    assert "The curve ends where requests failed or were not answered." in figure.note
    assert figure.table.rows[3] == ("p50", "6 ms", "6 ms", "5 ms", "5 ms")
    assert backlog.kind == "backlog"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": [limit("reduction >= 20%", "pass", 0.5, "fraction", threshold=0.2)]}, "p99 reduction >= 20%"),
        ({"limits": [limit("<= 40 ms", "fail", None, "ms")]}, "p99 <= 40 ms"),
        ({"kpi": "response_p99_9"}, "p99.9 <= 50 ms"),
        (
            {"kpi": "goodput", "unit": "%", "options": {"rate": "100/s", "within": "20 ms"},
             "limits": [limit(">= 99%", "fail", 95.0, "%", threshold=99.0)]},
            ">= 99% within 20 ms",
        ),
        ({"kpi": "max_qps", "limits": [], "options": {"within": "p95 <= 20 ms"}}, "p95 <= 20 ms"),
    ],
)  # fmt: skip
def test_bounds(changes: Json, words: str) -> None:
    """Each form of limit is a line on the student's responses: relative ones too, and those of a growing backlog."""
    changed = response(**changes)
    changed["readings"] = {**changed["readings"], "teacher": {**changed["readings"]["student"], "value": 50.0}}
    figure, _ = load_figures([changed])
    assert [label.text for label in drawn(figure, "limit-label")] == [words]
    assert len(upright(figure)) == 1


def test_gates_of_one_load_share_a_plot() -> None:
    """Both bounds are in it, and the curves are those of the gate that knows both models."""
    half = response(kpi="response_p50", load=load(100.0, "student"))
    other = response(options={"rate": "50/s", "arrivals": "poisson"}, load=load(50.0, "student"))
    figures = list(load_figures([half, response(), other]))
    assert [figure.title for figure in figures] == [
        "Responses and calls at 100/s", "Backlog over time at 100/s, segment 2",
        "Responses and calls at 50/s", "Backlog over time at 50/s, segment 2",
    ]  # fmt: skip
    assert {label.text for label in drawn(figures[0], "limit-label")} == {"p50 <= 50 ms", "p99 <= 50 ms"}
    assert [key.text for key in figures[0].legend][:2] == ["teacher, response", "student, response"]


def test_the_backlog() -> None:
    """The mark is at the largest one, the curve has steps, and the table is thinned."""
    _, figure = load_figures([response()])
    (mark,) = [mark for mark in drawn(figure, "s0") if isinstance(mark, Mark)]
    (curve,) = drawn(figure, "curve s0")
    assert mark.title == "student: 12 after 120 ms"
    assert mark.y == min(y for _, y in curve.points)
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in zip(curve.points, curve.points[1:], strict=False))
    assert [row[0] for row in figure.table.rows] == ["0", "0.05", "0.1", "0.15"]
    assert "in half of 3 segments at most 4." in figure.summary


def test_shares_by_rate() -> None:
    """Over the line of the allowed share is what does not hold; the interval of what is open spans it."""
    shares, percentiles = rate_figures(load_gates("small")[1])
    (allowed,) = [one for one in drawn(shares, "limit") if isinstance(one, Line)]
    marks = {mark.look: mark for mark in shares.shapes if isinstance(mark, Mark)}
    assert marks["bad"].y < marks["open"].y == pytest.approx(allowed.y1)
    assert allowed.y1 < marks["good"].y
    bar = next(one for one in drawn(shares, "interval open") if one.x1 == one.x2)
    assert bar.y2 < allowed.y1 < bar.y1
    band, refuted = (
        next(one for one in drawn(shares, look) if isinstance(one, Area)) for look in ("band", "refuted")
    )
    assert band.x + band.width == pytest.approx(marks["good"].x)
    assert refuted.x == pytest.approx(marks["bad"].x)
    said = [one.text for one in shares.shapes if isinstance(one, Label) and one.look == "limit-label"]
    assert said == ["proven up to 100/s", "refuted from 200/s", "1% allowed"]
    assert shares.table.rows[0] == ("100/s", "0.1%", "[0.05, 0.2]%", "holds")
    (bound,) = [one for one in drawn(percentiles, "limit") if isinstance(one, Line)]
    p99 = [mark for mark in percentiles.shapes if isinstance(mark, Mark) and mark.shape == "circle"]
    assert p99[0].y == pytest.approx(bound.y1)  # 100/s: 50 ms
    assert [row[1] for row in percentiles.table.rows] == ["50 ms", "75 ms", "100 ms"]


def test_a_bound_on_half_of_the_responses_has_an_even_axis() -> None:
    """And a rate at which p99 has no end has no mark."""
    gate = load_gates("small")[1]
    gate["options"]["within"] = "p50 <= 50 ms"
    del gate["breakdown"][2]["measured_p99_ms"]
    shares, percentiles = rate_figures(gate)
    assert "logarithmic" not in shares.summary
    assert "200/s: p99 no end" in percentiles.summary
    assert sum(isinstance(one, Mark) and one.shape == "circle" for one in percentiles.shapes) == 2


def test_the_page_has_plots_and_facts() -> None:
    """One of each kind; the failure states its load and the next step; the facts are a table with a column a model."""
    report = loaded_report("small")
    ((part,), _) = student_parts(report)
    kinds = [figure.kind for figure in part.figures]
    assert [kind for kind in kinds if kind in {"capacity", "rates", "responses", "backlog"}] == [
        "capacity", "rates", "responses", "backlog",
    ]  # fmt: skip
    tables = dict(part.tables)
    facts = tables["response_p99 at 100/s: what happened to the requests"]
    assert facts.columns == ["", "student", "teacher"]
    assert ["calls, p99", "8 ms", "9 ms"] in facts.rows
    by_rate = tables["max_qps: what happened to the requests"]
    assert by_rate.columns == ["", "100/s", "150/s", "200/s"]
    page = html(report)
    assert "student: answered 99/s of 100/s, 50% busy" in page
    assert "next: most of the p99 is waiting (42 ms of 50 ms)" in page


@pytest.mark.parametrize(
    "changes", [{"load": None}, {"load": {}}, {"load": 3}, {"load": {"rate": 2.0, "levels": [1]}}]
)
def test_without_curves(changes: Json) -> None:
    """A report of an earlier version has no such plot."""
    assert list(load_figures([response(**changes)])) == []
    assert list(load_figures(full_report("small")["gates"])) == []
    assert list(rate_figures(response(breakdown=[load_facts("student", 100.0)]))) == []
