"""Cells under corruptions: read from a report, the worst first, in Markdown and as a table of the page."""

from __future__ import annotations

from typing import Any

import pytest
from full_report import Json, full_report, gate
from markdown_it import MarkdownIt

from pytest_modelbench.reports.corrupted_cells import cells_of, worst_of
from pytest_modelbench.reports.html.corruption_table import corruption_figure
from pytest_modelbench.reports.html.figures import WIDTH, Area, Figure, Label
from pytest_modelbench.reports.html.row_plot import MOST_ROWS
from pytest_modelbench.reports.html.students import student_parts
from pytest_modelbench.reports.markdown import markdown


def row(name: str, student: float, teacher: float | None = 90.0) -> Json:
    paired = {} if teacher is None else {"teacher": teacher, "drop": teacher - student}
    return {"name": name, "n": 100, "value": student, **paired}


ROWS = [row("fog:1", 91.0), row("fog:5", 40.0), row("shop.noise:rain:1", 88.5), row("shop.noise:rain:5", 75.0)]


def drawn(kpi: str, rows: list[Json]) -> Figure:
    figure = corruption_figure(gate(kpi, breakdown=rows))
    assert figure is not None
    return figure


def test_names_may_have_colons() -> None:
    """The severity is after the last one; rows of another form, and of other KPIs, are no cells."""
    odd: list[Any] = [
        {"name": "fog", "by": "corruption", "drop": 5.0}, {"name": "fog:2", "value": None}, {"name": "fog:x1", "value": 1.0},
        {"name": "fog:3", "value": float("nan")}, {"name": 3, "value": 2.0}, "text", row("fog:4", 120.0),
    ]  # fmt: skip
    cells = cells_of(gate("mce", breakdown=[*odd, *ROWS]))
    assert [(cell.corruption, cell.severity) for cell in cells] == [
        ("fog", "1"), ("fog", "5"), ("shop.noise:rain", "1"), ("shop.noise:rain", "5"),
    ]  # fmt: skip
    assert cells_of(gate("class_drop", breakdown=ROWS)) == []
    assert corruption_figure(gate("mce", breakdown=odd)) is None


def test_a_cell_is_shaded_by_what_is_lost_and_has_its_numbers() -> None:
    """The drop and both shares in the cell, four shades at 1, 3, 10 and 30 points, another colour for a gain."""
    figure = drawn("corruption_accuracy", ROWS)
    areas = [shape for shape in figure.shapes if isinstance(shape, Area)]
    looks = {area.title.partition(":")[0]: area.look for area in areas if "rain" not in area.title}
    assert looks == {"fog, severity 1": "cell gained shade1", "fog, severity 5": "cell lost shade4"}
    assert [area.look for area in areas if "rain, severity 5" in area.title] == ["cell lost shade3"]
    texts = [shape.text for shape in figure.shapes if isinstance(shape, Label)]
    assert {"severity 1", "severity 5", "+50.0 pp", "90 → 40%", "-1.0 pp", "fog", "shop.noise:rain"} <= set(texts)
    assert all(area.x >= 0 and area.x + area.width <= WIDTH for area in areas)
    assert len({(area.x, area.y) for area in areas}) == 4


def test_the_worst_corruption_is_first_and_in_the_summary() -> None:
    """Rows go by their worst cell; the table has a row for each cell with the numbers of both models."""
    figure = drawn("corruption_drop", list(reversed(ROWS)))
    assert [cells[:2] for cells in figure.table.rows] == [
        ["fog", "5"], ["fog", "1"], ["shop.noise:rain", "5"], ["shop.noise:rain", "1"],
    ]  # fmt: skip
    assert figure.table.rows[0][2:] == ["100", "90%", "40%", "50 pp"]
    assert figure.summary.startswith(
        "2 corruptions. The largest drop is 50 pp under fog at severity 5, from 90% to 40%."
    )
    single = drawn("corruption_invariance", [row("fog:5", 40.0, None)])
    assert single.summary == "1 corruption. The student is worst under fog at severity 5: 40%."
    assert single.title.startswith("Unchanged labels under corruptions")
    assert "40.0%" in [shape.text for shape in single.shapes if isinstance(shape, Label)]


def test_many_corruptions_are_in_the_table() -> None:
    """A drawing has as many rows as others; the others are counted."""
    figure = drawn("mce", [row(f"noise{number}:5", 50.0) for number in range(MOST_ROWS + 4)])
    assert len([shape for shape in figure.shapes if isinstance(shape, Area)]) == MOST_ROWS
    assert figure.note == "Rows in the table only: 4."


def test_several_kpis_of_the_same_cells_have_one_drawing() -> None:
    """And the intervals of corruption_drop, which the drawing does not have, are a table."""
    compared = {"name": "fog", "by": "corruption", "drop": 24.5, "ci_low": 20.0, "ci_high": 29.0}
    gates = [gate("corruption_accuracy", breakdown=ROWS), gate("corruption_drop", breakdown=[compared, *ROWS])]
    (part,), _ = student_parts({**full_report("small"), "gates": gates})
    assert [figure.kind for figure in part.figures].count("corruptions") == 1
    ((title, table),) = part.tables
    assert title.startswith("corruption_drop")
    assert table.rows == [["fog", "corruption", "24.5", "20", "29"]]


def test_markdown_has_the_worst_cells() -> None:
    """Five of each student, the largest drop first, names as they are."""
    rows = [row(f"a|b{number}:5", 90.0 - number) for number in range(7)]
    report = full_report("small")
    report["gates"] = [gate("mce", breakdown=rows), gate("corruption_drop", breakdown=rows)]
    text = markdown(report)
    part = text[text.index("Worst under corruptions") :]
    html = str(
        MarkdownIt("commonmark").enable("table").render(part[part.index("| student") : part.index("</details>")])
    )
    assert html.count("<tr>") == 1 + 5
    assert html.index("a|b6") < html.index("a|b2")
    assert '<td style="text-align:right">6.0 pp</td>' in html
    assert "Worst under corruptions" not in markdown({**report, "gates": []})


@pytest.mark.parametrize("kpi", ["mce", "corruption_invariance"])
def test_unchanged_labels_are_no_accuracy(kpi: str) -> None:
    """Cells of a KPI without targets are not among the worst ones."""
    assert len(list(worst_of([gate(kpi, breakdown=ROWS)], 9))) == (4 if kpi == "mce" else 0)
